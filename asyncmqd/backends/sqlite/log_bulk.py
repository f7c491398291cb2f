"""Most of a long log is brought into the database file while others commit.

A checkpoint of 4,000 pages writes and flushes 16 MB. Under the write lock, all who claim and
enqueue would wait for it.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import sqlite3
from pathlib import Path

from asyncmqd.backends.sqlite.descriptors import descriptors_of, forget_cached
from asyncmqd.backends.sqlite.file import DatabaseFile
from asyncmqd.domain import os_threads

_PATIENCE = 15_000  # ms, as for any other transaction
# In the log's index, by https://sqlite.org/walformat.html: how many frames are in the database, and
# the byte that whoever checkpoints has locked.
_BROUGHT_IN, _CHECKPOINTER = 96, 121
_LIMIT = 5.0  # seconds that others wait for it: a fork, and whoever closes the store


class Bulk:
    """One checkpoint, in a thread that lives as long as it."""

    def __init__(self, file: DatabaseFile) -> None:
        self._file = file
        self._at_work = os_threads.lock()

    @property
    def is_done(self) -> bool:
        """Whether it has come to its end."""
        return not self._at_work.locked()

    def wait(self) -> None:
        """Until it is done. A disk that does not answer is not waited for for ever."""
        if self._at_work.acquire(timeout=_LIMIT):
            self._at_work.release()

    def begin(self, writer: sqlite3.Connection) -> bool:
        """Whether it is under way. `writer` is in no transaction."""
        with contextlib.ExitStack() as opened:
            try:
                holder, other = (
                    opened.enter_context(contextlib.closing(self._file.connect())) for _ in "12"
                )
                self._hold_log(writer, holder, other)
                self._at_work.acquire()
                os_threads.start(lambda: self._run(holder, other), "asyncmqd-sqlite-log")
            except (sqlite3.Error, RuntimeError):  # busy, or a full disk; or no thread is left
                if writer.in_transaction:
                    writer.execute("ROLLBACK")
                if self._at_work.locked():
                    self._at_work.release()
                return False
            opened.pop_all()  # the thread closes them
        return True

    @staticmethod
    def _hold_log(
        writer: sqlite3.Connection, holder: sqlite3.Connection, other: sqlite3.Connection
    ) -> None:
        """Let `holder` read a part of the log that is not in the file yet: it stays then.

        Who reads while all of the log is in the file holds none of it, but then nobody can bring
        anything in. So one reads first; after the commit that follows, a part of the log is not in
        the file for as long as that one reads, and whoever begins to read now holds the log.
        """
        writer.execute("BEGIN IMMEDIATE")
        _read(other)
        writer.execute("UPDATE store SET sequence = sequence + 1")  # numbers may be left out
        writer.execute("COMMIT")
        _read(holder)
        other.execute("COMMIT")

    def _run(self, holder: sqlite3.Connection, other: sqlite3.Connection) -> None:
        try:
            with contextlib.suppress(sqlite3.Error):  # a full disk, or another process is at it
                other.execute("PRAGMA wal_checkpoint(PASSIVE)").fetchone()
            if not _flush(self._file.path):
                self._file.failed_flush.note()
                with contextlib.suppress(sqlite3.Error, OSError):
                    _bring_in_from_begin(self._file.path, other)
        finally:
            with contextlib.suppress(sqlite3.Error):
                other.close()
            with contextlib.suppress(sqlite3.Error):
                holder.close()
            self._at_work.release()


def _read(connection: sqlite3.Connection) -> None:
    """Begin to read, and go on with it."""
    connection.execute("BEGIN")
    connection.execute("SELECT sequence FROM store").fetchone()


def _flush(path: Path) -> bool:
    """Have the disk take it now; whether it did not fail.

    SQLite flushes when all of a log is in the file, and that is under the lock. By a descriptor
    that SQLite has, because closing one of our own would drop its locks. If it is another file's by
    now, that one is flushed.
    """
    try:
        file = descriptors_of(path)[0]
    except OSError:  # the file was moved away
        return True
    try:
        os.fdatasync(file)
    except OSError:
        return False
    return True


def _bring_in_from_begin(path: Path, connection: sqlite3.Connection) -> None:
    """Have the next checkpoint begin with the first frame: the database may lack what was brought.

    Until then nobody can begin the log again. Raises sqlite3.Error and OSError.
    """
    index = descriptors_of(f"{path}-shm")[0]
    connection.execute(f"PRAGMA busy_timeout = {_PATIENCE}")
    connection.execute("BEGIN IMMEDIATE")
    try:
        fcntl.lockf(index, fcntl.LOCK_EX, 1, _CHECKPOINTER)
        try:
            os.pwrite(index, bytes(4), _BROUGHT_IN)
        finally:
            fcntl.lockf(index, fcntl.LOCK_UN, 1, _CHECKPOINTER)
    finally:
        connection.execute("ROLLBACK")
    forget_cached(path)
