"""The writer: one thread that puts all requests that wait into one transaction (group commit).

A commit costs a flush of the disk, whatever it carries. While one commit is under way, requests
gather, and the next transaction carries them all: many callers share one flush, and a single one
waits for nobody.
"""

from __future__ import annotations

import sqlite3

from asyncmqd.backends.sqlite.checkpoints import Checkpoints
from asyncmqd.backends.sqlite.file import DatabaseFile
from asyncmqd.backends.sqlite.threads import StoreThread
from asyncmqd.backends.sqlite.transaction import Transaction
from asyncmqd.backends.sqlite.wakeups import ring


class Writer(StoreThread[Transaction]):
    """Carries out what writes, and wakes who sleeps after each commit that gives it work."""

    def __init__(self, file: DatabaseFile) -> None:
        self._checkpoints = Checkpoints(file)
        self._log_bytes = 0
        super().__init__(file, "writer")

    def begin(self, connection: sqlite3.Connection) -> Transaction:
        connection.execute("BEGIN IMMEDIATE")
        self.file.check_layout(connection)
        return Transaction(connection, self.file.host)

    def finish(self, view: Transaction) -> None:
        super().finish(view)
        # Before anybody is told: what went into a file that was removed meanwhile is lost.
        self._log_bytes = self.file.confirm_log()
        if view.woken or any(view.ended.values()):
            ring(self.file.path, view.woken, view.ended)

    def tidy(self, connection: sqlite3.Connection) -> None:
        log_bytes, self._log_bytes = self._log_bytes, 0
        self._checkpoints.after_commit(connection, log_bytes)
