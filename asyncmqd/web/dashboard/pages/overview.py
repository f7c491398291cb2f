"""The first page: what is wrong, then queues by the age of the oldest job, then daemons."""

from __future__ import annotations

from collections.abc import Container, Iterator, Sequence
from typing import Any, NamedTuple

from markupsafe import Markup

from asyncmqd.admin.causes import Cause
from asyncmqd.admin.overview import Overview, QueueLine
from asyncmqd.admin.queues import LimitsView
from asyncmqd.domain.safe_text import counted
from asyncmqd.web.dashboard.board import Board
from asyncmqd.web.dashboard.visit import Visit, address
from asyncmqd.web.dashboard.words import duration

SHOWN = 40  # queues of one page: it is to stay below 100 kB
_DAEMONS = 20  # others are on the page of daemons
_CAUSES = 12  # that are shown whole
_RED = frozenset({"degraded", "no_daemon", "daemons_silent", "stuck", "crashed", "process_down"})


class Told(NamedTuple):
    """A cause as the page shows it, with one thing to do about it."""

    cause: Cause
    kind: str  # bad or warn: a class of the style sheet
    where: str  # the queue, or which daemon
    link: str = ""  # where to look
    label: str = ""
    resumes: bool = False


class Limit(NamedTuple):
    """A limit over all daemons, and how near the queue is to it."""

    said: str
    is_reached: bool


class Row(NamedTuple):
    """A queue as the page shows it."""

    line: QueueLine
    spark: Markup
    state: str  # bad, warn or nothing
    limits: list[Limit]


async def values(visit: Visit) -> dict[str, Any]:
    """What the template shows. Without the store: what it said last, marked as old."""
    seen, error = await visit.board.known()
    found = [] if error or seen is None else list(seen.causes)
    causes, own = visit.source.causes(found), visit.source.causes([])
    told = [_told(each, "this daemon" if each in own else "a daemon") for each in causes]
    wrong = {each.queue for each in causes}
    queues = sorted(seen.queues if seen else (), key=lambda line: _order(line, wrong))
    part = visit.part(queues, SHOWN)
    if not error:
        await visit.board.draw([each.name for each in part.rows])
    rows = _rows(part.rows, seen, visit.board)
    daemons = seen.daemons if seen else []
    return {
        "store_error": error,
        "seen": seen,
        "causes": told[:_CAUSES],
        "more_causes": len(told) - _CAUSES,
        "rows": rows,
        "limited": any(each.limits for each in rows),
        "part": part,
        "daemons": daemons[:_DAEMONS],
        "more_daemons": max(0, len(daemons) - _DAEMONS),
        "running": sum(each.active for each in queues),
        "waiting": sum(each.waiting for each in queues),
        "failed": sum(each.failed for each in queues),
        "rate": sum(each.rate or 0.0 for each in queues),
    }


def _order(line: QueueLine, wrong: Container[str | None]) -> tuple[float, int, bool, str]:
    """By the age of the oldest job; of those without one, queues of which is told come first."""
    return -(line.oldest or 0.0), -line.waiting, line.name not in wrong, line.name


def _rows(part: Sequence[QueueLine], seen: Overview | None, board: Board) -> list[Row]:
    if seen is None or seen.now is None:
        return []
    sparks = board.sparks([each.name for each in part])
    wrong = {each.queue: _kind(each) for each in reversed(seen.causes)}
    rows = []
    for line in part:
        spark = sparks.get(line.name, Markup())
        rows.append(Row(line, spark, wrong.get(line.name, ""), [*_limits(line.limits)]))
    return rows


def _limits(limits: LimitsView | None) -> Iterator[Limit]:
    if limits is None:
        return
    if (most := limits.concurrency) is not None:
        yield Limit(f"{limits.held} of {most} run" if most else "none may run", limits.held >= most)
    if limits.rate_limit is not None:
        every = duration(limits.rate_interval or 1.0)
        said = f"{limits.allowed or 0} free of {limits.rate_limit:g} in {every}"
        yield Limit(said, not limits.allowed)
    if limits.closed_keys:
        yield Limit(counted(limits.closed_keys, "key") + " at the limit", is_reached=True)


def _kind(cause: Cause) -> str:
    return "bad" if cause.name in _RED else "warn"


def _told(cause: Cause, daemon: str) -> Told:
    """The one thing to do about it: a button, or the page that says more."""
    kind, queue = _kind(cause), cause.queue
    if queue is None:
        return Told(cause, kind, daemon, "/daemons", "Daemons")
    page = f"/queues/{queue}"
    match cause.name:
        case "paused":
            return Told(cause, kind, queue, page, "Queue", resumes=True)
        case "failing":
            return Told(cause, kind, queue, address(page, state="failed"), "Failed jobs")
        case "slots_busy" | "worker_lost" | "isolation" | "daemon_slots_busy":
            return Told(cause, kind, queue, address(page, state="active"), "Running jobs")
        case "schedule_late":
            return Told(cause, kind, queue, "/schedules", "Schedules")
        case "no_daemon" | "daemons_silent" | "stopping":
            return Told(cause, kind, queue, "/daemons", "Daemons")
    return Told(cause, kind, queue, page, "Queue")
