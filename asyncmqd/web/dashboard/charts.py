"""Charts as SVG that is part of the page: no script draws, and style sheets colour them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import NamedTuple

from markupsafe import Markup

from asyncmqd.admin.history import Ends
from asyncmqd.web.dashboard.words import duration, number

SPARK = (120, 24)  # width and height
CHART = (360, 96)
STRIP = (360, 18)


class Line(NamedTuple):
    """One series: what it is called, its class in the style sheet, its values by time."""

    name: str
    kind: str
    points: Sequence[tuple[float, float | None]]  # None: nothing is known


class Axis(NamedTuple):
    """The stretch of time that a chart shows, in Unix time."""

    begin: float
    end: float

    def place(self, at: float, width: float) -> float:
        """How far from the left."""
        return (at - self.begin) / (self.end - self.begin) * width


def spark(past: Sequence[Ends], axis: Axis) -> Markup:
    """Bars of the runs that completed in a minute, and on top of them of those that failed."""
    width, height = SPARK
    most = max(((each.completed + each.failed) / each.minutes for each in past), default=0)
    good, bad = [], []
    for begin, minutes, completed, failed in past:
        at = max(0.0, axis.place(begin, width))
        end = min(axis.place(begin + minutes * 60, width), width)
        if not most or end <= at:
            continue
        scale, wide = (height - 2) / most / minutes, max(1.0, end - at - 1)
        low = completed * scale
        if completed:
            good.append(_bar(at, height, max(1.0, low), wide))
        if failed:
            bad.append(_bar(at, height - low, max(1.5, failed * scale), wide))
    done, lost = sum(each.completed for each in past), sum(each.failed for each in past)
    said = f"{number(done)} completed, {number(lost)} failed in the last two hours"
    return Markup(
        '<svg class="spark" viewBox="0 0 {} {}" role="img" aria-label="{}">'
        '<path class="good" d="{}"/><path class="bad" d="{}"/></svg>'
    ).format(width, height, said, "".join(good), "".join(bad))


def _bar(at: float, bottom: float, high: float, wide: float) -> str:
    return f"M{at:.4g} {bottom:.3g}v-{high:.3g}h{wide:.3g}v{high:.3g}z"


def lines(
    title: str,
    series: Sequence[Line],
    axis: Axis,
    unit: str,
    marks: Iterable[tuple[float, str]] = (),
) -> Markup:
    """A chart of lines, with marks: when something happened, and the class that colours it."""
    width, height = CHART
    known = [value for line in series for _, value in line.points if value is not None]
    most = max(known, default=0.0)
    top = most or 1.0
    drawn = [
        Markup('<path class="line {}" d="{}"/>').format(
            line.kind, _path(line.points, axis, top, width, height)
        )
        for line in series
    ]
    drawn += [
        Markup('<path class="mark {}" d="M{:.4g} 0V{}"/>').format(
            kind, axis.place(at, width), height
        )
        for at, kind in marks
        if axis.begin <= at <= axis.end
    ]
    said = said_of(most, unit) if known else "nothing"
    return Markup(
        '<svg class="chart" viewBox="0 0 {0} {1}" preserveAspectRatio="none" role="img"'
        ' aria-label="{2}, at most {3}"><path class="grid" d="M0 0.5H{0}M0 {4}H{0}M0 {5}H{0}"/>'
        "{6}</svg>"
    ).format(width, height, title, said, height / 2, height - 0.5, Markup("").join(drawn))


def said_of(value: float | None, unit: str) -> str:
    """A value of a chart in words."""
    return duration(value) if unit == "s" else number(value)


def _path(
    points: Sequence[tuple[float, float | None]], axis: Axis, top: float, width: int, height: int
) -> str:
    parts, pen = [], "M"
    for at, value in points:
        if value is None:
            pen = "M"
            continue
        y = height - 1.5 - value / top * (height - 4)
        parts.append(f"{pen}{axis.place(at, width):.4g} {y:.4g}")
        if pen == "M":
            parts.append("h.01")  # one point alone is seen, too
        pen = "L"
    return "".join(parts)


def strip(
    axis: Axis, now: float, done: Sequence[tuple[float, str]], ahead: Sequence[float], *, more: bool
) -> Markup:
    """A strip of time: what fired or was skipped (when, and its class), now, and what comes.

    Instants that are too many to show each are one bar from the first to the end.
    """
    width, height = STRIP
    coming = [_tick(axis.place(at, width), 2) for at in ahead]
    if more and ahead:
        begin = axis.place(ahead[0], width)
        coming = [_tick(begin + (width - begin) / 2, width - begin)]
    parts = [Markup('<path class="future" d="{}"/>').format("".join(coming))] if coming else []
    parts += [
        Markup('<path class="{}" d="{}"/>').format(kind, _tick(axis.place(at, width), 3))
        for at, kind in done
        if axis.begin <= at <= axis.end
    ]
    said = f"{number(len(ahead))}{' or more' if more else ''} instants to come"
    return Markup(
        '<svg class="strip" viewBox="0 0 {0} {1}" preserveAspectRatio="none" role="img"'
        ' aria-label="{2}"><path class="grid" d="M0 {3}H{0}"/>{4}'
        '<path class="mark" d="M{5:.4g} 0V{1}"/></svg>'
    ).format(width, height, said, height / 2, Markup("").join(parts), axis.place(now, width))


def _tick(at: float, wide: float) -> str:
    """A bar round a place of a strip."""
    return f"M{at - wide / 2:.4g} 3h{wide:.4g}v{STRIP[1] - 6}h-{wide:.4g}z"


def unix(text: str) -> float:
    """A moment of RFC 3339 as Unix time."""
    return datetime.fromisoformat(text).timestamp()
