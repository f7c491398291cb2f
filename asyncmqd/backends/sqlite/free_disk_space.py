"""Space on the disk that new jobs leave for the jobs that are there.

A disk that is full to the last byte takes no claim, no result and no deletion either, since each of
them is written to the log before anything else: then nothing could ever make room again.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import NamedTuple

from asyncmqd.backends.base import StoreError
from asyncmqd.domain import clock

_RESERVE = 32 << 20  # bytes
_SHARE = 20  # on a small disk the reserve is the twentieth part of it
_LOG = 4_000  # pages at which the log is brought into the file: a batch rarely pays for two flushes
_PAGE = 4_096  # bytes
_PLENTY = 1 << 30  # bytes beside the reserve
_UNSEEN = 1 << 20  # bytes of payloads
_LOOK_EVERY = 0.1  # seconds
_HEADS = 32, 24  # bytes at the begin of the log, and before each page in it


def log_limit(path: Path) -> int:
    """Pages that the log may have: half of the reserve, so that the other half takes them in."""
    return max(1, min(_LOG, _reserve(os.statvfs(path)) // 2 // _PAGE))


def log_size(pages: int) -> int:
    """The bytes of a log of so many pages."""
    return _HEADS[0] + pages * (_HEADS[1] + _PAGE)


class Extent(NamedTuple):
    """Bytes of the database as of its last commit, of which a part may be in the log only."""

    whole: int
    free: int  # where deleted jobs were: new ones go there first, and the file gets no longer


class Room:
    """That for new jobs of one database.

    Where there is plenty it is not looked at for each job: the reserve is larger by far than what
    is added until the next look, also if somebody else fills the disk meanwhile.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._unseen = 0  # bytes that may be added without a look
        self._until = 0.0  # and for how long

    def check(self, size: int, extent: Extent | None = None) -> None:
        """See that so many bytes can be added and the reserve is left. Raises StoreError.

        Without the database's extent nothing in it counts as free, and all of the log as new.
        """
        now = clock.monotonic()
        if size <= self._unseen and now < self._until:
            self._unseen -= size
            return
        self._unseen = _UNSEEN if _spare(self._path, size, extent) > _PLENTY else 0
        self._until = now + _LOOK_EVERY


def _spare(path: Path, size: int, extent: Extent | None) -> int:
    """How many bytes will be free beside those and the reserve. Raises StoreError."""
    try:
        found = os.statvfs(path)
        needed = _needed(path, size, _reserve(found), extent)
    except OSError:
        return 0  # whoever opens the file will say what is wrong with it
    if not found.f_blocks:
        return 0  # a file system that does not tell
    free = found.f_bavail * found.f_frsize
    if free < needed:
        raise StoreError(
            f"{path}: the disk is full: expected {needed} bytes free to add"
            f" {size} bytes of jobs, got {free}; the rest is for the jobs that are there"
        )
    return free - needed


def _needed(path: Path, size: int, reserve: int, extent: Extent | None) -> int:
    """What is added is written to the log first, and all of the log then to the file."""
    if extent is None:
        return reserve + os.stat(f"{path}-wal").st_size + 2 * size
    in_log_only = max(0, extent.whole - os.stat(path).st_size)
    # One half of the reserve is for the log. What the other half is for finds room in the file.
    half = reserve // 2
    return half + size + max(0, reserve - half + in_log_only + size - extent.free)


def _reserve(found: os.statvfs_result) -> int:
    return min(_RESERVE, found.f_blocks * found.f_frsize // _SHARE)
