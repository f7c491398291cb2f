"""Run a schedule for instants of the past: first what would be enqueued, then that."""

from __future__ import annotations

from datetime import datetime
from itertools import islice, takewhile

import msgspec

from asyncmqd.admin.errors import AdminError
from asyncmqd.admin.schedules import find, sound
from asyncmqd.admin.time_format import rfc3339
from asyncmqd.backends.base import PAGE, BaseBackend
from asyncmqd.client.pending import PendingJob, add_all
from asyncmqd.domain.codec import PayloadTooLarge
from asyncmqd.domain.schedule import Repeatable, instants, job_of, local_time
from asyncmqd.domain.states import state_of

MOST = 10_000  # instants of one range

_HALF = 0.0005  # seconds: instants are whole milliseconds


class PastInstant(msgspec.Struct, frozen=True):
    """An instant of the range."""

    local: str  # on the clock of the schedule's zone
    utc: str
    job: str  # the id that its job has, however it is enqueued
    state: str | None  # of the job of that id; None: there is none, and a backfill enqueues it


class Backfill(msgspec.Struct, frozen=True, kw_only=True):
    """What a backfill would enqueue: the dry run."""

    queue: str
    name: str
    instants: list[PastInstant]
    jobs: int  # that would be enqueued
    own: int  # instants of the range that the schedule has not come to yet


async def plan(
    store: BaseBackend, name: str, start: str, end: str, queue: str | None = None
) -> Backfill:
    """The instants from `start` to `end` (RFC 3339, both included). Changes nothing.

    Raises NotFound, and AdminError for a range that is empty or names more than `MOST` instants.
    """
    record = await find(store, name, queue)
    declared = sound(record)
    spec = msgspec.structs.replace(declared, enabled=True)
    found = _named(spec, start, end)
    # When one that is paused or not enabled fires again, it begins at that moment.
    silent = record.paused or not declared.enabled
    done = max(record.since, await store.now()) if silent else record.since
    past = [each for each in found if each <= done]
    ids = [job_of(spec, each).id for each in past]
    states: dict[str, str | None] = dict.fromkeys(ids)
    for at in range(0, len(ids), PAGE):
        for job in await store.get(record.queue, ids[at : at + PAGE]):
            if job is not None:
                states[job.id] = str(state_of(job.place))
    return Backfill(
        queue=record.queue,
        name=name,
        instants=[
            PastInstant(local_time(spec, each), rfc3339(each) or "", id, states[id])
            for each, id in zip(past, ids, strict=True)
        ],
        jobs=sum(state is None for state in states.values()),
        own=len(found) - len(past),
    )


async def run(store: BaseBackend, planned: Backfill) -> int:
    """Enqueue what was planned, in order; how many jobs that were.

    A job that has come into the store since is left alone. Neither the instants nor the counts of
    the schedule change. Raises NotFound and AdminError.
    """
    spec = sound(await find(store, planned.name, planned.queue))
    wanted = {each.job for each in planned.instants if each.state is None}
    first, last = planned.instants[0].utc, planned.instants[-1].utc
    whole = msgspec.structs.replace(spec, enabled=True)
    jobs = (job_of(whole, each) for each in _named(whole, first, last))
    try:
        added = await add_all(
            store, planned.queue, [PendingJob(None, job) for job in jobs if job.id in wanted]
        )
    except PayloadTooLarge as error:
        raise AdminError(str(error)) from None
    return sum(job.created for job in added)


def _named(spec: Repeatable, start: str, end: str) -> list[float]:
    first, last = (datetime.fromisoformat(each).timestamp() for each in (start, end))
    if first > last:
        raise AdminError(f"expected a range that ends after its start, {start}, got the end {end}")
    found = takewhile(lambda each: each <= last + _HALF, instants(spec, first - _HALF))
    listed = list(islice(found, MOST + 1))
    if len(listed) > MOST:
        raise AdminError(f"expected at most {MOST} instants in the range, got more")
    return listed
