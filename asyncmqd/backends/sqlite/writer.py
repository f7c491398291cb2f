"""The writer: one thread that puts all requests that wait into one transaction (group commit).

A commit costs a flush of the disk, whatever it carries. While one commit is under way, requests
gather, and the next transaction carries them all: many callers share one flush, and a single one
waits for nobody.

What a boot of the host ends in any case is not flushed by itself: heartbeats, renewed leases, and
events for watchers; nor is the deletion of ended jobs. The next commit that flushes takes it along.

New jobs are seen by others as soon as they are committed, and answered when the disk has them: a
worker claims them meanwhile, and nobody waits for that flush to write. The claim's own flush takes
them along, since all is in one log.
"""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Sequence

from asyncmqd.backends.base import StoreError, StoreUncertain
from asyncmqd.backends.sqlite.checkpoints import Checkpoints
from asyncmqd.backends.sqlite.errors import is_busy, is_failed_flush
from asyncmqd.backends.sqlite.file import DatabaseFile
from asyncmqd.backends.sqlite.log_renewal import renew_log
from asyncmqd.backends.sqlite.threads import Request, StoreThread
from asyncmqd.backends.sqlite.transaction import Transaction
from asyncmqd.backends.sqlite.wakeups import ring
from asyncmqd.backends.sqlite.write_order import WriteOrder


class Writer(StoreThread[Transaction]):
    """Carries out what writes, and wakes who sleeps after each commit that gives it work."""

    def __init__(self, file: DatabaseFile) -> None:
        self._checkpoints = Checkpoints(file)
        self._log_bytes = 0
        self._order = WriteOrder()
        self._log: int | None = None  # a descriptor, to flush it by
        self._flushes = True  # whether the next commit has to
        self._flushes_after = False  # whether it is seen by others before that
        self._is_set_to_flush = True
        super().__init__(file, "writer")

    def open(self) -> sqlite3.Connection:
        connection = super().open()
        self._order.join(self.file.log)
        self._log = self._order.log if self.file.is_log(self._order.log) else None
        connection.execute("PRAGMA busy_timeout = 0")  # it would sleep for longer than a try takes
        self._is_set_to_flush = True
        self._checkpoints.join()
        return connection

    def close(self, connection: sqlite3.Connection) -> None:
        self._checkpoints.end()
        self._log = None
        self._order.leave()
        super().close(connection)

    def prepare(self, group: Sequence[Request]) -> None:
        lasting = [request for request in group if request.flushes]
        self._flushes = bool(lasting)
        self._flushes_after = self._flushes and all(request.early for request in lasting)

    def begin(self, connection: sqlite3.Connection) -> Transaction:
        self._flushes_after = self._flushes_after and self._log is not None and self.file.flushes
        flushes = self._flushes and not self._flushes_after
        if flushes is not self._is_set_to_flush:
            self.file.set_to_flush(connection, flushes)
            self._is_set_to_flush = flushes
        self._order.give_way()
        try:
            if self._is_behind_a_failure():
                self._checkpoints.end()  # it reads the log, and a new one waits for all who do
                renew_log(self.file, connection)
            connection.execute("BEGIN IMMEDIATE")
        except sqlite3.Error as error:
            if is_busy(error):
                self._order.wait()
            raise
        self.file.check_layout(connection)
        return Transaction(connection, self.file.host)

    def end_waiting(self) -> None:
        self._order.end()

    def finish(self, view: Transaction) -> None:
        super().finish(view)
        if self._flushes_after:
            self._ring(view)
            self._flush()
        # Before anybody is answered: what went into a file that was removed meanwhile is lost.
        try:
            self._log_bytes = self.file.confirm_log()
        except StoreError as error:  # but somebody may have read it there, and have acted on it
            raise StoreUncertain(*error.args) from error
        if not self._flushes_after:
            self._ring(view)
        if self._is_behind_a_failure():
            raise StoreUncertain(f"{self.file.path}: the disk failed in another process")

    def _is_behind_a_failure(self) -> bool:
        """Who asked would be told that the disk has it, and it may not have what is before it."""
        return self._flushes and self.file.flushes and self.file.failed_flush.is_pending

    def _roll_back(self, error: Exception) -> None:
        if is_failed_flush(error):
            self.file.failed_flush.note()
        super()._roll_back(error)

    def _ring(self, view: Transaction) -> None:
        if view.woken or any(view.ended.values()):
            ring(self.file.path, view.woken, view.ended)

    def _flush(self) -> None:
        """Also if nothing was written: an answer may name a job that another one has just added."""
        assert self._log is not None
        try:
            os.fdatasync(self._log)
        except OSError as error:
            self.file.failed_flush.note()
            reason = f"{self.file.path}: the disk failed ({error.strerror})"
            raise StoreUncertain(reason) from error

    def tidy(self, connection: sqlite3.Connection) -> None:
        log_bytes, self._log_bytes = self._log_bytes, 0
        self._checkpoints.after_commit(connection, log_bytes)
