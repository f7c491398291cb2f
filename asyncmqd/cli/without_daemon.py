"""What `asyncmqd status` says where no daemon runs: what `asyncmq top` says of the store."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from pathlib import Path

from asyncmqd.admin.causes import Cause
from asyncmqd.backends.base import StoreError
from asyncmqd.backends.factory import open_backend
from asyncmqd.cli.identity import work_as_owner
from asyncmqd.cli.top.live import Sight
from asyncmqd.cli.top.position import Position
from asyncmqd.client.acting_user import system_user
from asyncmqd.config.backend import StoreKeys, store_in
from asyncmqd.config.errors import ConfigErrors

_OF_ALL_DAEMONS = frozenset({"degraded", "no_daemon"})


def causes_of(config: Path) -> Sequence[Cause]:
    """All that is wrong with the store of a configuration, the worst first.

    Empty if it cannot be told, or if daemons of other hosts serve the store.
    """
    try:
        found = asyncio.run(_look(store_in(config)))
    except (ConfigErrors, StoreError, ValueError, OSError):
        return ()  # that no daemon runs is said in any case
    return found if any(each.name in _OF_ALL_DAEMONS for each in found) else ()


async def _look(keys: StoreKeys) -> Sequence[Cause]:
    url = keys.url or "memory://"
    if url.startswith("memory:") or _is_missing(url):
        return ()
    store = open_backend(url, keys.payload_limit)
    work_as_owner(url)
    sight = Sight(store, system_user())
    try:
        await sight.look(Position())
    finally:
        await store.close()
    return sight.seen().causes


def _is_missing(url: str) -> bool:
    """Whether there is no file yet, which to look would make."""
    if not url.startswith("sqlite:"):
        return False
    from asyncmqd.backends.sqlite import address

    return not address.parse(url).named.exists()
