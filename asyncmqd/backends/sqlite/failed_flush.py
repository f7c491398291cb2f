"""Whether a flush of the log has failed: what is behind that place is not safe then.

Linux tells each descriptor that is open of a failed write, once, and takes what was to be written
as if it were on the disk. So the next flush succeeds, and with the power all of the log is lost
that is behind the part which the disk does not have. A process that opens the log later is told
nothing. So whoever is told leaves a mark beside the database, and all who write look for it before
they answer. See docs/decisions/sqlite-failed-flushes.md.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path

from asyncmqd.backends.base import StoreError
from asyncmqd.domain import clock

_PAUSE = 1.0  # seconds after a try that failed


class FailedFlush:
    """That of the log of one database."""

    def __init__(self, database: Path) -> None:
        self._database = database
        self._mark = f"{database}-unflushed"
        self._is_known = False  # here: a failing disk may not take the mark
        self._tried_at = -_PAUSE
        self._reason = ""  # why the last try failed

    @property
    def is_pending(self) -> bool:
        """Whether the log has to be written again first. One call of the kernel."""
        return self._is_known or os.access(self._mark, os.F_OK, follow_symlinks=False)

    @property
    def warning(self) -> str:
        """A sentence for whoever runs the store; empty if none has."""
        if not self.is_pending:
            return ""
        return (
            f"{self._database}-wal: the disk failed in a flush of it. Until all of it is in the"
            " database, no change is answered as stored"
        )

    def note(self) -> None:
        """One has failed just now."""
        self._is_known = True
        how = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC
        with contextlib.suppress(OSError):
            os.close(os.open(self._mark, how, 0o660))

    @contextlib.contextmanager
    def one_try(self) -> Iterator[None]:
        """To write the log again, which is much work: seldom. Raises StoreError."""
        if clock.monotonic() < self._tried_at + _PAUSE:
            raise StoreError(self._reason)
        try:
            yield
        except StoreError as error:
            self._tried_at, self._reason = clock.monotonic(), str(error)
            raise
        self._forget()

    def _forget(self) -> None:
        """The log is on the disk."""
        try:
            os.unlink(self._mark)
        except FileNotFoundError:
            pass
        except OSError as error:
            raise StoreError(f"{self._mark}: it cannot be removed: {error.strerror}") from error
        self._is_known = False
