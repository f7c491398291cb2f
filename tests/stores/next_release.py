"""The release after this one, as far as stores go: the same code with a layout 2 and the way there.

Layout 2 gives every job a tenant. Set MIGRATION_HOLD to a path, and a migration makes that file in
its middle and goes no further.
"""

from __future__ import annotations

import os
import signal
import sqlite3
from collections.abc import Callable
from pathlib import Path
from typing import Any

from asyncmqd.backends.redis import migration as redis_migration
from asyncmqd.backends.redis import scripts
from asyncmqd.backends.redis.connect import Link
from asyncmqd.backends.sqlite import file, migration

PAGE = 4  # jobs: so small that the sample has several


def install(set_attribute: Callable[[Any, str, Any], object] = setattr) -> None:
    """Make this process one of the next release, before it opens a store."""
    set_attribute(file, "LAYOUT", 2)
    set_attribute(migration, "STEPS", {2: _give_tenants_in_sqlite})
    set_attribute(scripts, "LAYOUT", 2)
    set_attribute(redis_migration, "STEPS", {2: _give_tenants_in_redis})
    scripts._sha.cache_clear()


def _hold() -> None:
    if path := os.environ.get("MIGRATION_HOLD"):
        Path(path).touch()
        signal.pause()


def _give_tenants_in_sqlite(connection: sqlite3.Connection) -> None:
    connection.execute("ALTER TABLE jobs ADD COLUMN tenant TEXT NOT NULL DEFAULT ''")
    connection.execute("UPDATE jobs SET tenant = 'tenant of ' || id")
    _hold()
    connection.execute("CREATE INDEX of_tenant ON jobs (queue, tenant, number)")


async def _give_tenants_in_redis(link: Link, base: str) -> None:
    cursor = b"0"
    while True:
        command = ("SCAN", cursor, "MATCH", f"{base}job:*".replace("{", "[{]"), "COUNT", PAGE)
        [[cursor, keys]] = await link.run(command)
        ids = [key.decode().removeprefix(f"{base}job:") for key in keys]
        if ids:
            await link.run(("HSET", f"{base}tenants", *(x for i in ids for x in (i, f"of {i}"))))
            _hold()
        if cursor == b"0":
            return
