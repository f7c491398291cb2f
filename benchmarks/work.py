"""What is measured, and how much of it.

To add a measurement: a `Work` here, and if it is of a new kind, a function in measure.py.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from peers import (
    ARQ,
    BARE,
    BULLMQ,
    DRAMATIQ,
    HUEY,
    HUEY_SQLITE,
    OURS,
    OURS_NORMAL,
    OURS_SQLITE,
    REFERENCE,
    SAQ,
    TASKIQ,
    Peer,
)

Kind = Literal["enqueue", "drain", "due", "latency", "delayed", "backlog", "claims"]

# Of the measured values of a kind: the one that is compared with its unit, and the others shown.
MAIN: dict[Kind, tuple[str, str]] = {
    "enqueue": ("rate", "jobs/s"),
    "drain": ("rate", "jobs/s"),
    "due": ("rate", "jobs/s"),
    "backlog": ("rate", "jobs/s"),
    "latency": ("p50", "ms"),
    "delayed": ("p50", "ms"),
    "claims": ("p99", "ms"),
}
USED = ("cpu_us", "server_us_per_job", "commands_per_job", "reads_per_job")
COLUMNS: dict[Kind, tuple[str, ...]] = {
    "enqueue": USED,
    "drain": (*USED, "stored_per_job", "rss_mb"),
    "due": (*USED, "rss_mb"),
    "backlog": (*USED, "stored_per_job", "rss_mb"),
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
    runs: int = 1  # of each job
    also: tuple[str, ...] = ()  # further columns
    quick: tuple[Peer, ...] = ()  # who takes part in the short run
    only: tuple[Peer, ...] = ()  # who is measured at all; empty: everybody

    @property
    def column(self) -> str:
        return MAIN[self.kind][0]

    @property
    def unit(self) -> str:
        return MAIN[self.kind][1]

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


MAIN_PEERS = (OURS, OURS_SQLITE, OURS_NORMAL, BULLMQ, DRAMATIQ, HUEY_SQLITE, REFERENCE)
OURSELVES = (OURS, OURS_SQLITE)
FILL = ("fill_rate",)

WORKS = (
    Work(
        "single",
        "Enqueue, one at a time",
        "enqueue",
        "single",
        3_000,
        least=3_000,
        quick=(OURS, SAQ, ARQ),
    ),
    Work(
        "together",
        "Enqueue, 100 calls in flight",
        "enqueue",
        "together",
        30_000,
        quick=(OURS, BULLMQ, SAQ),
    ),
    Work("bulk", "Enqueue in bulk", "enqueue", "bulk", 50_000, quick=(OURS, BULLMQ)),
    Work("drain", "Drain of no-op jobs, 100 slots", "drain", "noop", 20_000, quick=MAIN_PEERS),
    Work(
        "sleep",
        "Jobs that sleep 10 ms, 100 slots",
        "drain",
        "nap",
        30_000,  # begin and end, when slots are empty, count for little
        quick=(OURS, BULLMQ, DRAMATIQ, BARE),
    ),
    Work("threads", "Plain functions, in threads", "drain", "plain", 10_000),
    Work("mixed", "Mixed priorities, no-op jobs", "drain", "mixed", 10_000),
    Work("queues", "200 queues at once, no-op jobs", "drain", "queues", 10_000),
    Work(
        "payload100",
        "Payloads of 100 B, no-op jobs",
        "drain",
        "weigh-100",
        10_000,
        least=1_000,
        also=FILL,
        quick=(OURS, TASKIQ, HUEY),
    ),
    Work("payload10k", "Payloads of 10 kB, no-op jobs", "drain", "weigh-10000", 5_000, also=FILL),
    Work(
        "payload200k",
        "Payloads of 200 kB, no-op jobs",
        "drain",
        "weigh-200000",
        500,
        least=100,
        also=(*FILL, "peak_mb"),
    ),
    Work("retries", "Retries: every first run fails", "drain", "flaky", 5_000, runs=2),
    Work("limited", "With rate limits on, none reached", "drain", "noop", 20_000),
    Work(
        "shared",
        "With limits over all daemons, none reached",
        "drain",
        "noop",
        20_000,
        only=OURSELVES,
        quick=OURSELVES,
    ),
    Work(
        "keys",
        "Jobs of 1,000 keys, which take turns",
        "drain",
        "keyed",
        20_000,
        also=FILL,
        only=OURSELVES,
        quick=OURSELVES,
    ),
    Work("due", "Delayed jobs, all due at once", "due", "due", 3_000, least=100),
    Work("delayed", "Delayed jobs, spread: late by", "delayed", "delayed", 100),
    Work("latency", "Enqueue to start, idle worker", "latency", "paced", 200, quick=(OURS, SAQ)),
    Work("backlog", "Drain with a million no-op jobs waiting", "backlog", "noop", 1_000_000),
    Work(
        "long",
        "100,000 no-op jobs, and the memory of the daemon",
        "drain",
        "noop",
        100_000,
        also=("half_mb",),
        only=OURSELVES,
        quick=(OURS,),
    ),
    Work(
        "claims1k",
        "A claim of 10 jobs, a thousand waiting",
        "claims",
        "",
        1_000,
        only=OURSELVES,
        quick=(OURS,),
    ),
    Work(
        "claims1m",
        "A claim of 10 jobs, a million waiting",
        "claims",
        "",
        1_000_000,
        only=OURSELVES,
        quick=(OURS,),
    ),
)
