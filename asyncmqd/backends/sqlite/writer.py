"""The writer: one thread that puts all requests at hand into one transaction (group commit).

A commit costs a flush of the disk, whatever it carries. While one commit is under way, requests
gather, and the next transaction carries them all: many callers share one flush, and a single one
waits for nobody.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable

from asyncmqd.backends.sqlite.errors import busy, is_busy
from asyncmqd.backends.sqlite.file import DatabaseFile
from asyncmqd.backends.sqlite.threads import Request, StoreThread
from asyncmqd.backends.sqlite.transaction import Transaction
from asyncmqd.domain import clock

BUSY_LIMIT = 15.0  # seconds for which another process may hold the file
# Seconds between two tries to get it. Commits take about so long; SQLite's own wait, with sleeps
# of up to 100 ms, would leave one process behind while the others take turns.
BUSY_PAUSE = 0.001
BUSY_TIMEOUT = 1  # milliseconds; that own wait


class Writer(StoreThread):
    """Carries out what writes; `wake` is told which queues may have work, after each commit."""

    def __init__(self, file: DatabaseFile, wake: Callable[[set[str]], None]) -> None:
        self._wake = wake
        super().__init__(file, "writer")

    def open(self) -> sqlite3.Connection:
        return self.file.open(BUSY_TIMEOUT)

    def carry_out(self, group: list[Request]) -> None:
        connection = self._begin()
        tx = Transaction(connection, self.file.host)
        for request in group:
            request.result = request.work(tx)
        tx.finish()
        connection.execute("COMMIT")
        if tx.woken:
            self._wake(tx.woken)

    def _begin(self) -> sqlite3.Connection:
        """A connection in a transaction that may write."""
        deadline = clock.monotonic() + BUSY_LIMIT
        while True:
            try:
                connection = self.connection()
                connection.execute("BEGIN IMMEDIATE")
            except sqlite3.Error as error:
                if not is_busy(error):
                    raise
                if clock.monotonic() > deadline or self.stopping.is_set():
                    raise busy(self.file.path) from error
                self.stopping.wait(BUSY_PAUSE)
            else:
                return connection
