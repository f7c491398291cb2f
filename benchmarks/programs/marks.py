"""What the jobs of every Python peer do, and how they tell the time of it.

CLOCK_MONOTONIC is the same for all processes of a machine, so the worker's times, the producer's
and the measuring process's can be subtracted from each other.
"""

from __future__ import annotations

import json
import os
import time
from pathlib import Path

QUEUE = "bench"
SLOTS = 100
NAP = 0.01  # seconds

_directory = Path(os.environ.get("BENCH_DIRECTORY", "."))
_wanted = int(os.environ.get("BENCH_SAMPLES", "0"))
_first = True
_samples: list[int] = []


def url() -> str:
    """The store, as the measuring process wants it to be reached."""
    return os.environ["BENCH_URL"]


def begin() -> None:
    """Note when the first job of this worker started; all that a no-op job does."""
    global _first  # noqa: PLW0603 - one worker a process, and nothing cheaper tells the first job
    if _first:
        _first = False
        _publish("started", time.monotonic_ns())


def sample(reference: int) -> None:
    """Note how long after `reference`, in ns of CLOCK_MONOTONIC, this job started."""
    _samples.append(time.monotonic_ns() - reference)
    if len(_samples) == _wanted:
        _publish("samples", _samples)


def _publish(name: str, value: object) -> None:
    unfinished = _directory / f"{name}.part"
    unfinished.write_text(json.dumps(value))
    unfinished.rename(_directory / name)
