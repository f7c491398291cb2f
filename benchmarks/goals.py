"""What the figures are held to. A goal whose measurements are missing is not judged."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from peers import BULLMQ, OURS, OURS_SQLITE, REFERENCE
from report import Results


@dataclass(frozen=True)
class Goal:
    """A figure and its limit."""

    text: str
    figure: Callable[[Results], float | None]
    limit: float
    at_least: bool
    unit: str = ""

    def line(self, results: Results) -> tuple[str, bool | None]:
        """The goal as a row of the report, and whether it is met."""
        figure = self.figure(results)
        if figure is None:
            return f"| {self.text} | {self._bound} | not measured | |", None
        met = figure >= self.limit if self.at_least else figure <= self.limit
        verdict = "met" if met else "**missed**"
        return f"| {self.text} | {self._bound} | {figure:.2f}{self.unit} | {verdict} |", met

    @property
    def _bound(self) -> str:
        return f"{'at least' if self.at_least else 'at most'} {self.limit:g}{self.unit}"


def ratio(work: str, ours: str, theirs: str) -> Callable[[Results], float | None]:
    """Our median divided by theirs."""

    def figure(results: Results) -> float | None:
        a, b = results.median(work, ours, "rate"), results.median(work, theirs, "rate")
        return None if a is None or b is None else a / b

    return figure


def value(work: str, peer: str, column: str) -> Callable[[Results], float | None]:
    """A median as it is."""
    return lambda results: results.median(work, peer, column)


GOALS = (
    Goal("drain on Redis / BullMQ", ratio("drain", OURS.name, BULLMQ.name), 1.0, True),
    Goal("drain on Redis / reference", ratio("drain", OURS.name, REFERENCE.name), 10.0, True),
    *(
        Goal(f"{title}, {peer.name}", value(work, peer.name, column), limit, False, " ms")
        for peer in (OURS, OURS_SQLITE)
        for work, title, column, limit in (
            ("latency", "enqueue to start, median", "p50", 5.0),
            ("latency", "enqueue to start, 99 of 100", "p99", 10.0),
            ("delayed", "latest of 100 delayed jobs", "max", 20.0),
        )
    ),
)
