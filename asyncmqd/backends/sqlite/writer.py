"""The writer: one thread that puts all requests that wait into one transaction (group commit).

A commit costs a flush of the disk, whatever it carries. While one commit is under way, requests
gather, and the next transaction carries them all: many callers share one flush, and a single one
waits for nobody.

What a boot of the host ends in any case is not flushed by itself: heartbeats, renewed leases, and
events for watchers. The next commit that flushes takes it along.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence

from asyncmqd.backends.sqlite.checkpoints import Checkpoints
from asyncmqd.backends.sqlite.errors import is_busy
from asyncmqd.backends.sqlite.file import DatabaseFile
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
        self._flushes = True  # whether the next commit has to
        self._is_set_to_flush = True
        super().__init__(file, "writer")

    def open(self) -> sqlite3.Connection:
        connection = super().open()
        self._order.join(self.file.log)
        connection.execute("PRAGMA busy_timeout = 0")  # it would sleep for longer than a try takes
        self._is_set_to_flush = True
        return connection

    def close(self, connection: sqlite3.Connection) -> None:
        self._checkpoints.end()
        self._order.leave()
        super().close(connection)

    def prepare(self, group: Sequence[Request]) -> None:
        self._flushes = any(request.flushes for request in group)

    def begin(self, connection: sqlite3.Connection) -> Transaction:
        if self._flushes is not self._is_set_to_flush:
            self.file.set_to_flush(connection, self._flushes)
            self._is_set_to_flush = self._flushes
        self._order.give_way()
        try:
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
        # Before anybody is told: what went into a file that was removed meanwhile is lost.
        self._log_bytes = self.file.confirm_log()
        if view.woken or any(view.ended.values()):
            ring(self.file.path, view.woken, view.ended)

    def tidy(self, connection: sqlite3.Connection) -> None:
        log_bytes, self._log_bytes = self._log_bytes, 0
        self._checkpoints.after_commit(connection, log_bytes)
