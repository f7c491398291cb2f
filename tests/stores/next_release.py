"""The release after this one, as far as stores go: the same code, a new layout, and the way there.

That layout gives every job a tenant. Set MIGRATION_HOLD to a path, and a migration makes that file
in its middle and goes no further.
"""

from __future__ import annotations

import itertools
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
from asyncmqd.domain.states import State

SQLITE, REDIS = file.LAYOUT, scripts.LAYOUT  # of this release
PAGE = 4  # jobs: so small that the sample has several


def install(set_attribute: Callable[[Any, str, Any], object] = setattr) -> None:
    """Make this process one of the next release, before it opens a store."""
    steps = migration.STEPS | {SQLITE + 1: _give_tenants_in_sqlite}
    set_attribute(file, "LAYOUT", SQLITE + 1)
    set_attribute(migration, "STEPS", steps)
    redis_steps = redis_migration.STEPS | {REDIS + 1: _give_tenants_in_redis}
    set_attribute(scripts, "LAYOUT", REDIS + 1)
    set_attribute(redis_migration, "STEPS", redis_steps)
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
    # By the lines, for SCAN walks through one node, and a cluster has several.
    [parked] = await link.run(("SMEMBERS", f"{base}shelves"))
    for place in (*State, *(each.decode() for each in parked)):
        for begin in itertools.count(0, PAGE):
            page = ("ZRANGE", f"{base}{place}", begin, begin + PAGE - 1)
            [ids] = await link.run(page)
            if not ids:
                break
            tenants = [each for id in ids for each in (id, b"of " + id)]
            await link.run(("HSET", f"{base}tenants", *tenants))
            _hold()
