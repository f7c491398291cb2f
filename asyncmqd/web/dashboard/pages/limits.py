"""Limits: those of queues over all daemons, and the slots of each daemon."""

from __future__ import annotations

import asyncio
from typing import Any

from asyncmqd.admin import queues, workers
from asyncmqd.backends.base import BaseBackend
from asyncmqd.web.dashboard.visit import Visit

_Row = tuple[str, queues.LimitsView]
_LIMITS, _SLOTS, _KEYS = 50, 100, 5  # that are shown: the page is to stay below 100 kB


async def values(visit: Visit) -> dict[str, Any]:
    """What the template shows."""
    rows, daemons = await visit.source.read(_look)
    slots = [(d.id, name, load) for d in daemons for name, load in d.queues.items()]
    return {
        "limits": visit.part(rows, _LIMITS),
        "slots": visit.part(slots, _SLOTS, "slot"),
        "most_keys": _KEYS,
    }


async def _look(store: BaseBackend) -> tuple[list[_Row], list[workers.WorkerView]]:
    return await asyncio.gather(_limits(store), workers.list_workers(store))


async def _limits(store: BaseBackend) -> list[_Row]:
    names = [each.name for each in await queues.list_queues(store)]
    counts, outlooks = await asyncio.gather(store.counts(names), store.outlook(names))
    views = [(name, queues.limits_view(outlooks[name], counts[name])) for name in names]
    return [(name, view) for name, view in views if view is not None and _says_something(view)]


def _says_something(view: queues.LimitsView) -> bool:
    limits = (view.concurrency, view.rate_limit, view.each_key)
    return any(each is not None for each in limits) or bool(view.keys)
