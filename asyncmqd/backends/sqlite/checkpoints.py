"""The log is brought into the database file only by who holds the write lock.

SQLite does it by itself after a commit, while others go on committing. Before 3.51.3 that can
damage the file: a second checkpoint, after one that was complete, does not notice that a commit has
begun the log again meanwhile (https://sqlite.org/wal.html#walresetbug). Under the write lock no
commit can come between. The last connection of all checkpoints as it closes; SQLite has the file
locked then.
"""

from __future__ import annotations

import contextlib
import sqlite3

from asyncmqd.backends.sqlite.file import DatabaseFile

_WAIT = 1  # ms for another one's commit
_HELD = 8  # times its limit that the log has when somebody must be reading an old part of it


class Checkpoints:
    """When the writer of one process brings the log in.

    A log that begins again is cut to its limit (`journal_size_limit`). So its length alone tells
    every process whether it is due.
    """

    def __init__(self, file: DatabaseFile) -> None:
        self._file = file
        self._due = 0  # bytes of the log; more than its limit while a reader is in the way

    def after_commit(self, connection: sqlite3.Connection, log_bytes: int) -> None:
        """Bring the log in, if it is long and nobody else writes."""
        limit = self._file.log_limit
        if log_bytes <= limit:
            self._due = limit
        elif log_bytes >= self._due:
            self._due = log_bytes + limit // 4
            self._checkpoint(connection)

    def _checkpoint(self, connection: sqlite3.Connection) -> None:
        """On a connection of its own: SQLite refuses it inside of a transaction."""
        with contextlib.suppress(sqlite3.Error):  # busy, or a full disk: after a later commit
            connection.execute(f"PRAGMA busy_timeout = {_WAIT}")
            connection.execute("BEGIN IMMEDIATE")
            with contextlib.closing(self._file.connect()) as other:
                other.execute("PRAGMA user_version").fetchone()  # opens the log
                other.execute("PRAGMA wal_checkpoint(PASSIVE)").fetchone()
        if connection.in_transaction:
            connection.execute("ROLLBACK")
        connection.execute("PRAGMA busy_timeout = 0")


def held_up(file: DatabaseFile) -> str:
    """A sentence if somebody keeps the log from being brought in; else none."""
    if not file.log_limit or file.log_bytes() <= _HELD * file.log_limit:
        return ""
    return (
        f"{file.path}-wal grows and cannot be written into the database: a program reads the store"
        " in one long transaction, which has to end before the disk is full"
    )
