"""Look at schedules and what is to come, pause, resume and remove them, run one now."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Sequence
from datetime import UTC, datetime
from itertools import chain
from typing import Any, Literal

import msgspec

from asyncmqd.admin.errors import AdminError, NotFound
from asyncmqd.admin.time_format import rfc3339
from asyncmqd.backends.base import BaseBackend, ScheduleRecord
from asyncmqd.client.operations import noted
from asyncmqd.client.pending import CallOptions, PendingJob, add_all, pending
from asyncmqd.domain.codec import PayloadTooLarge
from asyncmqd.domain.did_you_mean import did_you_mean
from asyncmqd.domain.job import Record
from asyncmqd.domain.operation import Deed, Order
from asyncmqd.domain.overlap import job_of_ghost
from asyncmqd.domain.schedule import (
    FORGOTTEN,
    Repeatable,
    count_instants,
    decode_schedule,
    jitter_of,
    local_time,
    next_instant,
    upcoming,
)
from asyncmqd.domain.states import state_of

Action = Literal["pause", "resume", "remove"]
_DEEDS: dict[Action, Deed] = {
    "pause": "pause_schedule",
    "resume": "resume_schedule",
    "remove": "remove_schedule",
}
MOST_AHEAD, ALL_AHEAD = 48, 1_000  # instants of one schedule, and of all, that `ahead` finds


WORDS = {
    "late": "it was missed for longer than catch_up",
    "missed": "it was missed",
    "failed": "its job cannot be stored",
    "overlap": "the job before it had not ended",
    "paused": "the schedule was paused",
}
"""The reasons for which instants are skipped."""


class ScheduleView(msgspec.Struct, frozen=True, kw_only=True):
    """A schedule as operators see it; `task` is None where the stored text cannot be read."""

    queue: str
    name: str
    task: str | None
    every: float | None  # seconds
    cron: str | None
    timezone: str | None
    args: Any
    kwargs: Any
    paused: bool
    next: str | None
    last: str | None  # the latest instant that fired or was skipped
    fired: str | None  # the latest that enqueued a job; None: none, or an older release fired it
    job: str | None  # the id of that job
    outcome: str | None  # its state; "gone": it is not kept any more
    waits_for: str | None  # while that one is blocked: the job that has to end first
    replaced: int  # how many jobs were cancelled since a later instant had come
    skipped: dict[str, int]  # how many instants enqueued nothing, by reason
    skipped_last: str | None  # when some were last skipped
    skipped_for: str | None  # and for which reason
    why: str | None  # why the latest instant did not fire, in words; None: it did
    missed: str | None
    catch_up: float | None  # seconds
    declared: str | None  # when this text of it was declared
    by: str | None  # the process that did
    former: str | None  # the text that this one replaced
    former_by: str | None
    seen: str | None  # when a living daemon last said that it has it
    problem: str | None  # why no instant will come


class Foreseen(msgspec.Struct, frozen=True):
    """An instant that is to come."""

    local: str  # on the clock of the schedule's zone
    utc: str
    due: str  # when its job may run: later than the instant by the jitter; in UTC


class Preview(msgspec.Struct, frozen=True, kw_only=True):
    """What a schedule is about to do, as far as nobody changes it."""

    queue: str
    name: str
    timezone: str
    instants: list[Foreseen]
    problem: str | None  # why no instant will come, or not all that were asked for


async def list_schedules(store: BaseBackend, queue: str | None = None) -> list[ScheduleView]:
    """The schedules of a queue, or of all."""
    names = await store.queues() if queue is None else [queue]
    return [view for name in names for view in await of_queue(store, name)]


async def of_queue(store: BaseBackend, queue: str) -> list[ScheduleView]:
    """The schedules of a queue, with what became of the last job of each."""
    now, records = await store.now(), await store.schedules(queue)
    ids = sorted({each.tally.job for each in records if each.tally.job})
    jobs = dict(zip(ids, await store.get(queue, ids) if ids else (), strict=True))
    return [schedule_view(each, now, jobs.get(each.tally.job)) for each in records]


class Ahead(msgspec.Struct, frozen=True, kw_only=True):
    """A schedule with the instants that it names next."""

    view: ScheduleView
    instants: list[float]  # Unix times
    more: bool  # others follow before the end of that time


async def ahead(store: BaseBackend, seconds: float, queue: str | None = None) -> list[Ahead]:
    """The schedules of a queue, or of all, with what they name in so many seconds from now.

    All together have some thousand instants, for each costs time to find.
    """
    names = await store.queues() if queue is None else [queue]
    records, now = await asyncio.gather(store.schedules(*names), store.now())
    most = max(2, min(MOST_AHEAD, ALL_AHEAD // max(1, len(records))))
    known = {(each.queue, each.name): each for each in records}
    declared = sorted({each.queue for each in records})
    views = await asyncio.gather(*(of_queue(store, name) for name in declared))
    found = []
    for view in chain.from_iterable(views):
        record = known.get((view.queue, view.name))
        instants = [] if record is None or view.next is None else _named(record, now, most + 1)
        within = [each for each in instants if each <= now + seconds]
        found.append(Ahead(view=view, instants=within[:most], more=len(within) > most))
    return found


def _named(record: ScheduleRecord, now: float, most: int) -> list[float]:
    try:
        return upcoming(sound(record), max(now, record.last), most)
    except (ValueError, OverflowError, AdminError):
        return []


async def find(store: BaseBackend, name: str, queue: str | None = None) -> ScheduleRecord:
    """The schedule of that name. Raises NotFound, and AdminError if several queues have one."""
    queues = await store.queues() if queue is None else [queue]
    known = await store.schedules(*queues)
    found = [each for each in known if each.name == name]
    if not found:
        raise _unknown(queue, name, [each.name for each in known])
    if len(found) > 1:
        names = " and ".join(each.queue for each in found)
        raise AdminError(f"schedule {name}: queues {names} have it; expected a queue before it")
    return found[0]


async def preview(
    store: BaseBackend, name: str, queue: str | None = None, count: int = 10
) -> Preview:
    """The next `count` instants, by the store's clock. Raises NotFound and AdminError."""
    record = await find(store, name, queue)
    spec, now = sound(record), await store.now()
    problem = _silence(record, spec, now)
    moments = [] if problem else upcoming(spec, max(now, record.last), count)
    if len(moments) < count and problem is None:
        problem = f"no other instant follows, since it ends at {spec.end}"
    return Preview(
        queue=record.queue,
        name=name,
        timezone=spec.timezone,
        instants=[_foreseen(spec, record.queue, each) for each in moments],
        problem=problem or ("it is paused" if record.paused else None),
    )


def _foreseen(spec: Repeatable, queue: str, instant: float) -> Foreseen:
    due = rfc3339(instant + jitter_of(spec, queue, instant))
    return Foreseen(local_time(spec, instant), rfc3339(instant) or "", due or "")


async def run(store: BaseBackend, queue: str, name: str, by: str = "") -> str:
    """Enqueue a schedule's job now; its id. The instants stay as they are.

    Raises NotFound and AdminError. The store keeps who did it, and when.
    """
    spec = sound(await find(store, name, queue))
    now = datetime.fromtimestamp(await store.now(), UTC)
    order = Order(verb="run_schedule", schedule=name, by=by)
    jobs = [_job_of(spec, now)]
    try:
        [job] = await noted(store, queue, order, lambda: add_all(store, queue, jobs))
    except PayloadTooLarge as error:
        raise AdminError(str(error)) from None
    return job.spec.id


async def edit(store: BaseBackend, queue: str, name: str, action: Action, by: str = "") -> None:
    """Let no instant fire until it is resumed; let them fire again; forget the schedule.

    A daemon that still declares a removed one brings it back. Raises NotFound. The store keeps who
    did it, and when.
    """
    record = await find(store, name, queue)
    now = await store.now()
    passed = _passed(record, now) if action == "resume" else 0

    async def act() -> None:
        if not await store.edit_schedule(queue, name, action, passed, now):
            raise _unknown(queue, name)  # it was there a moment ago

    await noted(store, queue, Order(verb=_DEEDS[action], schedule=name, by=by), act)


def _passed(record: ScheduleRecord, now: float) -> int:
    """How many instants a paused schedule has named since the last one that is done."""
    spec, _ = _read(record)
    return count_instants(spec, record.since, now) if record.paused and spec is not None else 0


def _unknown(queue: str | None, name: str, known: Sequence[str] = ()) -> NotFound:
    nobody = "no queue has one" if queue is None else f"queue {queue} has none"
    return NotFound(f"schedule {name}: {nobody} of this name{did_you_mean(name, known)}")


def _job_of(spec: Repeatable, instant: datetime) -> PendingJob:
    options = CallOptions(
        priority=spec.priority,
        retries=spec.retries,
        timeout=spec.timeout,
        ttl=spec.ttl,
        key=spec.key,
        cost=spec.cost,
    )
    job = pending(spec.task, spec.args, spec.kwargs, options)
    scheduled = msgspec.structs.replace(job.spec, schedule=spec.identity, instant=instant)
    return PendingJob(job.queue, scheduled, job.delay)


# ---------------------------------------------------------------------- looking


def schedule_view(record: ScheduleRecord, now: float, job: Record | None = None) -> ScheduleView:
    """What a store knows of a schedule, and of the last job that it enqueued, if it is kept."""
    spec, problem = _read(record)
    if spec is not None:
        problem = _silence(record, spec, now)
    silent = problem is not None or record.paused
    declared = ("task", "every", "cron", "timezone", "args", "kwargs", "missed", "catch_up")
    tally = record.tally
    return ScheduleView(
        **{name: getattr(spec, name, None) for name in declared},
        queue=record.queue,
        name=record.name,
        paused=record.paused,
        next=None if spec is None or silent else _next(spec, max(now, record.last)),
        last=rfc3339(max(tally.fired, tally.skipped) or None),
        fired=rfc3339(tally.fired or None),
        job=tally.job or None,
        outcome=state_of(job.place) if job is not None else "gone" if tally.job else None,
        waits_for=_waits_for(job),
        replaced=tally.replaced,
        skipped=tally.counts,
        skipped_last=rfc3339(tally.skipped or None),
        skipped_for=tally.reason or None,
        why=WORDS.get(tally.reason, tally.reason) if tally.skipped > tally.fired else None,
        declared=rfc3339(record.declared),
        by=record.by or None,
        former=record.former.decode(errors="replace") or None,
        former_by=record.former_by or None,
        seen=rfc3339(record.seen or None),
        problem=problem,
    )


def _waits_for(job: Record | None) -> str | None:
    if job is None or not job.waits_for:
        return None
    first = job.waits_for[0]
    return job_of_ghost(first) or first


def _silence(record: ScheduleRecord, spec: Repeatable, now: float) -> str | None:
    """Why no instant will come; None: one will, or would if the schedule were not paused."""
    if now - record.seen > FORGOTTEN:
        return "no daemon declares it"
    if not spec.enabled:
        return "it is not enabled"
    if spec.end is not None and _next(spec, now) is None:
        return f"it ended at {spec.end}"
    return None


def sound(record: ScheduleRecord) -> Repeatable:
    """What the schedule enqueues, and when. Raises AdminError if its text cannot be read."""
    spec, _ = _read(record)
    if spec is None:
        at = f"schedule {record.name} of queue {record.queue}"
        raise AdminError(f"{at}: its stored text cannot be read")
    return spec


def _read(record: ScheduleRecord) -> tuple[Repeatable | None, str | None]:
    """What the schedule enqueues, and when; else why its stored text cannot be read."""
    try:
        return decode_schedule(record.spec), None
    except ValueError as error:
        return None, str(error)


def _next(spec: Repeatable, after: float) -> str | None:
    try:
        instant = next_instant(spec, after)
    except (ValueError, OverflowError):  # a zone that this host does not know, say
        return None
    return None if math.isinf(instant) else rfc3339(instant)
