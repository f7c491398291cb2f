"""A backup of a store that is in use."""

from __future__ import annotations

import contextlib
import os
import sqlite3
import threading
from collections.abc import Callable
from pathlib import Path

from asyncmqd.backends.base import StoreError
from asyncmqd.backends.sqlite.creation import make_empty
from asyncmqd.backends.sqlite.errors import translated
from asyncmqd.backends.sqlite.file import DatabaseFile

Progress = Callable[[int, int], None]
"""Called with the pages that are copied, and all pages there are."""

_PAGES = 1_024  # copied between two calls of the progress


class Abandoned(Exception):
    """Nobody waits for the backup any more."""


def back_up(
    file: DatabaseFile,
    target: Path,
    progress: Progress | None = None,
    abandoned: threading.Event | None = None,
    *,
    any_layout: bool = False,
) -> None:
    """Write the store as it is at this moment to `target`, which is replaced when all is there.

    Raises StoreError.
    """
    part = part_of(target)
    try:
        found = os.stat(file.path)
        make_empty(part, found.st_mode & 0o777, found)  # the same people may read and write it
    except FileExistsError:
        raise StoreError(
            f"{part}: another backup is under way, or was cut off: remove it"
        ) from None
    except OSError as error:
        raise StoreError(
            f"{part}: it cannot be written by user {os.geteuid()}: {error.strerror}"
        ) from None
    try:
        with file.opened(any_layout=any_layout) as source:
            _copy(source, part, progress, abandoned)
        os.replace(part, target)
        _flush_names(target.parent)
    except (sqlite3.Error, OSError) as error:
        reason = translated(part, error) if isinstance(error, sqlite3.Error) else None
        raise reason or StoreError(f"{target}: it cannot be written: {error}") from error
    finally:
        with contextlib.suppress(FileNotFoundError):
            os.unlink(part)


def part_of(target: Path) -> Path:
    """The file that an unfinished backup is written to."""
    return target.with_name(f"{target.name}.part")


def _copy(
    source: sqlite3.Connection,
    part: Path,
    progress: Progress | None,
    abandoned: threading.Event | None,
) -> None:
    def report(_status: int, remaining: int, total: int) -> None:
        if abandoned is not None and abandoned.is_set():
            raise Abandoned
        if progress is not None:
            progress(total - remaining, total)

    with contextlib.closing(sqlite3.connect(part, isolation_level=None)) as copy:
        # Without a snapshot to copy from, the copy would begin again at each commit of others.
        source.execute("BEGIN")
        source.execute("SELECT count(*) FROM store").fetchone()
        source.backup(copy, pages=_PAGES, progress=report, sleep=0)


def _flush_names(directory: Path) -> None:
    """Have the name of the copy outlive a loss of power; SQLite has flushed what is in it."""
    fd = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)
