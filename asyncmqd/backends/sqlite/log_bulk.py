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
    """One checkpoint at a time, in a thread that lives as long as it.

    `other` is the connection that checkpoints, and `holder` the one that holds the log. Both stay
    open between two checkpoints: to open one takes longer than a commit.
    """

    def __init__(self, file: DatabaseFile) -> None:
        self._file = file
        self._at_work = os_threads.lock()
        self._is_left = False  # by whoever used it
        with contextlib.ExitStack() as opened:
            self.holder, self.other = (self._connected(opened) for _ in "12")
            self._opened = opened.pop_all()

    def _connected(self, opened: contextlib.ExitStack) -> sqlite3.Connection:
        connection = opened.enter_context(self._file.beside())
        connection.execute("PRAGMA busy_timeout = 0")
        # A number that is left out need not be on the disk. Checkpoints are flushed nevertheless.
        connection.execute("PRAGMA synchronous = NORMAL")
        return connection

    @property
    def is_done(self) -> bool:
        """Whether nothing is under way."""
        return not self._at_work.locked()

    def wait(self) -> None:
        """Until it is done. A disk that does not answer is not waited for for ever."""
        if self._at_work.acquire(timeout=_LIMIT):
            self._at_work.release()

    def close(self) -> None:
        """Wait for what is under way, and close both connections. Else the thread closes them."""
        self.wait()
        self._is_left = not self.is_done
        if self.is_done:
            self._close()

    def _close(self) -> None:
        with contextlib.suppress(sqlite3.Error):
            self._opened.close()  # whoever is the second finds nothing to close

    def begin(self) -> bool:
        """Whether it is under way."""
        try:
            self._hold_log()
            self._at_work.acquire()
            os_threads.start_and_go_on(self._run)  # others wait for the caller: 400 ms were seen
        except (sqlite3.Error, RuntimeError):  # busy, or a full disk; or no thread is left
            self._end_reading()
            if self._at_work.locked():
                self._at_work.release()
            return False
        return True

    def _hold_log(self) -> None:
        """Let `holder` read a part of the log that is not in the file yet: it stays then.

        Who reads while all of the log is in the file holds none of it, but then nobody can bring
        anything in. So one reads first; after the commit that follows, a part of the log is not in
        the file for as long as that one reads, and whoever begins to read now holds the log.
        """
        self.holder.execute("BEGIN IMMEDIATE")
        _read(self.other)
        self.holder.execute("UPDATE store SET sequence = sequence + 1")  # numbers may be left out
        self.holder.execute("COMMIT")
        _read(self.holder)
        self.other.execute("COMMIT")

    def _run(self) -> None:
        try:
            with contextlib.suppress(sqlite3.Error):  # a full disk, or another process is at it
                self.other.execute("PRAGMA wal_checkpoint(PASSIVE)").fetchone()
            if not _flush(self._file.path):
                self._file.failed_flush.note()
                with contextlib.suppress(sqlite3.Error, OSError):
                    _bring_in_from_begin(self._file.path, self.other)
        finally:
            self._end_reading()
            self._at_work.release()
            if self._is_left:
                self._close()

    def _end_reading(self) -> None:
        for each in (self.other, self.holder):
            with contextlib.suppress(sqlite3.Error):
                each.rollback()


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
    connection.execute("PRAGMA busy_timeout = 0")
    try:
        fcntl.lockf(index, fcntl.LOCK_EX, 1, _CHECKPOINTER)
        try:
            os.pwrite(index, bytes(4), _BROUGHT_IN)
        finally:
            fcntl.lockf(index, fcntl.LOCK_UN, 1, _CHECKPOINTER)
    finally:
        connection.execute("ROLLBACK")
    forget_cached(path)
