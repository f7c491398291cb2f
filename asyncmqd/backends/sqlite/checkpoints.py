"""The log is brought into the database file, and nobody begins it again meanwhile.

SQLite does it by itself after a commit, while others go on committing. Before 3.51.3 that can
damage the file: a second checkpoint, after one that was complete, does not notice that a commit has
begun the log again meanwhile (https://sqlite.org/wal.html#walresetbug).

So nearly all of it is brought in while a reader holds the log (`log_bulk.py`): others commit, and
cannot begin it again. What they have added is brought in the same way, until it is short, and the
rest under the write lock, where there are no commits. The last connection of all checkpoints as it
closes; SQLite has the file locked then.
"""

from __future__ import annotations

import contextlib
import os
import sqlite3

from asyncmqd.backends.sqlite.descriptors import descriptors_of, forget_cached
from asyncmqd.backends.sqlite.errors import is_busy, is_failed_flush
from asyncmqd.backends.sqlite.file import DatabaseFile
from asyncmqd.backends.sqlite.free_disk_space import log_size
from asyncmqd.backends.sqlite.log_bulk import Bulk
from asyncmqd.backends.sqlite.log_frames import INDEX_HEAD, frames_noted
from asyncmqd.backends.sqlite.log_holders import holder
from asyncmqd.domain import clock

_WAIT = 1  # ms for another one's commit
_ROUNDS = 3  # beside the commits of others, before the rest is brought in under the lock
_SHORT = 16  # the rest is this part of the limit, or less: then it takes about as long as a commit
_PATIENT = 8  # by this part of the limit the log grows while a round cannot begin beside others
_HELD = 8  # times its limit that the log has when somebody must be reading an old part of it
_SOMEBODY = "a program reads the store in one long transaction"
_AGAIN = 5.0  # seconds until a log that could not be brought in is tried again, also if idle


class Checkpoints:
    """When the writer of one process brings the log in.

    A log that begins again keeps its length, up to `log_kept`, and is written from its begin. How
    much of it is in use is in its index, for all processes.
    """

    def __init__(self, file: DatabaseFile) -> None:
        self._file = file
        self._index: int | None = None  # SQLite's descriptor of it
        self._due = 0  # bytes of the log; more than its limit while a reader is in the way
        self._due_at = 0.0  # monotonic time at which it is due however long it is
        self._bulk: Bulk | None = None
        self._rounds = 0  # of it, since the log was longer than its limit
        self._began_at = 0  # bytes of the log, at the last of them
        self._refused_at = 0  # the same, when the next one could not begin; 0 if it could

    def join(self) -> None:
        """The writer has a new connection; with the last one SQLite closed its descriptor."""
        self._index = None
        with contextlib.suppress(OSError):
            self._index = descriptors_of(f"{self._file.path}-shm")[0]

    def _in_use(self, log_bytes: int) -> int:
        """Bytes of a log of this length."""
        if log_bytes <= self._file.log_limit:
            return log_bytes
        try:
            if self._index is not None:
                return _bytes_noted(self._index)
        except OSError:
            self._index = None
        return log_bytes - (self._file.log_kept - self._file.log_limit)

    def after_commit(self, connection: sqlite3.Connection, log_bytes: int) -> None:
        """Bring the log in, if it is long and nobody else writes."""
        log_bytes, limit = self._in_use(log_bytes), self._file.log_limit
        if log_bytes <= limit:
            self._due, self._rounds, self._refused_at = limit, 0, 0
            return
        if not self._is_due(log_bytes) or self._file.failed_flush.is_pending:
            return
        self._due = max(self._due, limit)  # the first commit here may have found it long already
        if self._is_bulk_under_way:
            if log_bytes < self._due + limit // 4:
                return  # those who commit are faster than the disk if it takes longer than that
            self._wait()
        elif self._rest_is_long(log_bytes) and self._goes_beside_others(log_bytes):
            return
        if self._file.failed_flush.is_pending:
            return
        if self._brings_in_the_rest(connection):
            self._due, self._due_at = log_bytes + limit // 4, clock.monotonic() + _AGAIN
            self._rounds = self._refused_at = 0

    def _is_due(self, log_bytes: int) -> bool:
        """By its length, or by the time: whoever was in the way may be gone, and nobody adds much.

        An idle store would keep a log of gigabytes until some thousand heartbeats were added.
        """
        return log_bytes >= self._due or clock.monotonic() >= self._due_at

    @property
    def _is_bulk_under_way(self) -> bool:
        return self._bulk is not None and not self._bulk.is_done

    def _rest_is_long(self, log_bytes: int) -> bool:
        """What was added during a round is shorter than what it brought in, mostly by far."""
        if not self._rounds:
            return True
        added = log_bytes - self._began_at
        return self._rounds < _ROUNDS and added > self._file.log_limit // _SHORT

    def _goes_beside_others(self, log_bytes: int) -> bool:
        """Whether a round is under way, or is to be tried again after the next commit.

        None can begin while another process commits, which is soon over. To bring all in under the
        lock instead would hold up everybody for as long as the disk takes 16 MB.
        """
        if self._begin_bulk():
            self._rounds += 1
            self._began_at, self._refused_at = log_bytes, 0
            return True
        self._refused_at = self._refused_at or log_bytes
        return log_bytes < self._refused_at + self._file.log_limit // _PATIENT

    def _begin_bulk(self) -> bool:
        try:
            self._bulk = self._bulk or Bulk(self._file)
        except sqlite3.Error:
            return False
        return self._bulk.begin()

    def _wait(self) -> None:
        if self._bulk is not None:
            self._bulk.wait()

    def end(self) -> None:
        """Wait for what is under way: it has connections of its own."""
        bulk, self._bulk = self._bulk, None
        self._rounds = self._refused_at = 0
        if bulk is not None:
            bulk.close()

    def _brings_in_the_rest(self, connection: sqlite3.Connection) -> bool:
        """Whether it was tried. If another one writes, it is to be tried after the next commit.

        On a connection of its own: SQLite refuses it inside of a transaction.
        """
        try:
            connection.execute(f"PRAGMA busy_timeout = {_WAIT}")
            with contextlib.ExitStack() as opened:
                bulk = self._bulk if self._bulk is not None and self._bulk.is_done else None
                other = bulk.other if bulk else opened.enter_context(self._file.beside())
                connection.execute("BEGIN IMMEDIATE")
                other.execute("PRAGMA wal_checkpoint(PASSIVE)").fetchone()
        except sqlite3.Error as error:  # a full disk: when the log is longer
            if is_failed_flush(error):
                forget_cached(self._file.path)
                self._file.failed_flush.note()
            return connection.in_transaction or not is_busy(error)
        finally:
            if connection.in_transaction:
                connection.execute("ROLLBACK")
            connection.execute("PRAGMA busy_timeout = 0")
        return True


def held_up(file: DatabaseFile) -> str:
    """A sentence if the log cannot be brought in, as somebody or the disk is in the way."""
    if warning := file.failed_flush.warning:
        return warning
    most = _HELD * file.log_limit
    if not most or file.log_bytes() <= most or _bytes_in_use(file) <= most:
        file.log_holder = ""
        return ""
    # One sentence for as long as it lasts: others may read as well, and each is a line in a log.
    file.log_holder = file.log_holder or holder(file.path) or _SOMEBODY
    return (
        f"{file.path}-wal grows and cannot be written into the database: {file.log_holder},"
        " which has to end before the disk is full"
    )


def _bytes_in_use(file: DatabaseFile) -> int:
    """Of a log that another program began again it is less than its length, which that one left."""
    try:
        return _bytes_noted(descriptors_of(f"{file.path}-shm")[0])
    except OSError:
        return file.log_bytes()


def _bytes_noted(index: int) -> int:
    """The bytes of the log that count, by a descriptor of its index."""
    return log_size(frames_noted(os.pread(index, INDEX_HEAD, 0)))
