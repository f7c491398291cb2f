"""The reader: a thread with a connection of its own, so that no look waits for a flush."""

from __future__ import annotations

import sqlite3

from asyncmqd.backends.sqlite.file import DatabaseFile
from asyncmqd.backends.sqlite.threads import StoreThread
from asyncmqd.backends.sqlite.transaction import Snapshot


class Reader(StoreThread[Snapshot]):
    """Carries out what only reads: all requests that wait, in one snapshot."""

    def __init__(self, file: DatabaseFile) -> None:
        super().__init__(file, "reader")

    def open(self) -> sqlite3.Connection:
        connection = super().open()
        connection.execute("PRAGMA query_only = ON")
        return connection

    def begin(self, connection: sqlite3.Connection) -> Snapshot:
        connection.execute("BEGIN")
        self.file.check_layout(connection)
        return Snapshot(connection, self.file.host)
