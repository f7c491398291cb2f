"""A queue: what is wrong with it, its last hours, its jobs by state, and what can be done."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any, NamedTuple, NoReturn

from markupsafe import Markup

from asyncmqd.admin import facts, history, operations, queues, search, why
from asyncmqd.admin.arguments import read_arguments
from asyncmqd.admin.claim_obstacles import Reason
from asyncmqd.admin.errors import WrongArguments
from asyncmqd.admin.history import Stretch
from asyncmqd.admin.marks import Happening, happenings
from asyncmqd.admin.operations import OperationView
from asyncmqd.admin.queues import QueueView
from asyncmqd.admin.verbs import Listed
from asyncmqd.backends.base import BaseBackend
from asyncmqd.domain.key_backlog import KeyBacklog
from asyncmqd.domain.states import State
from asyncmqd.web.api import CannotDo
from asyncmqd.web.dashboard import charts
from asyncmqd.web.dashboard.charts import Axis, Line
from asyncmqd.web.dashboard.visit import Moved, Visit, address, job_address

HOURS = (1, 6, 48)
FILTERS = ("task", "key", "error", "older_than")
PAGE = 50  # jobs
_KEYS = 50  # that are shown
_HAPPENED = 12  # marks that are told in words
# What happened beside the jobs, and the colour of its mark.
MARKS = {
    "paused": "amber",
    "resumed": "green",
    "deployed": "blue",
    "started": "blue",
    "reloaded": "grey",
    "stopped": "grey",
    "died": "red",
}
Marks = Sequence[tuple[float, str]]
_CALM = frozenset({"empty", "working", "not_due"})


class Chart(NamedTuple):
    """A chart, and its series in words: name, class, last value."""

    title: str
    drawn: Markup
    most: str
    key: list[tuple[str, str, str]]


class Seen(NamedTuple):
    """What the store says of a queue."""

    view: QueueView
    reason: Reason
    past: list[Stretch]
    now: float
    found: search.Found
    operations: list[OperationView]
    happened: list[Happening]
    keys: KeyBacklog


async def values(visit: Visit) -> dict[str, Any]:
    """What the template shows. Raises CannotDo."""
    name, query = visit.rest, visit.query
    if not name:
        raise CannotDo("There is no such page.", 404)
    if id := query.get("id", "").strip():
        await _find(visit, name, id)
    given = query.get("hours")
    hours = int(given) if given in {*map(str, HOURS)} else 1
    wanted = listed(query | {"queue": name})
    elsewhere = visit.source.configured
    seen = await visit.source.read(lambda store: _look(store, name, hours, wanted, elsewhere))
    axis = Axis(seen.now - hours * 3600, seen.now)
    marks = [(charts.unix(each.at), MARKS[each.kind]) for each in seen.happened]
    return {
        "queue": seen.view,
        "reason": None if seen.reason.name in _CALM else seen.reason,
        "calm": seen.reason.sentence,
        "hours": hours,
        "all_hours": [(each, _here(name, query, hours=each)) for each in HOURS],
        "begin": axis.begin,
        "charts": await _charts(seen.past, axis, marks),
        "happened": seen.happened[:_HAPPENED],
        "happened_more": max(0, len(seen.happened) - _HAPPENED),
        "marks": MARKS,
        "keys": seen.keys,
        "permits": _permits(seen),
        "stretches": seen.past[-12:][::-1],
        "tabs": _tabs(seen.view, query),
        "state": str(wanted.state),
        "filters": {each: query.get(each, "") for each in FILTERS},
        "filtered": any(query.get(each) for each in FILTERS),
        "found": seen.found,
        "next": _here(name, query, after=seen.found.after) if seen.found.after else None,
        "first": _here(name, query, after=None) if query.get("after") else None,
        "operations": [each for each in seen.operations if each.states][:3],
    }


async def _find(visit: Visit, queue: str, id: str) -> NoReturn:
    """Go to a job by its id. Raises Moved, and CannotDo if the queue has none."""
    [found] = await visit.source.read(lambda store: store.get(queue, [id]))
    if found is None:
        raise CannotDo(f"Queue {queue} has no job {id[:200]}.", 404)
    raise Moved(job_address(queue, id))


def listed(query: dict[str, str]) -> Listed:
    """The arguments of a search as the address has them. Raises CannotDo."""
    chosen = {name: query[name] for name in (*FILTERS, "queue", "after") if query.get(name)}
    state = query.get("state") or str(State.WAITING if "queue" in query else State.FAILED)
    try:
        return read_arguments(Listed, chosen | {"state": state, "limit": PAGE})
    except WrongArguments as error:
        raise CannotDo(str(error), 400) from None


async def _look(
    store: BaseBackend, name: str, hours: int, wanted: Listed, elsewhere: queues.Names
) -> Seen:
    state = (wanted.state or State.WAITING,)
    view, [known], past, found, done, keys = await asyncio.gather(
        queues.show(store, name, elsewhere),
        facts.of_queues(store, [name]),
        history.of_queue(store, name, hours, elsewhere),
        search.search(store, wanted.selection, name, state, wanted.after, PAGE),
        operations.list_operations(store, name),
        store.key_backlog(name, _KEYS),
    )
    return Seen(
        view=view,
        reason=why.of_queue(known),
        past=past.stretches,
        now=known.now,
        found=found,
        operations=done,
        happened=await happenings(store, done, hours),
        keys=keys,
    )


def _permits(seen: Seen) -> dict[str, int | None]:
    """Of each key that is shown how many of its jobs may run at once; None: no limit."""
    limits = seen.view.limits
    if limits is None:
        return {}
    each = {key.key: limits.keys.get(key.key, limits.each_key) for key in seen.keys.keys}
    return {key: None if limit is None else limit.concurrency for key, limit in each.items()}


def _here(name: str, query: dict[str, str], **change: Any) -> str:
    """The address of this page, with other arguments."""
    kept = {key: query.get(key) for key in ("state", "hours", *FILTERS)}
    return address(f"/queues/{name}", **kept | change)


def _tabs(view: QueueView, query: dict[str, str]) -> list[tuple[str, int, str]]:
    """The states, how many jobs each has, and where they are listed."""
    kept = {each: query.get(each) for each in ("hours", *FILTERS)}
    return [
        (state, getattr(view, state), address(f"/queues/{view.name}", state=state, **kept))
        for state in map(str, State)
    ]


# ---------------------------------------------------------------------- charts


async def _charts(past: Sequence[Stretch], axis: Axis, marks: Marks) -> list[Chart]:
    """One in each turn of the loop: jobs are not to wait for all."""
    jobs = (("added", "blue", "added"), ("completed", "green", "completed"))
    bad = (("failed", "red", "failed"), ("tried again", "amber", "retried"))
    wanted: list[tuple[str, list[Line], str]] = [
        ("Jobs a minute", [_counted(past, axis, *each) for each in jobs], ""),
        ("Failures a minute", [_counted(past, axis, *each) for each in bad], ""),
        ("Waiting time", _waits(past, axis), "s"),
        ("Run time", _runs(past, axis), "s"),
    ]
    drawn = []
    for title, series, unit in wanted:
        await asyncio.sleep(0)
        drawn.append(_chart(title, series, axis, unit, marks))
    return drawn


def _chart(title: str, series: list[Line], axis: Axis, unit: str, marks: Marks) -> Chart:
    known = [value for line in series for _, value in line.points if value is not None]
    key = [(line.name, line.kind, charts.said_of(_last(line), unit)) for line in series]
    most = charts.said_of(max(known), unit) if known else ""
    return Chart(title, charts.lines(title, series, axis, unit, marks), most, key)


def _last(line: Line) -> float | None:
    return next((value for _, value in reversed(line.points) if value is not None), None)


def _middle(each: Stretch, axis: Axis) -> float:
    begin = charts.unix(each.begin)
    return min(max((begin + begin + each.minutes * 60) / 2, axis.begin), axis.end)


def _counted(past: Sequence[Stretch], axis: Axis, name: str, kind: str, field: str) -> Line:
    """How many a minute. A stretch that tells nothing had none."""
    points: list[tuple[float, float | None]] = []
    before: Stretch | None = None
    for each in past:
        at = _middle(each, axis)
        if before is not None and _end(before) < charts.unix(each.begin):
            half = before.minutes * 30
            points += [(_end(before) + half, 0.0), (max(at - each.minutes * 60, axis.begin), 0.0)]
        points.append((at, getattr(each, field) / each.minutes))
        before = each
    return Line(name, kind, points)


def _end(each: Stretch) -> float:
    return charts.unix(each.begin) + each.minutes * 60


def _waits(past: Sequence[Stretch], axis: Axis) -> list[Line]:
    """Of jobs that started, which fall silent when nothing does, and of the oldest that waits."""
    return [
        Line("median", "blue", [(_middle(e, axis), e.wait.p50) for e in past]),
        Line("95 of 100", "grey", [(_middle(e, axis), e.wait.p95) for e in past]),
        Line(
            "oldest that waits",
            "amber",
            [(_middle(e, axis), e.levels.oldest if e.levels else None) for e in past],
        ),
    ]


def _runs(past: Sequence[Stretch], axis: Axis) -> list[Line]:
    return [
        Line("median", "blue", [(_middle(e, axis), e.run.p50) for e in past]),
        Line("95 of 100", "grey", [(_middle(e, axis), e.run.p95) for e in past]),
    ]
