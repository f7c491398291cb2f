"""The store itself: what it is and holds, a copy of it, an older one brought up to date."""

from __future__ import annotations

import os
from collections.abc import Awaitable, Callable
from pathlib import Path

import msgspec

from asyncmqd.admin.errors import AdminError
from asyncmqd.admin.time_format import rfc3339
from asyncmqd.backends.base import BaseBackend
from asyncmqd.domain.states import State


class StoreView(msgspec.Struct, frozen=True, kw_only=True):
    """What a store is and holds."""

    url: str
    now: str | None  # by its clock
    queues: int
    workers: int
    jobs: dict[str, int]  # by state
    warnings: list[str]  # what is wrong with its set-up


async def show(store: BaseBackend) -> StoreView:
    """What the store is and holds."""
    warnings = await store.warnings()
    queues = await store.queues()
    counts = (await store.counts(queues)).values()
    return StoreView(
        url=store.url,
        now=rfc3339(await store.now()),
        queues=len(queues),
        workers=len(await store.workers()),
        jobs={str(state): sum(getattr(each, state) for each in counts) for state in State},
        warnings=warnings,
    )


def backup(store: BaseBackend, file: Path) -> Awaitable[None]:
    """Copy a SQLite store into a file that is not there yet, while daemons go on working.

    Raises AdminError for any other store, and for a file that is there.
    """
    if os.path.exists(file):  # if its directory is closed to us, the copy fails
        raise AdminError(f"{file}: expected a file that is not there yet")
    copy: Callable[[Path], Awaitable[None]] | None = getattr(store, "backup", None)
    if copy is None:
        raise AdminError(
            f"backup: expected a store on sqlite:///path, got {store.url}:"
            " a server has tools of its own for it"
        )
    return copy(file)
