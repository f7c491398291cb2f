"""Schedules, limits, daemons, operations and keys: pages that show what one look has found."""

from __future__ import annotations

import asyncio
from typing import Any

from markupsafe import Markup

from asyncmqd.admin import dead_letters, operations, queues, schedules, workers
from asyncmqd.backends.base import BaseBackend
from asyncmqd.web.api import CannotDo
from asyncmqd.web.dashboard import charts
from asyncmqd.web.dashboard.charts import unix
from asyncmqd.web.dashboard.groups import stamp_of
from asyncmqd.web.dashboard.visit import Visit, address

_AUDIT = 200  # operations that are listed
_INSTANTS = 20  # of a schedule that are shown
_GROUPS = 50  # of dead letters that are shown
_LARGE = 100  # jobs of a group: so many are not run again by one click
HOURS = (1, 24, 168)  # of the strips of schedules, back and ahead
_KEYS = (
    ("?", "This page"),
    ("/", "Filter the jobs of the page, or find a job by its id"),
    ("j", "The next row"),
    ("k", "The row before"),
    ("Enter", "Open the row"),
    ("Esc", "Close what is open"),
    ("g o", "Overview"),
    ("g j", "Jobs"),
    ("g d", "Dead letters"),
    ("g s", "Schedules"),
    ("g l", "Limits"),
    ("g m", "Daemons (machines)"),
    ("g a", "Audit"),
)


async def of_dead_letters(visit: Visit) -> dict[str, Any]:
    """What the template shows: groups of failed jobs, and what is done to such groups now."""
    found = await visit.source.read(dead_letters.dead_letters)
    done = await visit.source.read(operations.list_operations)
    running = [each for each in done if each.state == operations.RUNNING and each.states]
    return {
        "groups": found.groups[:_GROUPS],
        "large": _LARGE,
        "stamp_of": stamp_of,
        "more": max(0, len(found.groups) - _GROUPS),
        "searched": found.searched,
        "of": found.of,
        "operations": running,
    }


async def of_schedules(visit: Visit) -> dict[str, Any]:
    """What the template shows. Raises CannotDo."""
    given = visit.query.get("hours")
    hours = int(given) if given in {*map(str, HOURS)} else HOURS[1]
    found, now = await visit.source.read(lambda store: _schedules(store, hours))
    views = [each.view for each in found]
    late = sorted(views, key=lambda each: (each.next is None, each.next or "", each.name))
    return {
        "schedules": late,
        "strips": {(e.view.queue, e.view.name): _strip(e, now, hours) for e in found},
        "hours": hours,
        "all_hours": [(each, address("/schedules", hours=each)) for each in HOURS],
        "words": schedules.WORDS,
    }


async def _schedules(
    store: BaseBackend, hours: int, queue: str | None = None
) -> tuple[list[schedules.Ahead], float]:
    return await schedules.ahead(store, hours * 3_600, queue), await store.now()


def _strip(found: schedules.Ahead, now: float, hours: int) -> Markup:
    """As far back as ahead."""
    axis = charts.Axis(now - hours * 3_600, now + hours * 3_600)
    told = (found.view.fired, "past"), (found.view.skipped_last, "skipped")
    done = [(unix(at), kind) for at, kind in told if at]
    return charts.strip(axis, now, done, found.instants, more=found.more)


async def of_schedule(visit: Visit) -> dict[str, Any]:
    """What the template shows: when a schedule fires next. Raises CannotDo."""
    queue, name = visit.query.get("queue", ""), visit.query.get("name", "")
    preview, views = await visit.source.read(lambda store: _schedule(store, queue, name))
    view = next((each for each in views if each.name == name), None)
    return {"preview": preview, "view": view, "words": schedules.WORDS}


async def _schedule(
    store: BaseBackend, queue: str, name: str
) -> tuple[schedules.Preview, list[schedules.ScheduleView]]:
    found = await schedules.preview(store, name, queue, _INSTANTS)
    return found, await schedules.of_queue(store, found.queue)


async def of_limits(visit: Visit) -> dict[str, Any]:
    """What the template shows: the limits of queues over all daemons, and of each daemon."""
    return {
        "rows": await visit.source.read(_limits),
        "daemons": await visit.source.read(workers.list_workers),
    }


async def _limits(store: BaseBackend) -> list[tuple[str, queues.LimitsView]]:
    names = [each.name for each in await queues.list_queues(store)]
    counts, outlooks = await store.counts(names), await store.outlook(names)
    views = [(name, queues.limits_view(outlooks[name], counts[name])) for name in names]
    return [(name, view) for name, view in views if view is not None and _says_something(view)]


def _says_something(view: queues.LimitsView) -> bool:
    limits = (view.concurrency, view.rate_limit, view.each_key)
    return any(each is not None for each in limits) or bool(view.keys)


async def of_daemons(visit: Visit) -> dict[str, Any]:
    """What the template shows: all daemons of the store, and what this one says of itself."""
    (seen, error), status = await asyncio.gather(
        visit.board.known(), visit.source.command("status", {}, typed=True, by=visit.caller.name)
    )
    plan, problem = [], ""
    try:
        plan = (await visit.source.command("plan", {}, typed=True, by=visit.caller.name))["lines"]
    except CannotDo as refusal:
        problem = str(refusal)
    return {
        "seen": seen,
        "store_error": error,
        "status": status,
        "plan": plan,
        "plan_problem": problem,
    }


async def of_audit(visit: Visit) -> dict[str, Any]:
    """What the template shows: what operators did, the newest first."""
    found = await visit.source.read(operations.list_operations)
    return {"operations": found[:_AUDIT], "more": max(0, len(found) - _AUDIT)}


async def of_operation(visit: Visit) -> dict[str, Any]:
    """What the template shows. Raises CannotDo."""
    id = visit.query.get("id", "")
    found = await visit.source.read(lambda store: operations.show(store, id))
    runs = found.state == operations.RUNNING
    seconds = None
    if found.begun and found.ended:
        seconds = unix(found.ended) - unix(found.begun)
    return {"op": found, "runs": runs, "seconds": seconds}


async def of_keys(_: Visit) -> dict[str, Any]:
    """What the template shows."""
    return {"keys": _KEYS}
