"""Deleting ended jobs in parts: who claims or enqueues meanwhile waits for one part at most.

A part need not be on the disk by itself. Jobs that a loss of power brings back are deleted again,
and whoever commits later takes the part along, since all is in one log.
"""

from __future__ import annotations

from collections.abc import Awaitable
from functools import partial
from typing import Protocol

from asyncmqd.backends.sqlite import moves
from asyncmqd.domain.settle import Retention

PART = 250  # jobs; fewer of large ones, see `rows.within`


class Write(Protocol):
    """How a store has something done in a transaction."""

    def __call__(
        self, work: partial[tuple[int, bool]], *, flushes: bool
    ) -> Awaitable[tuple[int, bool]]: ...


async def prune(write: Write, queue: str, retention: Retention, page: int) -> int:
    """See `BaseBackend.prune`."""
    deleted, more = 0, True
    while more and deleted < page:
        part = min(PART, page - deleted)
        work = partial(moves.prune, queue=queue, retention=retention, page=part)
        number, more = await write(work, flushes=False)
        deleted += number
    return deleted
