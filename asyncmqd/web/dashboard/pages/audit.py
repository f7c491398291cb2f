"""Audit: what operators did and do, all of it and one by one, and what daemons went through."""

from __future__ import annotations

import asyncio
from typing import Any

from asyncmqd.admin import operations
from asyncmqd.admin.marks import Happening, happenings
from asyncmqd.backends.base import BaseBackend
from asyncmqd.web.dashboard.charts import unix
from asyncmqd.web.dashboard.visit import Visit

_SHOWN, _MARKS = 80, 80  # operations and marks: the page is to stay below 100 kB
_HOURS = 48.0  # as long as marks are kept


async def of_all(visit: Visit) -> dict[str, Any]:
    """What the template of the list shows: the newest first."""
    found, happened = await visit.source.read(_look)
    return {
        "operations": (part := visit.part(found, _SHOWN)).rows,
        "part": part,
        "happened": visit.part(happened, _MARKS, "mark"),
    }


async def _look(store: BaseBackend) -> tuple[list[operations.OperationView], list[Happening]]:
    return await asyncio.gather(operations.list_operations(store), happenings(store, (), _HOURS))


async def of_one(visit: Visit) -> dict[str, Any]:
    """What the template of one shows. Raises CannotDo."""
    id = visit.query.get("id", "")
    found = await visit.source.read(lambda store: operations.show(store, id))
    seconds = unix(found.ended) - unix(found.begun) if found.begun and found.ended else None
    return {"op": found, "runs": found.state == operations.RUNNING, "seconds": seconds}
