"""The text format of Prometheus (version 0.0.4), as lines."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from itertools import accumulate
from operator import add
from typing import Literal

from asyncmqd.observe.metrics import (
    BOUNDS,
    BUCKETS,
    OUTCOMES,
    RUN,
    RUNS,
    UNTIMED,
    WAIT,
    WAITS,
    Cell,
    Sum,
)

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"

_LE = (*(f'le="{bound}"}}' for bound in BOUNDS), 'le="+Inf"}')
_ESCAPES = str.maketrans({"\\": r"\\", '"': r"\"", "\n": r"\n"})

Folded = dict[str, tuple[list[int], int]]  # buckets and the sum in microseconds, by the labels
Sample = tuple[str, float]  # labels, as they are written between the braces, and a value


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


def histogram(name: str, meaning: str, series: Folded) -> Iterator[str]:
    """The lines of one histogram, all of one series as one text."""
    head = _head(name, "histogram", meaning)
    for written, (buckets, sum) in series.items():
        rising = list(accumulate(buckets))
        begin = f"{name}_bucket{{{written},"
        lines = [f"{begin}{le} {count}\n" for le, count in zip(_LE, rising, strict=True)]
        lines.append(f"{name}_sum{{{written}}} {sum / 1e6}\n")
        lines.append(f"{name}_count{{{written}}} {rising[-1]}\n")
        yield head + "".join(lines)
        head = ""


# ---------------------------------------------------------------------- what was counted


def of_counted(counted: Sum) -> Iterator[str]:
    """The lines of what all processes have counted together; some are empty, as places to rest."""
    yield from family(
        "asyncmqd_jobs_total",
        "counter",
        "Runs that ended, by what they came to.",
        _outcomes(counted),
    )
    runs: Folded = {}
    waits: Folded = {}
    for (queue, task, _), cell in counted.cells.items():
        _fold(runs, labels(queue=queue, task=task), cell, RUN, RUNS)
        _fold(waits, labels(queue=queue), cell, WAIT, WAITS)
        yield ""
    yield from histogram("asyncmqd_job_run_seconds", "How long runs took.", runs)
    meaning = "From the enqueue of a job to the start of its first attempt, a delay included."
    yield from histogram("asyncmqd_job_wait_seconds", meaning, waits)
    ran = {queue for queue, _, _ in counted.cells}
    for event, name, meaning in _EVENTS:
        counts = counted.events.get(event, Counter())
        samples = [(labels(queue=queue), counts[queue]) for queue in sorted(ran | counts.keys())]
        yield from family(name, "counter", meaning, samples)


_EVENTS = (
    ("job.lease_lost", "asyncmqd_leases_lost_total", "Runs whose claim was over: late writes."),
    ("job.cancelled", "asyncmqd_runs_cancelled_total", "Runs whose job was cancelled or removed."),
    ("job.stuck", "asyncmqd_runs_stuck_total", "Runs that did not end when they were told to."),
)


def _outcomes(counted: Sum) -> Iterator[Sample]:
    for (queue, task, edge), cell in counted.cells.items():
        if edge in OUTCOMES:
            number = cell[UNTIMED] + sum(cell[RUNS : RUNS + BUCKETS])
            yield labels(queue=queue, task=task, outcome=OUTCOMES[edge]), number


def _fold(folded: Folded, written: str, cell: Cell, total: int, first: int) -> None:
    """Add the histogram of one edge to that of these labels."""
    buckets, spent = cell[first : first + BUCKETS], cell[total]
    before = folded.get(written)
    folded[written] = (
        (buckets, spent) if before is None else ([*map(add, before[0], buckets)], before[1] + spent)
    )
