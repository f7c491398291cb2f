"""From what one job costs to what many take: processes, memory, network."""

from __future__ import annotations

import math

import msgspec

FULL = 0.6  # of a core: what a server or a daemon is to be busy with on average
PEAK = 4.0  # the busiest hour, as a multiple of the day's average
BACKLOG = 3_600.0  # seconds of enqueued jobs that the store is to hold when nobody runs them


class Costs(msgspec.Struct, frozen=True, kw_only=True):
    """Of one no-op job with 100 B of arguments, where there is much to do."""

    producer_us: float  # of CPU, enqueuing in bulk
    daemon_us: float
    redis_us: float  # from enqueue until its record is pruned
    waiting_bytes: float  # in Redis
    network_bytes: float  # in and out of Redis
    drained: float  # jobs a second, one daemon
    rss_mb: float


LOADS = (
    ("a million a day", 1e6 / 86_400, PEAK),
    ("a hundred million a day", 1e8 / 86_400, PEAK),
    ("a million a second, always", 1e6, 1.0),
)


def report(costs: Costs) -> str:
    """The costs, and what the loads take, in Markdown."""
    rows = [_header(), "|" + "-:|" * 8, *(_row(costs, *load) for load in LOADS)]
    parts = ["### What one job costs", _job(costs), "### What loads take", _RULES, "\n".join(rows)]
    return "\n\n".join(parts)


_RULES = (
    f"Cores are {FULL:.0%} busy in the busiest hour, which has {PEAK:g} times the day's average."
    " What the jobs themselves do comes on top: these do nothing."
)


def _job(costs: Costs) -> str:
    return (
        f"CPU of the daemon {costs.daemon_us:.1f} µs, of Redis {costs.redis_us:.1f} µs, of the"
        f" producer in bulk {costs.producer_us:.1f} µs; {costs.waiting_bytes:.0f} B in Redis while"
        f" it waits; {costs.network_bytes:.0f} B in and out of Redis. One daemon drained"
        f" {costs.drained:,.0f} jobs a second, and had {costs.rss_mb:.0f} MB then."
    )


def _header() -> str:
    titles = (
        "load",
        "average",
        "at its peak",
        "Redis masters",
        "daemon cores",
        "memory for an hour of backlog",
        "network of all masters",
        "producer cores",
    )
    return "| " + " | ".join(titles) + " |"


def _row(costs: Costs, name: str, average: float, peak: float) -> str:
    rate = average * peak  # jobs a second
    cells = (
        name,
        f"{average:,.0f}/s",
        f"{rate:,.0f}/s",
        str(_cores(rate, costs.redis_us)),
        str(_cores(rate, costs.daemon_us)),
        f"{rate * BACKLOG * costs.waiting_bytes / 1e9:,.1f} GB",
        f"{rate * costs.network_bytes * 8 / 1e6:,.0f} Mbit/s",
        str(_cores(rate, costs.producer_us)),
    )
    return "| " + " | ".join(cells) + " |"


def _cores(rate: float, us: float) -> int:
    return max(math.ceil(rate * us / 1e6 / FULL), 1)
