"""Who waits for the write lock goes before who has just had it.

SQLite keeps no queue for its lock: who waits for it tries again and again, and one that writes
without a pause leaves it free for a moment only. So whoever waits holds a shared lock on the log,
and whoever is about to write looks whether somebody does, and leaves that one the time of a try.
Nothing but the order depends on it: a lock that a stopped process holds costs some moments, once.

SQLite locks the database and the log's index, never the log itself. So nothing is lost when the
log is closed here.
"""

from __future__ import annotations

import contextlib
import fcntl
import os

from asyncmqd.domain import clock, os_threads

# Seconds between two tries of one that waits. A commit on a fast disk takes some of them.
TRY_EVERY = 0.0002
_WAY = 0.002  # seconds that one that waits gets for its next try
_IN_VAIN = 10  # times that nobody took it: who waits is stopped, and is waited for no more


class WriteOrder:
    """That of one thread which writes."""

    def __init__(self) -> None:
        self._log: int | None = None  # its descriptor
        self._waits = False
        self._in_vain = 0

    def join(self, log: str) -> None:
        """The database is open, and so is its log."""
        with contextlib.suppress(OSError):
            self._log = os.open(log, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW)

    @property
    def log(self) -> int | None:
        """A descriptor of the log."""
        return self._log

    def leave(self) -> None:
        """The log is about to be closed."""
        log, self._log = self._log, None
        self._waits = False
        if log is not None:
            os.close(log)

    def give_way(self) -> None:
        """Before a try: somebody else may have waited for longer."""
        if self._waits or not self._somebody_waits():
            return
        if self._in_vain == _IN_VAIN:
            return
        self._in_vain += 1
        end = clock.monotonic() + _WAY
        while self._somebody_waits() and clock.monotonic() < end:
            os_threads.sleep(TRY_EVERY)

    def wait(self) -> None:
        """Another one has it."""
        self._in_vain = 0
        if not self._waits and self._log is not None:
            self._waits = _lock(self._log, fcntl.LOCK_SH)

    def end(self) -> None:
        """It is had, or not waited for any more."""
        if self._waits and self._log is not None:
            fcntl.flock(self._log, fcntl.LOCK_UN)
        self._waits = False

    def _somebody_waits(self) -> bool:
        if self._log is None:
            return False
        if not _lock(self._log, fcntl.LOCK_EX):
            return True
        fcntl.flock(self._log, fcntl.LOCK_UN)
        self._in_vain = 0
        return False


def _lock(file: int, kind: int) -> bool:
    try:
        fcntl.flock(file, kind | fcntl.LOCK_NB)
    except OSError:
        return False
    return True
