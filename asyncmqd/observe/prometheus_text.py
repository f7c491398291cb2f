"""The text format of Prometheus (version 0.0.4), as lines."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from functools import lru_cache
from itertools import accumulate
from operator import add
from typing import Literal

from asyncmqd.observe.metrics import (
    BOUNDS,
    OUTCOMES,
    RUN,
    RUNS,
    WAIT,
    WAITS,
    Cell,
    Key,
    Sum,
)

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"

_LE = (*(f'le="{bound}"}}' for bound in BOUNDS), 'le="+Inf"}')
_ESCAPES = str.maketrans({"\\": r"\\", '"': r"\"", "\n": r"\n"})

_LABELS = "\0"  # stands for the labels of a series
_KEPT = 4_000  # texts without their values: a scrape of 200 queues has about 2,000

Sample = tuple[str, float]  # labels, as they are written between the braces, and a value


@lru_cache(maxsize=_KEPT)
def labels(**values: str) -> str:
    """Labels as they are written between the braces."""
    return ",".join(f'{name}="{value.translate(_ESCAPES)}"' for name, value in values.items())


def family(
    name: str, kind: Literal["counter", "gauge"], meaning: str, samples: Iterable[Sample]
) -> Iterator[str]:
    """The lines of one metric; none if it has no samples."""
    head = _head(name, kind, meaning)
    for written, value in samples:
        yield f"{head}{name}{{{written}}} {value}\n" if written else f"{head}{name} {value}\n"
        head = ""


def _head(name: str, kind: str, meaning: str) -> str:
    return f"# HELP {name} {meaning}\n# TYPE {name} {kind}\n"


def histogram(
    name: str, meaning: str, series: Iterable[tuple[str, Sequence[int], int]]
) -> Iterator[str]:
    """The lines of one histogram, all of one series as one text.

    Each has its labels, how many durations each bucket has, and the sum in microseconds.
    """
    head, lines = _head(name, "histogram", meaning), _lines(name)
    for written, buckets, sum in series:
        rising = (*accumulate(buckets),)
        values = (*rising, sum / 1e6, rising[-1])
        yield head + lines.replace(_LABELS, written.replace("%", "%%")) % values
        head = ""


@lru_cache
def _lines(name: str) -> str:
    """The lines of one series, without its labels and values."""
    bounds = (f"{name}_bucket{{{_LABELS},{le} %d\n" for le in _LE)
    return "".join([*bounds, f"{name}_sum{{{_LABELS}}} %s\n{name}_count{{{_LABELS}}} %d\n"])


# ---------------------------------------------------------------------- what was counted


def of_counted(counted: Sum) -> Iterator[str]:
    """The lines of what all processes have counted together; some are empty, as places to rest."""
    cells: list[tuple[Key, Cell]] = []
    waits: dict[str, tuple[Cell, int]] = {}  # by queue: buckets, and the sum
    for key, cell in counted.cells:
        cells.append((key, cell))
        _add_waits(waits, key, cell)
        yield ""
    yield from _of_outcomes(cells)
    runs = ((labels(queue=q, task=t), each[RUNS:WAITS], each[RUN]) for (q, t), each in cells)
    yield from histogram("asyncmqd_job_run_seconds", "How long runs took.", runs)
    meaning = "From the enqueue of a job to the start of its first attempt, a delay included."
    queues = ((labels(queue=queue), *each) for queue, each in waits.items())
    yield from histogram("asyncmqd_job_wait_seconds", meaning, queues)
    ran = {queue for (queue, _), _ in cells}
    for event, name, meaning in _EVENTS:
        counts = counted.events.get(event, Counter())
        samples = [(labels(queue=queue), counts[queue]) for queue in sorted(ran | counts.keys())]
        yield from family(name, "counter", meaning, samples)


_EVENTS = (
    ("job.lease_lost", "asyncmqd_leases_lost_total", "Runs whose claim was over: late writes."),
    ("job.cancelled", "asyncmqd_runs_cancelled_total", "Runs whose job was cancelled or removed."),
    ("job.stuck", "asyncmqd_runs_stuck_total", "Runs that did not end when they were told to."),
)


def _of_outcomes(cells: Iterable[tuple[Key, Cell]]) -> Iterator[str]:
    name = "asyncmqd_jobs_total"
    head = _head(name, "counter", "Runs that ended, by what they came to.")
    for key, cell in cells:
        begins = _outcomes(name, *key)
        yield head + "".join(
            f"{begin} {number}\n" for begin, number in zip(begins, cell, strict=False) if number
        )
        head = ""


@lru_cache(maxsize=_KEPT)
def _outcomes(name: str, queue: str, task: str) -> list[str]:
    """The lines of a queue and task without their values."""
    whose = labels(queue=queue, task=task)
    return [f'{name}{{{whose},outcome="{each}"}}' for each in OUTCOMES.values()]


def _add_waits(found: dict[str, tuple[Cell, int]], key: Key, cell: Cell) -> None:
    """Add how long the jobs of a task waited to what is found of their queue."""
    queue, _ = key
    buckets, spent = cell[WAITS:], cell[WAIT]
    if queue in found:
        before, sum = found[queue]
        buckets, spent = [*map(add, before, buckets)], sum + spent
    found[queue] = buckets, spent
