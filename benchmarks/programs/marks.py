"""What the jobs of every Python peer do, and how they tell of it.

All of it goes through small files in one directory, which the measuring process reads: a worker
may have several processes and threads, and none of them should spend time on telling.
CLOCK_MONOTONIC is the same for all processes of a machine, so the worker's times, the producer's
and the measuring process's can be subtracted from each other.
"""

from __future__ import annotations

import contextlib
import mmap
import os
import struct
import threading
import time
from pathlib import Path

QUEUE = "bench"
QUEUES = tuple(f"q{number}" for number in range(200))
SLOTS = 100
NAP = 0.01  # seconds
LIMIT = 1_000_000  # jobs a second: a rate limit that is kept and never reached
LEVELS = ("first", "second", "third")  # of priority

_directory = Path(os.environ.get("BENCH_DIRECTORY", "."))


def url() -> str:
    """The store, as the measuring process wants it to be reached."""
    return os.environ["BENCH_URL"]


def work() -> str:
    """What is being measured, for peers that have another configuration for it."""
    return os.environ["BENCH_WORK"]


def variant() -> str:
    """Which of several configurations of one peer is meant."""
    return os.environ["BENCH_VARIANT"]


def queues() -> tuple[str, ...]:
    """The queues that a worker serves."""
    return QUEUES if work() == "queues" else (QUEUE,)


class _Runs:
    """How many runs this process has begun, in a file of its own."""

    def __init__(self) -> None:
        self.count = 0
        self.lock = threading.Lock()
        self.map: mmap.mmap | None = None

    def add(self) -> None:
        with self.lock:
            if self.map is None:
                _publish_start(time.monotonic_ns())
                self.map = _mapped(_directory / f"runs-{os.getpid()}", 8)
            self.count += 1
            struct.pack_into("<q", self.map, 0, self.count)


_runs = _Runs()
_failed: mmap.mmap | None = None


def _forget() -> None:
    global _runs  # noqa: PLW0603 - a forked child counts anew
    _runs = _Runs()


os.register_at_fork(after_in_child=_forget)


def begin() -> None:
    """Count this run, and note when the very first one started; all that a no-op job does."""
    _runs.add()


def sample(reference: int) -> None:
    """Note how long after `reference`, in ns of CLOCK_MONOTONIC, this job started."""
    took = struct.pack("<q", time.monotonic_ns() - reference)
    begin()
    with (_directory / "samples").open("ab", buffering=0) as file:
        file.write(took)


def fails(number: int) -> bool:
    """Whether this run of job `number` is its first, which is to fail."""
    global _failed  # noqa: PLW0603 - opened once a process; all processes share the bytes
    begin()
    if _failed is None:
        path = _directory / "failed"
        _failed = _mapped(path, path.stat().st_size)
    first = not _failed[number]
    _failed[number] = 1
    return first


def _mapped(path: Path, size: int) -> mmap.mmap:
    with path.open("r+b" if path.exists() else "w+b") as file:
        file.truncate(size)
        return mmap.mmap(file.fileno(), size)


def _publish_start(moment: int) -> None:
    """The first process wins, and nobody sees half a number."""
    unfinished = _directory / f"started-{os.getpid()}"
    unfinished.write_text(str(moment))
    with contextlib.suppress(FileExistsError):
        os.link(unfinished, _directory / "started")
