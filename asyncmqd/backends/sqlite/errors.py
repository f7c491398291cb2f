"""What an error of SQLite means to whoever runs the store."""

from __future__ import annotations

import sqlite3
from pathlib import Path

from asyncmqd.backends.base import StoreError, StoreRefused

DAMAGED = "the file is corrupt: restore a backup"
_BUSY = "another process held the file for too long"
_NOW = {
    sqlite3.SQLITE_FULL: "the disk is full",
    sqlite3.SQLITE_READONLY: "the file or its file system is read-only",
    sqlite3.SQLITE_IOERR: "the disk failed",
    sqlite3.SQLITE_BUSY: _BUSY,
    sqlite3.SQLITE_CANTOPEN: "the file cannot be opened",
    sqlite3.SQLITE_NOMEM: "no memory is left",
}
_NEVER = {
    sqlite3.SQLITE_NOTADB: "expected an SQLite database, got another kind of file",
    sqlite3.SQLITE_CORRUPT: DAMAGED,
    sqlite3.SQLITE_PERM: "expected access to the file, got none",
}


def is_busy(error: sqlite3.Error) -> bool:
    """Whether another process is writing, so that the same will do a moment later."""
    return _code(error) == sqlite3.SQLITE_BUSY


def is_failed_flush(error: Exception) -> bool:
    """Whether the disk did not take what was written before."""
    return getattr(error, "sqlite_errorcode", 0) == sqlite3.SQLITE_IOERR_FSYNC


def busy(path: Path) -> StoreError:
    """What to raise when that moment does not come."""
    return StoreError(f"{path}: {_BUSY}")


def damaged(path: Path, reason: str) -> StoreRefused:
    """What to raise when a look into the file finds it so."""
    return StoreRefused(f"{path}: {DAMAGED} ({reason})")


def translated(path: Path, error: sqlite3.Error) -> StoreError | None:
    """The StoreError for an error of the file; None when the call itself was wrong."""
    code = _code(error)
    if code in _NEVER:
        return StoreRefused(f"{path}: {_NEVER[code]} ({error})")
    if code in _NOW or isinstance(error, sqlite3.OperationalError):
        return StoreError(f"{path}: {_NOW.get(code, 'the store failed')} ({error})")
    return None


def _code(error: sqlite3.Error) -> int:
    code: int = getattr(error, "sqlite_errorcode", 0)
    return code & 0xFF  # without the detail
