"""Which process keeps the log from being brought into the database, for whoever has to end it.

SQLite locks bytes of the log's index: one for whoever checkpoints, and one for each part of the log
that somebody reads (https://sqlite.org/walformat.html). The kernel tells who has such a lock, but
for our own process and for one that this one cannot see.
"""

from __future__ import annotations

import fcntl
import os
import struct
from pathlib import Path

from asyncmqd.backends.sqlite.descriptors import descriptors_of

_CHECKPOINTER, _READERS = 121, range(123, 128)  # bytes of the index
_MARKS, _MARK = 100, 4  # where the index has which part each of these reads, and how long that is
_LOCK = "hhqqi4x"  # struct flock: kind, whence, start, length, process


def holder(path: Path) -> str:
    """`process 12 (name)`, and what it does; empty if nobody is found."""
    try:
        index = descriptors_of(f"{path}-shm")[0]
        if process := _reader(index):
            return f"{_named(process)} reads the store in one long transaction"
        if process := _locking(index, _CHECKPOINTER):
            return f"{_named(process)} has begun to write it and does not go on"
    except (OSError, struct.error):
        pass
    return ""


def _reader(index: int) -> int:
    """Who reads the oldest part. The first byte is for those who read nothing of the log."""
    marks = struct.unpack("5I", os.pread(index, len(_READERS) * _MARK, _MARKS))
    oldest_first = sorted(zip(marks, _READERS, strict=True))
    return next(filter(None, (_locking(index, byte) for _, byte in oldest_first)), 0)


def _locking(index: int, byte: int) -> int:
    """The process that has locked this byte; 0 if none has, or if it is not seen from here."""
    asked = struct.pack(_LOCK, fcntl.F_WRLCK, os.SEEK_SET, byte, 1, 0)
    kind, *_, process = struct.unpack(_LOCK, fcntl.fcntl(index, fcntl.F_GETLK, asked))
    return 0 if kind == fcntl.F_UNLCK else max(0, process)


def _named(process: int) -> str:
    status = Path(f"/proc/{process}/stat").read_text("utf-8", "replace")
    name, _, rest = status.partition("(")[2].rpartition(")")
    stopped = ", which is stopped," if rest.split()[0] in {"T", "t"} else ""
    return f"process {process} ({name}){stopped}"
