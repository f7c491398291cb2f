"""What a fork must not carry over: SQLite's connections.

A forked process inherits what SQLite believes of its locks, and none of the locks. So all
connections are closed just before a fork, between two transactions, and parent and child open new
ones at their next use. Where that is not possible (a backup is under way, a transaction does not
end, code in C forked behind Python's back) the child has descriptors of the database, and is told
that it cannot use it. See docs/decisions/sqlite-forks.md.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Protocol

from asyncmqd.backends.base import StoreError
from asyncmqd.backends.sqlite.descriptors import open_files
from asyncmqd.domain import clock

FORK_LIMIT = 5.0  # seconds that a fork waits for the transactions under way

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
        identities = ((file.st_dev, file.st_ino) for _, file in open_files())
        _inherited, _pid = frozenset(identities), os.getpid()
    if identity in _inherited:
        raise StoreError(
            f"{path}: this process was forked while a connection to it was open, and cannot use"
            " it: fork before the first use, or start the process anew (spawn, exec)"
        )


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
