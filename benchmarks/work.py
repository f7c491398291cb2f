"""What is measured, and how much of it.

To add a measurement: a `Work` here, and if it is of a new kind, a function in measure.py.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from peers import (
    BARE,
    BULLMQ,
    DRAMATIQ,
    HUEY_SQLITE,
    OURS,
    OURS_NORMAL,
    OURS_SQLITE,
    REFERENCE,
    SAQ,
    Peer,
)

Kind = Literal["enqueue", "drain", "due", "latency", "delayed", "backlog", "claims"]

FILLED = ("cpu_us", "server_us_per_job", "commands_per_job", "reads_per_job", "stored_per_job")
COLUMNS: dict[Kind, tuple[str, ...]] = {
    "enqueue": ("cpu_us", "server_us_per_job", "commands_per_job", "reads_per_job"),
    "drain": (*FILLED, "rss_mb"),
    "due": (*FILLED[:-1], "rss_mb"),
    "backlog": (*FILLED, "rss_mb"),
    "latency": ("p95", "p99", "max", "idle_cpu", "idle_commands", "rss_mb"),
    "delayed": ("p95", "p99", "max"),
    "claims": ("p50", "p95", "max"),
}


@dataclass(frozen=True)
class Work:
    """One table of the report."""

    name: str
    title: str
    kind: Kind
    jobs: str  # the producer's verb, or the jobs that it makes
    count: int  # of jobs, for a peer whose share is 1
    least: int = 200  # jobs that a slow peer gets, whatever its share
    column: str = "rate"  # of the measured values, the one that is compared
    unit: str = "jobs/s"
    runs: int = 1  # of each job
    also: tuple[str, ...] = ()  # further columns
    quick: tuple[Peer, ...] = ()  # who takes part in the short run
    only: tuple[Peer, ...] = ()  # who is measured at all; empty: everybody

    @property
    def more_is_better(self) -> bool:
        return self.column == "rate"

    @property
    def columns(self) -> tuple[str, ...]:
        return *self.also, *COLUMNS[self.kind]

    def jobs_for(self, peer: Peer, scale: float) -> int:
        """How many jobs this peer gets, so that it takes about as long as the others."""
        share = 1.0 if self.kind in ("latency", "delayed", "claims", "backlog") else peer.share
        wanted = max(self.count * share, min(self.least, self.count))
        return max(round(wanted * scale / 100) * 100, 100)


def _drain(name: str, title: str, jobs: str, count: int, **rest: object) -> Work:
    return Work(name, title, "drain", jobs, count, **rest)  # type: ignore[arg-type]


_ms = {"column": "p50", "unit": "ms"}

WORKS = (
    Work(
        "single",
        "Enqueue, one at a time",
        "enqueue",
        "single",
        3_000,
        least=3_000,
        quick=(OURS, OURS_SQLITE, BULLMQ, SAQ, REFERENCE),
    ),
    Work(
        "together",
        "Enqueue, 100 calls in flight",
        "enqueue",
        "together",
        30_000,
        quick=(OURS, OURS_SQLITE, BULLMQ, SAQ, REFERENCE),
    ),
    Work(
        "bulk",
        "Enqueue in bulk",
        "enqueue",
        "bulk",
        50_000,
        quick=(OURS, OURS_SQLITE, BULLMQ, REFERENCE),
    ),
    _drain(
        "drain",
        "Drain of no-op jobs, 100 slots",
        "noop",
        20_000,
        quick=(OURS, OURS_SQLITE, OURS_NORMAL, BULLMQ, DRAMATIQ, HUEY_SQLITE, REFERENCE),
    ),
    _drain(
        "sleep",
        "Jobs that sleep 10 ms, 100 slots",
        "nap",
        10_000,
        quick=(OURS, BULLMQ, DRAMATIQ, BARE),
    ),
    _drain("threads", "Plain functions, in threads", "plain", 10_000),
    _drain("mixed", "Mixed priorities, no-op jobs", "mixed", 10_000),
    _drain("queues", "200 queues at once, no-op jobs", "queues", 10_000),
    _drain(
        "payload100",
        "Payloads of 100 B, no-op jobs",
        "weigh-100",
        10_000,
        least=1_000,
        also=("fill_rate",),
        quick=(OURS, BULLMQ, SAQ),
    ),
    _drain(
        "payload10k", "Payloads of 10 kB, no-op jobs", "weigh-10000", 5_000, also=("fill_rate",)
    ),
    _drain(
        "payload200k",
        "Payloads of 200 kB, no-op jobs",
        "weigh-200000",
        500,
        least=100,
        also=("fill_rate", "peak_mb"),
    ),
    _drain("retries", "Retries: every first run fails", "flaky", 5_000, runs=2),
    _drain("limited", "With rate limits on, none reached", "noop", 20_000),
    Work("due", "Delayed jobs, all due at once", "due", "due", 3_000, least=100),
    Work("delayed", "Delayed jobs, spread: late by", "delayed", "delayed", 100, **_ms),  # type: ignore[arg-type]
    Work(
        "latency",
        "Enqueue to start, idle worker",
        "latency",
        "paced",
        200,
        quick=(OURS, OURS_SQLITE, SAQ, BULLMQ),
        **_ms,  # type: ignore[arg-type]
    ),
    Work("backlog", "Drain with a million no-op jobs waiting", "backlog", "noop", 1_000_000),
    _drain(
        "long",
        "100,000 no-op jobs, and the memory of the daemon",
        "noop",
        100_000,
        also=("half_mb",),
        only=(OURS, OURS_SQLITE),
        quick=(OURS,),
    ),
    Work(
        "claims1k",
        "A claim of 10 jobs, a thousand waiting",
        "claims",
        "",
        1_000,
        column="p99",
        unit="ms",
        only=(OURS, OURS_SQLITE),
        quick=(OURS,),
    ),
    Work(
        "claims1m",
        "A claim of 10 jobs, a million waiting",
        "claims",
        "",
        1_000_000,
        column="p99",
        unit="ms",
        only=(OURS, OURS_SQLITE),
        quick=(OURS,),
    ),
)
