"""After a failed flush the log goes into the database, with a flush of that, and a new log begins.

To write the log over itself is not enough. On ext4 the place that a file got for what the disk did
not take stays "unwritten": what is written there again is flushed without an error, and reads as
zeros after a loss of power. So the log is cut to nothing.
"""

from __future__ import annotations

import contextlib
import os
import sqlite3

from asyncmqd.backends.base import StoreError
from asyncmqd.backends.sqlite.descriptors import descriptors_of, forget_cached
from asyncmqd.backends.sqlite.errors import is_busy, is_failed_flush
from asyncmqd.backends.sqlite.file import DatabaseFile
from asyncmqd.backends.sqlite.log_frames import INDEX_HEAD, frames_noted, is_whole

_WAIT = 1_000  # ms for those who read


def renew_log(file: DatabaseFile, connection: sqlite3.Connection) -> None:
    """`connection` is in no transaction. Raises StoreError, and sqlite3.Error if others write."""
    with file.failed_flush.one_try():
        _renew(file, connection)


def _renew(file: DatabaseFile, connection: sqlite3.Connection) -> None:
    try:
        for each in descriptors_of(file.log):  # SQLite's, too, would tell of what failed before
            with contextlib.suppress(OSError):
                os.fdatasync(each)
        _check_log(file, connection)
        if not _is_brought_in(file, connection):
            raise StoreError(
                f"{file.path}: the disk failed, and its -wal cannot be written into the database"
                " while a program reads the store in one long transaction"
            )
    except OSError as error:
        raise StoreError(f"{file.path}: the disk failed ({error.strerror})") from error
    except sqlite3.Error as error:
        if is_busy(error):
            raise
        raise StoreError(f"{file.path}: the disk failed, and goes on failing ({error})") from error


def _check_log(file: DatabaseFile, connection: sqlite3.Connection) -> None:
    """What was not on the disk stays in memory for some time only: then the log is no whole."""
    connection.execute("BEGIN IMMEDIATE")
    try:
        [index, *_] = descriptors_of(f"{file.path}-shm")
        frames = frames_noted(os.pread(index, INDEX_HEAD, 0))
        with open(file.log, "rb") as log:
            if not is_whole(log, frames):
                raise file.torn(
                    f"{file.path}: the disk failed, and a part of its -wal cannot be read any more:"
                    " restart every process that uses it"
                )
    finally:
        connection.execute("ROLLBACK")


def _is_brought_in(file: DatabaseFile, connection: sqlite3.Connection) -> bool:
    connection.execute(f"PRAGMA busy_timeout = {_WAIT}")
    try:
        try:
            return _begins_anew(file, connection)
        except sqlite3.Error as error:
            if not is_failed_flush(error):
                raise
        return _begins_anew(file, connection)  # the failure may have been that of another process
    finally:
        connection.execute("PRAGMA busy_timeout = 0")


def _begins_anew(file: DatabaseFile, connection: sqlite3.Connection) -> bool:
    try:
        busy, *_ = connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
    except sqlite3.Error as error:
        if is_failed_flush(error):
            forget_cached(file.path)
        raise
    return not busy
