"""What happens to processes is noted in the store, for who looks at charts: rarely, and at ease.

Nothing waits for it, and nothing is lost without it: a store that does not answer has no mark.
"""

from __future__ import annotations

import asyncio
import contextlib
import sys
import zlib
from collections.abc import Iterable
from collections.abc import Set as AbstractSet
from pathlib import Path

from asyncmqd.backends.base import BaseBackend, StoreError
from asyncmqd.domain.heartbeat import BEAT
from asyncmqd.domain.marks import Mark, encode, id_of
from asyncmqd.domain.tasks import TaskDef

_OURS = __name__.partition(".")[0]
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
    """Note it, unless it is noted already."""
    with contextlib.suppress(StoreError, TimeoutError):
        async with asyncio.timeout(_PATIENCE):
            await backend.mark(id_of(mark, number), encode(mark))


def code_stamp(tasks: Iterable[TaskDef]) -> str:
    """Changes with the code of the application; empty: there is none.

    That is what stands in the files of the packages that the tasks are in, as far as they are
    imported. A copy on another host is the same, wherever and whenever it was made.
    """
    modules = (getattr(each.function, "__module__", None) or "" for each in tasks)
    packages = {each.partition(".")[0] for each in modules} - {"", _OURS}
    stamp, is_any = 0, False
    for name, module in sorted(sys.modules.items()):
        file = getattr(module, "__file__", None) or ""
        if name.partition(".")[0] in packages and file.endswith((".py", ".pyc")):
            with contextlib.suppress(OSError):
                stamp, is_any = zlib.crc32(Path(file).read_bytes(), stamp), True
    return f"{stamp:08x}" if is_any else ""
