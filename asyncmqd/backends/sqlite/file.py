"""The database file: who may open it, what it must be, and how a new one is made."""

from __future__ import annotations

import os
import sqlite3
import stat
from pathlib import Path

from asyncmqd.backends import layout
from asyncmqd.backends.base import StoreError, StoreRefused
from asyncmqd.backends.sqlite import queries
from asyncmqd.backends.sqlite.address import Address
from asyncmqd.backends.sqlite.clock import HostClock
from asyncmqd.backends.sqlite.errors import DAMAGED, damaged
from asyncmqd.backends.sqlite.room import log_limit
from asyncmqd.backends.sqlite.transaction import save_clock

APPLICATION = 0x61736D71  # "asmq", as `PRAGMA application_id`
LAYOUT = 2  # of the tables, as `PRAGMA user_version`; see migration.py

_SMALLEST = 512  # bytes: a database has at least one page

Identity = tuple[int, int]  # device and inode

_SETTINGS = (
    # SQLite's own wait sleeps up to 100 ms at a time: the threads wait by themselves.
    "PRAGMA busy_timeout = 1",
    # Distributions compile in the overwriting of what is deleted; that is not what we promise.
    "PRAGMA secure_delete = OFF",
    "PRAGMA temp_store = MEMORY",
    "PRAGMA cache_size = -8192",  # KiB
    "PRAGMA journal_size_limit = 67108864",  # bytes that the log keeps after a burst
)


class DatabaseFile:
    """One database file, as one instance of the store sees it."""

    def __init__(self, address: Address, host: HostClock) -> None:
        self.path = address.path
        self.host = host
        self._named = address.named
        self._synchronous = address.synchronous
        self._seen = False

    def identity(self) -> Identity | None:
        """What tells this file from another one in its place; None when there is none."""
        try:
            found = os.stat(self.path)
        except OSError:
            return None
        return found.st_dev, found.st_ino

    def look(self) -> None:
        """See that the file that was in use is still there, to be written. Raises StoreError."""
        if not self._seen:
            return
        try:
            read_only = os.statvfs(self.path).f_flag & os.ST_RDONLY
        except OSError:
            raise self._removed() from None
        if read_only:
            raise StoreError(f"{self.path}: its file system became read-only")

    def _removed(self) -> StoreError:
        return StoreError(f"{self.path}: the file was removed while in use")

    def open(self) -> sqlite3.Connection:
        """A connection to a checked file of our layout.

        A file that was there once is not made anew: whoever moved it away will want it back.
        Raises StoreError, StoreRefused and sqlite3.Error.
        """
        connection = self.open_any()
        try:
            self.check_layout(connection)
        except BaseException:
            connection.close()
            raise
        return connection

    def open_any(self) -> sqlite3.Connection:
        """The same for a store of whatever layout; a new file becomes a store of ours."""
        if not self._seen:
            _refuse_planted(self._named)
            _create(self.path)
        elif self.identity() is None:
            raise self._removed()
        uri = f"{self.path.as_uri()}?mode=rw"
        connection = sqlite3.connect(uri, uri=True, isolation_level=None, check_same_thread=False)
        try:
            self._prepare(connection)
        except OSError as error:
            connection.close()
            raise StoreError(f"{self.path}: it cannot be opened: {error.strerror}") from None
        except UnicodeDecodeError:  # sqlite3 repeats what it cannot read, in an error of its own
            connection.close()
            raise damaged(self.path, "its schema is no text") from None
        except BaseException:
            connection.close()
            raise
        self._seen = True
        return connection

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
        connection.execute(f"PRAGMA wal_autocheckpoint = {log_limit(self.path)}")
        is_new = self._is_new(connection)  # asked before anything is written: it may be foreign
        connection.execute("PRAGMA journal_mode = WAL")
        if is_new:
            self._make_layout(connection)

    def _is_new(self, connection: sqlite3.Connection) -> bool:
        (application,) = connection.execute("PRAGMA application_id").fetchone()
        if application == APPLICATION:
            return False
        (version,) = connection.execute("PRAGMA user_version").fetchone()
        (tables,) = connection.execute("SELECT count(*) FROM sqlite_master").fetchone()
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
                for statement in queries.read("schema.sql").split(";\n"):
                    connection.execute(statement)
                save_clock(connection.execute, self.host.first(), 0)
                connection.execute(f"PRAGMA application_id = {APPLICATION}")
                connection.execute(f"PRAGMA user_version = {LAYOUT}")
            connection.execute("COMMIT")
        except BaseException:
            if connection.in_transaction:
                connection.execute("ROLLBACK")
            raise


def _create(path: Path) -> None:
    """See that there is a file.

    SQLite itself would never let the group write, whatever the umask says; the files that it puts
    beside a database get that one's mode.
    """
    try:
        fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o666)
        try:
            _give_to_owner_of(path.parent, fd)
        finally:
            os.close(fd)
    except FileNotFoundError:
        raise StoreRefused(f"{path}: the directory {path.parent} does not exist") from None
    except (IsADirectoryError, NotADirectoryError):
        raise StoreRefused(f"{path}: expected a file in a directory, got something else") from None
    except PermissionError:
        raise StoreRefused(
            f"{path}: expected to read and write it as user {os.geteuid()}, got no permission"
        ) from None
    except OSError as error:
        raise StoreError(f"{path}: it cannot be opened: {error.strerror}") from None


def _refuse_planted(path: Path) -> None:
    """Refuse what a member of the group can put in the place of the file.

    Applications write in this directory. A link of theirs would have root's `asyncmq` make a file,
    and give it away, wherever it leads; a pipe would keep whoever opens it waiting.
    """
    try:
        found = path.lstat()
    except OSError:
        return  # there is none, or opening it will say what is wrong
    if stat.S_ISLNK(found.st_mode):
        if found.st_uid not in {0, os.geteuid()}:
            raise StoreRefused(f"{path}: expected a file, got a link of user {found.st_uid}")
    elif not stat.S_ISREG(found.st_mode) and not stat.S_ISDIR(found.st_mode):
        raise StoreRefused(f"{path}: expected a regular file, got another kind")


def _give_to_owner_of(directory: Path, fd: int) -> None:
    """An administrator's command before the first start must not lock the daemon out."""
    found = os.fstat(fd)
    if os.geteuid() == 0 and found.st_size == 0 and found.st_nlink == 1:
        owner = directory.stat()
        os.fchown(fd, owner.st_uid, owner.st_gid)
