"""The database file: who may open it, what it must be, and how a new one is made."""

from __future__ import annotations

import contextlib
import os
import sqlite3
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from asyncmqd.backends import layout
from asyncmqd.backends.after_fork import keep_for_ever
from asyncmqd.backends.base import StoreError, StoreRefused
from asyncmqd.backends.sqlite import creation, sql_statements
from asyncmqd.backends.sqlite.address import Address
from asyncmqd.backends.sqlite.clock import HostClock
from asyncmqd.backends.sqlite.errors import DAMAGED, damaged
from asyncmqd.backends.sqlite.failed_flush import FailedFlush
from asyncmqd.backends.sqlite.forks import Identity, refuse_inherited
from asyncmqd.backends.sqlite.free_disk_space import log_limit, log_size
from asyncmqd.backends.sqlite.transaction import save_clock
from asyncmqd.domain import os_threads

APPLICATION = 0x61736D71  # "asmq", as `PRAGMA application_id`
LAYOUT = 21  # of the tables, as `PRAGMA user_version`; see migration.py

_SMALLEST = 512  # bytes: a database has at least one page

_SETTINGS = (
    # SQLite's own wait sleeps up to 100 ms at a time: the threads wait by themselves.
    "PRAGMA busy_timeout = 1",
    # Distributions compile in the overwriting of what is deleted; that is not what we promise.
    "PRAGMA secure_delete = OFF",
    "PRAGMA temp_store = MEMORY",
    "PRAGMA cache_size = -8192",  # KiB
    "PRAGMA wal_autocheckpoint = 0",  # see checkpoints.py
)

# By one statement, so of one moment: another process may make the store meanwhile.
_MARKS = (
    "SELECT (SELECT application_id FROM pragma_application_id),"
    " (SELECT user_version FROM pragma_user_version), (SELECT count(*) FROM sqlite_master)"
)

_torn: dict[Path, str] = {}
"""Files that this process must not touch any more, and why.

SQLite shares what it knows of a log among all connections of a process, so that a new connection
would write by what is known of the old log.
"""


class Files(NamedTuple):
    """Which files stand at the paths of the database, its -wal and its -shm."""

    database: Identity | None
    log: Identity | None
    shared: Identity | None  # the log's index

    def torn_from(self, held: Files) -> bool:
        """Whether the database is the one that is held, and its log or index is not."""
        return self.database == held.database and self != held


class DatabaseFile:
    """One database file, as one instance of the store sees it."""

    def __init__(self, address: Address, host: HostClock) -> None:
        self.path = address.path
        self.log = f"{self.path}-wal"
        self._paths = (str(self.path), self.log, f"{self.path}-shm")
        self.host = host
        self.failed_flush = FailedFlush(self.path)
        self.log_limit = 0  # bytes that the log may have before it is brought into the file
        self.log_kept = 0  # bytes that it is cut to when it begins again, if it had more
        self.log_holder = ""  # who keeps the log from being brought in, once it is far too long
        self._named = address.named
        self._synchronous = address.synchronous
        self._seen = False
        self._lock = os_threads.lock()  # of the next two
        self._connections: set[sqlite3.Connection] = set()
        self._held: Files | None = None  # the files that these have open

    def look(self) -> None:
        """See that the files in use are still at their paths, before a write. Raises StoreError."""
        if not self._seen:
            return
        self.confirm()
        try:
            read_only = os.statvfs(self.path).f_flag & os.ST_RDONLY
        except OSError:
            raise self._removed() from None
        if read_only:
            raise StoreError(f"{self.path}: its file system became read-only")

    def confirm(self) -> None:
        """See that the files in use are still at their paths: three calls of the kernel.

        What is written to a file that was removed is lost. Raises StoreError.
        """
        held = self._held
        found = self._files()
        if self.path in _torn:
            raise StoreError(_torn[self.path])
        if found.database is None:
            raise self._removed()
        # Closed meanwhile by another thread, the log went as it should.
        if held is not None and found != held and held is self._held:
            raise self._replaced(found, held)

    def confirm_log(self) -> int:
        """See that the log in use is still at its path; its bytes. Raises StoreError.

        Enough after a commit: whoever takes itself for the last user deletes log and index.
        """
        log, held = _status(self.log), self._held
        if log is None or held is None or _identity(log) != held.log:
            self.confirm()
        return log.st_size if log else 0

    def is_log(self, descriptor: int | None) -> bool:
        """Whether it is one of the log in use."""
        held = self._held
        if descriptor is None or held is None:
            return False
        return _identity(os.fstat(descriptor)) == held.log

    def log_bytes(self) -> int:
        """The bytes of the log."""
        log = _status(self.log)
        return log.st_size if log else 0

    def _files(self) -> Files:
        return Files(*[_identity(_status(each)) for each in self._paths])

    def _removed(self) -> StoreError:
        return StoreError(f"{self.path}: the file was removed while in use")

    def _replaced(self, found: Files, held: Files) -> StoreError:
        if found.torn_from(held):
            reason = (
                f"{self.path}: its -wal or -shm was removed or replaced while in use, and with it"
                " the last changes: restart every process that uses it"
            )
            return self.torn(reason)
        return StoreError(
            f"{self.path}: another file was put in its place while in use: put the former one back,"
            " or stop every process that uses it, and remove its -wal and -shm"
        )

    def torn(self, reason: str) -> StoreError:
        """Not to be touched by this process any more; what to raise."""
        return StoreError(_torn.setdefault(self.path, reason))

    # ------------------------------------------------------------------ connections

    @contextlib.contextmanager
    def opened(self, *, any_layout: bool = False) -> Iterator[sqlite3.Connection]:
        """A connection that is closed at the end. Raises what `open` raises."""
        connection = self.open_any() if any_layout else self.open()
        try:
            yield connection
        finally:
            self.close(connection)

    def open(self) -> sqlite3.Connection:
        """A connection to a checked file of our layout; `close` closes it.

        A file that was there once is not made again: who moved it away will want it back.
        Raises StoreError, StoreRefused and sqlite3.Error.
        """
        connection = self.open_any()
        try:
            self.check_layout(connection)
        except BaseException:
            self.close(connection)
            raise
        return connection

    def open_any(self) -> sqlite3.Connection:
        """The same for a store of whatever layout; a new file becomes a store of ours."""
        expected = self._expected()
        # SQLite makes a file only where files cannot have two names.
        mode = "rw" if expected else "rwc"
        connection = self.connect(mode)
        try:
            self._prepare(connection)
            self._hold(connection, expected)
        except OSError as error:
            self.close(connection)
            raise StoreError(f"{self.path}: it cannot be opened: {error.strerror}") from None
        except UnicodeDecodeError:  # sqlite3 repeats what it cannot read, in an error of its own
            self.close(connection)
            raise damaged(self.path, "its schema is no text") from None
        except BaseException:
            self.close(connection)
            raise
        self._seen = True
        return connection

    @contextlib.contextmanager
    def beside(self) -> Iterator[sqlite3.Connection]:
        """A connection for checkpoints, beside one that is open, and closed before that one."""
        connection = self.connect()
        with self._lock:
            self._connections.add(connection)
        try:
            for setting in ("wal_autocheckpoint = 0", f"journal_size_limit = {self.log_kept}"):
                connection.execute(f"PRAGMA {setting}")
            connection.execute("PRAGMA user_version").fetchone()  # opens the log
            yield connection
        finally:
            with self._lock:
                self._connections.discard(connection)
            connection.close()

    def connect(self, mode: str = "rw") -> sqlite3.Connection:
        """A connection as SQLite makes it, for a moment beside another one."""
        uri = f"{self.path.as_uri()}?mode={mode}"
        return sqlite3.connect(uri, uri=True, isolation_level=None, check_same_thread=False)

    @property
    def flushes(self) -> bool:
        """Whether what is answered has to be on the disk."""
        return self._synchronous == "FULL"

    def set_to_flush(self, connection: sqlite3.Connection, flushes: bool) -> None:
        """Whether its next commits wait until the disk has them, where they are to do that."""
        mode = self._synchronous if flushes else "NORMAL"
        connection.execute(f"PRAGMA synchronous = {mode}")

    def close(self, connection: sqlite3.Connection) -> None:
        """Close it, unless that would harm: the last one brings its log into the file."""
        with self._lock:
            self._connections.discard(connection)
            held = self._held
            if not self._connections:
                self._held = None
        found = self._files()
        if held is not None and found.torn_from(held):
            self._replaced(found, held)
        if self.path in _torn or self.failed_flush.is_pending:
            with contextlib.suppress(sqlite3.Error):
                connection.rollback()  # others wait for its locks
            keep_for_ever(connection)
            return
        with contextlib.suppress(sqlite3.Error):
            connection.close()

    def keep_connections(self) -> None:
        """In a fork: what is open is the parent's, and must not be closed here."""
        for connection in self._connections:
            keep_for_ever(connection)

    def _expected(self) -> Identity | None:
        """The file that is to be opened; None for one that SQLite has to make."""
        if self._seen:
            self.confirm()
        elif self.path in _torn:
            raise StoreError(_torn[self.path])
        else:
            creation.refuse_planted(self._named)
            creation.make(self.path)
            creation.refuse_mounted_alone(self.path)
        creation.refuse_planted_beside(self.path)
        expected = _identity(_status(self.path))
        refuse_inherited(self.path, expected)
        return expected

    def _hold(self, connection: sqlite3.Connection, expected: Identity | None) -> None:
        """Remember what it has open. Raises StoreError if that is not what the others have."""
        found = self._files()
        if expected not in {None, found.database}:
            raise StoreError(f"{self.path}: the file was replaced while it was opened")
        with self._lock:
            if self._connections and self._held and found != self._held:
                raise self._replaced(found, self._held)
            self._held = found
            self._connections.add(connection)

    def check_layout(self, connection: sqlite3.Connection) -> None:
        """Refuse a layout that is not ours. Raises StoreOutdated and StoreRefused.

        Asked in each transaction, for another process may have migrated the file meanwhile.
        """
        (found,) = connection.execute("PRAGMA user_version").fetchone()
        if found != LAYOUT:
            layout.check(str(self.path), found, LAYOUT)

    def _prepare(self, connection: sqlite3.Connection) -> None:
        for setting in _SETTINGS:
            connection.execute(setting)
        connection.execute(f"PRAGMA synchronous = {self._synchronous}")
        pages = log_limit(self.path)
        # What is added until it has been brought in has a place on the disk already: there a flush
        # takes a tenth of the time, because the file system has nothing to write for it.
        self.log_limit, self.log_kept = log_size(pages), log_size(pages + pages // 4)
        connection.execute(f"PRAGMA journal_size_limit = {self.log_kept}")
        is_new = self._is_new(connection)  # asked before anything is written: it may be foreign
        connection.execute("PRAGMA journal_mode = WAL")
        if is_new:
            self._make_layout(connection)
        connection.execute("PRAGMA user_version").fetchone()  # opens log and index, if need be

    def _is_new(self, connection: sqlite3.Connection) -> bool:
        application, version, tables = connection.execute(_MARKS).fetchone()
        if application == APPLICATION:
            return False
        if 0 < os.stat(self.path).st_size < _SMALLEST:  # SQLite would call it empty
            raise StoreRefused(f"{self.path}: {DAMAGED}")
        if application or version or tables:
            raise StoreRefused(
                f"{self.path}: expected a job store, got the database of another application"
            )
        return True

    def _make_layout(self, connection: sqlite3.Connection) -> None:
        connection.execute("BEGIN IMMEDIATE")
        try:
            if self._is_new(connection):  # still: another process may have been faster
                for statement in sql_statements.read("schema.sql").split(";\n"):
                    connection.execute(statement)
                save_clock(connection.execute, self.host.first(), 0)
                connection.execute(f"PRAGMA application_id = {APPLICATION}")
                connection.execute(f"PRAGMA user_version = {LAYOUT}")
            connection.execute("COMMIT")
        except BaseException:
            if connection.in_transaction:
                connection.execute("ROLLBACK")
            raise


def _status(path: str | Path) -> os.stat_result | None:
    try:
        return os.stat(path)
    except OSError:
        return None


def _identity(found: os.stat_result | None) -> Identity | None:
    return (found.st_dev, found.st_ino) if found else None
