"""What a fork must not carry over: SQLite's connections.

A forked process inherits what SQLite believes of its locks, and none of the locks. So all
connections are closed just before a fork, between two transactions, and parent and child open new
ones at their next use. Where that is not possible (a backup is under way, a transaction does not
end, code in C forked behind Python's back) the child has descriptors of the database, and is told
that it cannot use it. See docs/decisions/sqlite-forks.md.
"""

from __future__ import annotations

import contextlib
import os
import threading
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Protocol

from asyncmqd.backends.base import StoreError
from asyncmqd.domain import clock

FORK_LIMIT = 5.0  # seconds that a fork waits for the transactions under way
_DESCRIPTORS = Path("/proc/self/fd")

Identity = tuple[int, int]  # device and inode

_pid = os.getpid()  # the process that the next two speak of
_inherited: frozenset[Identity] = frozenset()  # files that it holds from before it was forked


class Pausable(Protocol):
    """A thread that can stand without a connection for the moment of a fork."""

    def pause(self, deadline: float) -> bool:
        """Close its connection between two transactions; False if that took too long."""

    def resume(self) -> None:
        """Let it go on."""


def refuse_inherited(path: Path, identity: Identity | None) -> None:
    """Raises StoreError if this process was forked while connections to the file were open."""
    global _pid, _inherited
    if _pid != os.getpid():
        _inherited, _pid = frozenset(_open_files()), os.getpid()
    if identity in _inherited:
        raise StoreError(
            f"{path}: this process was forked while a connection to it was open, and cannot use"
            " it: fork before the first use, or start the process anew (spawn, exec)"
        )


def _open_files() -> Iterable[Identity]:
    for name in os.listdir(_DESCRIPTORS):
        with contextlib.suppress(OSError):  # that of the listing itself
            found = os.stat(_DESCRIPTORS / name)
            yield found.st_dev, found.st_ino


class Pauses:
    """Pauses threads around each fork of this process, whoever forks."""

    def __init__(self, threads: Callable[[], Iterable[Pausable]]) -> None:
        self._threads = threads
        self._of_this_fork = threading.local()  # several threads may fork at once
        os.register_at_fork(before=self._before, after_in_parent=self._after)

    def _before(self) -> None:
        deadline = clock.monotonic() + FORK_LIMIT
        self._of_this_fork.paused = [each for each in self._threads() if each.pause(deadline)]

    def _after(self) -> None:
        for each in self._of_this_fork.paused:
            each.resume()
