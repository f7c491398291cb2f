"""Which files this process has open, and by which descriptors SQLite has one of the store.

Closing one of our own would drop SQLite's locks on the file, if it has any there.
"""

from __future__ import annotations

import contextlib
import errno
import os
from collections.abc import Iterator
from pathlib import Path

_DESCRIPTORS = "/proc/self/fd"


def open_files() -> Iterator[tuple[int, os.stat_result]]:
    """Each descriptor of this process, and its file."""
    for name in os.listdir(_DESCRIPTORS):
        with contextlib.suppress(OSError):  # that of the listing itself
            yield int(name), os.fstat(int(name))


def descriptors_of(path: str | Path) -> list[int]:
    """All that this process has of the file at this path. Raises OSError if there is none."""
    wanted = os.stat(path)
    found = [number for number, file in open_files() if os.path.samestat(file, wanted)]
    if not found:
        raise OSError(errno.EBADF, "this process does not have it open")
    return found


def forget_cached(path: Path) -> None:
    """Have the next checkpoint write the database as if for the first time, after a failed flush.

    The log still has what was to be written. With what the kernel keeps of the database, the places
    that the file got meanwhile would stay "unwritten" on ext4.
    """
    with contextlib.suppress(OSError):
        os.posix_fadvise(descriptors_of(path)[0], 0, 0, os.POSIX_FADV_DONTNEED)
