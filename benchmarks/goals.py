"""What the figures are held to. A goal whose measurements are missing is not judged."""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import dataclass

from peers import (
    ARDIQ,
    BARE,
    BULLMQ,
    HUEY,
    HUEY_SQLITE,
    OTHERS,
    OURS,
    OURS_NORMAL,
    OURS_SQLITE,
    REFERENCE,
    Peer,
)
from report import Results, number

Figure = Callable[[Results], tuple[float, str] | None]  # a value, and whom it was compared with

PURE_PYTHON = tuple(peer for peer in OTHERS if peer.core in ("python", "asyncio"))
ASYNCIO = tuple(peer for peer in OTHERS if peer.core == "asyncio")


@dataclass(frozen=True)
class Goal:
    """A figure and its limit."""

    text: str
    figure: Figure
    limit: float
    at_least: bool
    unit: str = ""

    def line(self, results: Results) -> tuple[str, bool | None]:
        """The goal as a row of the report, and whether it is met."""
        wanted = f"{'at least' if self.at_least else 'at most'} {self.limit:g}{self.unit}"
        found = self.figure(results)
        if found is None:
            return f"| {self.text} | {wanted} | not measured | |", None
        figure, whom = found
        met = figure >= self.limit if self.at_least else figure <= self.limit
        verdict = "met" if met else "**missed**"
        measured = f"{number(figure)}{self.unit}{f' ({whom})' if whom else ''}"
        return f"| {self.text} | {wanted} | {measured} | {verdict} |", met


def ratio(work: str, ours: Peer, theirs: Peer, column: str = "rate") -> Figure:
    """Our median divided by theirs."""
    return best(work, ours, [theirs], column)


def best(work: str, ours: Peer, group: Collection[Peer], column: str = "rate") -> Figure:
    """Our median divided by that of the best of a group."""

    def figure(results: Results) -> tuple[float, str] | None:
        mine = results.median(work, ours.name, column)
        medians = {peer.name: results.median(work, peer.name, column) for peer in group}
        measured = {name: median for name, median in medians.items() if median}
        if mine is None or not measured:
            return None
        pick = max if column == "rate" else min
        whom = pick(measured, key=lambda name: measured[name])
        return mine / measured[whom], whom

    return figure


def value(work: str, peer: Peer, column: str) -> Figure:
    """A median as it is."""

    def figure(results: Results) -> tuple[float, str] | None:
        median = results.median(work, peer.name, column)
        return None if median is None else (median, "")

    return figure


def between(
    first: tuple[str, str], second: tuple[str, str], *, divided: bool, ours: Peer = OURS
) -> Figure:
    """How two of our medians on one store, each of a work and a column, differ."""

    def figure(results: Results) -> tuple[float, str] | None:
        a, b = (results.median(work, ours.name, column) for work, column in (first, second))
        if a is None or b is None:
            return None
        return (a / b if divided else a - b), ""

    return figure


def across(work: str, other: str, theirs: Peer) -> Figure:
    """Our rate at one work divided by theirs at another."""

    def figure(results: Results) -> tuple[float, str] | None:
        mine = results.median(work, OURS.name, "rate")
        rival = results.median(other, theirs.name, "rate")
        return (mine / rival, theirs.name) if mine and rival else None

    return figure


GOALS = (
    Goal("drain / BullMQ", ratio("drain", OURS, BULLMQ), 4, True),
    Goal("drain / best pure-Python peer", best("drain", OURS, PURE_PYTHON), 4, True),
    Goal("drain / reference", ratio("drain", OURS, REFERENCE), 15, True),
    Goal("drain, CPU a job", value("drain", OURS, "cpu_us"), 15, False, " µs"),
    Goal("sleeping jobs / bare loop", ratio("sleep", OURS, BARE), 0.95, True),
    Goal("sleeping jobs / best peer", best("sleep", OURS, OTHERS), 1.1, True),
    Goal("bulk enqueue / BullMQ", ratio("bulk", OURS, BULLMQ), 4, True),
    Goal("one at a time / fastest asyncio peer", best("single", OURS, ASYNCIO), 1.2, True),
    Goal("one at a time / huey", ratio("single", OURS, HUEY), 1.15, True),
    Goal("one at a time, SQLite / huey", ratio("single", OURS_SQLITE, HUEY_SQLITE), 1.2, True),
    Goal("200 queues of one slot / BullMQ", ratio("queues", OURS, BULLMQ), 2, True),
    Goal("payloads of 200 kB / ardiq", ratio("payload200k", OURS, ARDIQ), 1.1, True),
    Goal("100 in flight / fastest asyncio peer", best("together", OURS, ASYNCIO), 5, True),
    Goal("latency p50 / best asyncio peer", best("latency", OURS, ASYNCIO, "p50"), 0.8, False),
    Goal(
        "latency, p99 above p50",
        between(("latency", "p99"), ("latency", "p50"), divided=False),
        1,
        False,
        " ms",
    ),
    Goal("SQLite drain / huey on SQLite", ratio("drain", OURS_SQLITE, HUEY_SQLITE), 3, True),
    Goal("SQLite drain, NORMAL / Redis", ratio("drain", OURS_NORMAL, OURS), 0.5, True),
    Goal("a waiting job of 100 B", value("payload100", OURS, "stored_per_job"), 320, False, " B"),
    Goal(
        "a waiting job of 100 B / leanest peer",
        best("payload100", OURS, OTHERS, "stored_per_job"),
        1,
        False,
    ),
    Goal("drain, requests a job", value("drain", OURS, "reads_per_job"), 0.05, False),
    *(
        Goal(
            f"drain with 1,000 keys / without, {each.store}",
            between(("keys", "rate"), ("drain", "rate"), divided=True, ours=each),
            0.65,
            True,
        )
        for each in (OURS, OURS_SQLITE)
    ),
    Goal("drain with 1,000 keys / BullMQ without groups", across("keys", "drain", BULLMQ), 2, True),
    *(
        Goal(
            f"drain with limits over all daemons / without, {each.store}",
            between(("shared", "rate"), ("drain", "rate"), divided=True, ours=each),
            0.9,
            True,
        )
        for each in (OURS, OURS_SQLITE)
    ),
    Goal("RSS after 100,000 jobs", value("long", OURS, "rss_mb"), 65, False, " MB"),
    Goal(
        "RSS, growth in the second 50,000",
        between(("long", "rss_mb"), ("long", "half_mb"), divided=False),
        1,
        False,
        " MB",
    ),
    Goal(
        "claim p99, a million waiting / a thousand",
        between(("claims1m", "p99"), ("claims1k", "p99"), divided=True),
        1.5,
        False,
    ),
)
