"""The reader: a thread with a connection of its own, so that no look waits for a flush."""

from __future__ import annotations

import sqlite3

from asyncmqd.backends.sqlite.file import DatabaseFile
from asyncmqd.backends.sqlite.threads import Request, StoreThread
from asyncmqd.backends.sqlite.transaction import Snapshot

BUSY_TIMEOUT = 10_000  # milliseconds; readers wait only while another process recovers the log


class Reader(StoreThread):
    """Carries out what only reads: all requests at hand in one snapshot."""

    def __init__(self, file: DatabaseFile) -> None:
        super().__init__(file, "reader")

    def open(self) -> sqlite3.Connection:
        connection = self.file.open(BUSY_TIMEOUT)
        connection.execute("PRAGMA query_only = ON")
        return connection

    def carry_out(self, group: list[Request]) -> None:
        connection = self.connection()
        connection.execute("BEGIN")
        view = Snapshot(connection, self.file.host)
        for request in group:
            request.result = request.work(view)
        connection.execute("COMMIT")
