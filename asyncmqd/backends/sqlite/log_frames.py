"""Whether a log can be read back as it was written: its checksums, as SQLite makes them.

SQLite looks at them only when nobody has the database open. But what the disk did not take stays in
memory for some time only, and then others would read what was there before.
https://sqlite.org/fileformat2.html#walformat
"""

from __future__ import annotations

import struct
import sys
from typing import BinaryIO

_HEAD, _FRAME_HEAD = 32, 24  # bytes: of the log, and of each frame
INDEX_HEAD = 48  # bytes of the log's index (-shm)
_FRAMES_AT = 16  # where it has the number of frames, in this machine's byte order
_MASK = 0xFFFF_FFFF


def frames_noted(index: bytes) -> int:
    """How many frames count, by the head of the log's index."""
    return int.from_bytes(index[_FRAMES_AT : _FRAMES_AT + 4], sys.byteorder)


def is_whole(log: BinaryIO, frames: int) -> bool:
    """Whether so many frames of the log, read from its begin, are as they were written."""
    if not frames:
        return True
    head = log.read(_HEAD)
    if len(head) < _HEAD:
        return False
    magic, _, page, _ = struct.unpack(">4I", head[:16])
    words = ">" if magic & 1 else "<"
    sums = _summed(words, head[:24], (0, 0))
    if struct.pack(">2I", *sums) != head[24:]:
        return False
    for _ in range(frames):
        frame = log.read(_FRAME_HEAD + page)
        if len(frame) < _FRAME_HEAD + page:
            return False
        sums = _summed(words, frame[:8] + frame[_FRAME_HEAD:], sums)
        if frame[8:_FRAME_HEAD] != head[16:24] + struct.pack(">2I", *sums):
            return False
    return True


def _summed(words: str, part: bytes, sums: tuple[int, int]) -> tuple[int, int]:
    """The two checksums, gone on with: half a second for each 4 MB."""
    first, second = sums
    numbers = iter(struct.unpack(f"{words}{len(part) // 4}I", part))
    for one, other in zip(numbers, numbers, strict=True):
        first = (first + one + second) & _MASK
        second = (second + other + first) & _MASK
    return first, second
