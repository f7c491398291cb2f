"""Schedules: when each fired last and fires next, and what was skipped."""

from __future__ import annotations

import asyncio
from typing import Any

from markupsafe import Markup

from asyncmqd.admin import schedules
from asyncmqd.backends.base import BaseBackend
from asyncmqd.web.dashboard import charts
from asyncmqd.web.dashboard.charts import unix
from asyncmqd.web.dashboard.visit import Visit, address

HOURS = (1, 24, 168)  # of the strips, back and ahead
_INSTANTS = 20  # of one schedule that are shown
_SHOWN = 50  # schedules: the page is to stay below 100 kB


async def of_all(visit: Visit) -> dict[str, Any]:
    """What the template of the list shows. Raises CannotDo."""
    given = visit.query.get("hours")
    hours = int(given) if given in {*map(str, HOURS)} else HOURS[1]
    found, now = await visit.source.read(lambda store: _ahead(store, hours))
    views = [each.view for each in found]
    late = sorted(views, key=lambda each: (each.next is None, each.next or "", each.name))
    part = visit.part(late, _SHOWN)
    shown = {(each.queue, each.name) for each in part.rows}
    known = {(each.view.queue, each.view.name): each for each in found}
    return {
        "part": part,
        "strips": {name: _strip(known[name], now, hours) for name in shown},
        "hours": hours,
        "all_hours": [(each, address("/schedules", hours=each)) for each in HOURS],
        "words": schedules.WORDS,
    }


async def _ahead(store: BaseBackend, hours: int) -> tuple[list[schedules.Ahead], float]:
    return await asyncio.gather(schedules.ahead(store, hours * 3_600), store.now())


def _strip(found: schedules.Ahead, now: float, hours: int) -> Markup:
    """As far back as ahead."""
    axis = charts.Axis(now - hours * 3_600, now + hours * 3_600)
    told = (found.view.fired, "past"), (found.view.skipped_last, "skipped")
    done = [(unix(at), kind) for at, kind in told if at]
    return charts.strip(axis, now, done, found.instants, more=found.more)


async def of_one(visit: Visit) -> dict[str, Any]:
    """What the template of one shows: when it fires next. Raises CannotDo."""
    queue, name = visit.query.get("queue", ""), visit.query.get("name", "")
    preview, views = await visit.source.read(lambda store: _foreseen(store, queue, name))
    view = next((each for each in views if each.name == name), None)
    return {"preview": preview, "view": view, "words": schedules.WORDS}


async def _foreseen(
    store: BaseBackend, queue: str, name: str
) -> tuple[schedules.Preview, list[schedules.ScheduleView]]:
    found = await schedules.preview(store, name, queue, _INSTANTS)
    return found, await schedules.of_queue(store, found.queue)
