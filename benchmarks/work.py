"""What is measured, and how much of it.

To add a measurement: a `Work` here, and if it is of a new kind, a function in measure.py.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True)
class Work:
    """One table of the report."""

    name: str
    title: str
    kind: Literal["enqueue", "drain", "latency"]
    argument: str  # the producer's verb, or the task to drain
    count: int
    column: str  # of the measured values, the one that is compared
    unit: str
    more_is_better: bool = True


WORKS = (
    Work("single", "Enqueue, one at a time", "enqueue", "single", 5_000, "rate", "jobs/s"),
    Work(
        "together", "Enqueue, 100 calls in flight", "enqueue", "together", 20_000, "rate", "jobs/s"
    ),
    Work("bulk", "Enqueue in bulk", "enqueue", "bulk", 20_000, "rate", "jobs/s"),
    Work("drain", "Drain of no-op jobs, 100 slots", "drain", "noop", 20_000, "rate", "jobs/s"),
    Work("sleep", "Jobs that sleep 10 ms, 100 slots", "drain", "nap", 5_000, "rate", "jobs/s"),
    Work("latency", "Enqueue to start, idle worker", "latency", "paced", 200, "p50", "ms", False),
    Work("delayed", "Delayed jobs: late by", "latency", "delayed", 100, "p50", "ms", False),
)
