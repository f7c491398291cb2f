"""What happens to processes is noted in the store, for who looks at charts: rarely, and at ease.

Nothing waits for it, and nothing is lost without it: a store that does not answer has no mark.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import zlib
from collections.abc import Iterable
from collections.abc import Set as AbstractSet

from asyncmqd.backends.base import BaseBackend, StoreError
from asyncmqd.domain.heartbeat import BEAT
from asyncmqd.domain.marks import Mark, encode
from asyncmqd.domain.tasks import TaskDef

_PATIENCE = 1.0  # seconds that the store gets
_GAP = 2.5 * BEAT  # seconds between two looks, before any heartbeat of others can have run out


class Listed:
    """The processes that were listed at the last look: who is missing at the next one has died.

    If that comes late, our own store was away, or we were: then all heartbeats may have run out.
    """

    def __init__(self) -> None:
        self._ids: AbstractSet[str] = frozenset()
        self._at = float("-inf")

    def missing(self, ids: AbstractSet[str], now: float) -> list[str]:
        """Those that are listed no more; `now` is on a steady clock."""
        gone = self._ids - ids if now - self._at < _GAP else ()
        self._ids, self._at = ids, now
        return sorted(gone)


async def note(backend: BaseBackend, mark: Mark, number: int = 0) -> None:
    """Note it once: a process starts once, and ends once, and each of its reloads has a number."""
    kind = "ended" if mark.kind in {"stopped", "died"} else mark.kind
    with contextlib.suppress(StoreError, TimeoutError):
        async with asyncio.timeout(_PATIENCE):
            await backend.mark(f"{kind}:{number}:{mark.who}", encode(mark))


def code_stamp(tasks: Iterable[TaskDef]) -> str:
    """Changes when the files are written anew that the tasks are in; empty: there are none."""
    files = {
        code.co_filename for each in tasks if (code := getattr(each.function, "__code__", None))
    }
    found = []
    for file in sorted(files):
        with contextlib.suppress(OSError):
            told = os.stat(file)
            found.append(f"{file} {told.st_mtime_ns} {told.st_size}")
    return f"{zlib.crc32(chr(10).join(found).encode()):08x}" if found else ""
