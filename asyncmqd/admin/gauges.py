"""How full the queues of a store are, and how late: what /metrics tells of them."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import msgspec

from asyncmqd.admin.causes import overdue
from asyncmqd.backends.base import BaseBackend, Outlook, ScheduleRecord
from asyncmqd.domain.job import Counts

_SCHEDULES = 50  # of which the next instant is counted in one turn of the loop


class Gauges(msgspec.Struct, frozen=True):
    """One queue at one moment."""

    counts: Counts
    outlook: Outlook
    oldest: float = 0.0  # seconds for which the oldest of those that run next has waited
    overdue: float = 0.0  # seconds since an instant that no daemon has fired


async def of_queues(store: BaseBackend, queues: Sequence[str]) -> dict[str, Gauges]:
    """The gauges of these queues. Raises StoreError."""
    counts, outlooks = await store.counts(queues), await store.outlook(queues)
    oldest = await store.oldest([q for q in queues if counts[q].waiting > counts[q].parked])
    late = await _late(await store.schedules(*queues), {q: outlooks[q].now for q in queues})
    return {
        queue: Gauges(
            counts[queue],
            outlooks[queue],
            max(0.0, oldest.get(queue, 0.0)),
            late.get(queue, 0.0),
        )
        for queue in queues
    }


async def _late(records: Sequence[ScheduleRecord], now: dict[str, float]) -> dict[str, float]:
    """By queue, how long ago the first instant was that should have fired and did not."""
    late: dict[str, float] = {}
    for number, record in enumerate(records):
        if number % _SCHEDULES == _SCHEDULES - 1:
            await asyncio.sleep(0)
        moment = now[record.queue]
        instant = overdue(record, moment)
        if instant is not None:
            late[record.queue] = max(late.get(record.queue, 0.0), moment - instant)
    return late
