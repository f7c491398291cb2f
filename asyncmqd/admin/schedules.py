"""Look at schedules, pause, resume and remove them, run one now."""

from __future__ import annotations

import math
from typing import Any, Literal

import msgspec

from asyncmqd.admin.errors import AdminError, NotFound
from asyncmqd.admin.times import rfc3339
from asyncmqd.backends.base import BaseBackend, ScheduleRecord
from asyncmqd.client.pending import CallOptions, PendingJob, add_all, pending
from asyncmqd.domain.codec import PayloadTooLarge
from asyncmqd.domain.schedule import (
    FORGOTTEN,
    Repeatable,
    count_instants,
    decode_schedule,
    next_instant,
)

Action = Literal["pause", "resume", "remove"]


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
    skipped: dict[str, int]  # how many instants enqueued nothing, by reason
    skipped_last: str | None  # when some were last skipped
    skipped_for: str | None  # and for which reason
    missed: str | None
    catch_up: float | None  # seconds
    declared: str | None  # when this text of it was declared
    by: str | None  # the process that did
    former: str | None  # the text that this one replaced
    former_by: str | None
    seen: str | None  # when a living daemon last said that it has it
    problem: str | None  # why no instant will come


async def list_schedules(store: BaseBackend, queue: str | None = None) -> list[ScheduleView]:
    """The schedules of a queue, or of all."""
    now = await store.now()
    names = await store.queues() if queue is None else [queue]
    return [schedule_view(each, now) for name in names for each in await store.schedules(name)]


async def run(store: BaseBackend, queue: str, name: str) -> str:
    """Enqueue a schedule's job now; its id. The instants stay as they are.

    Raises NotFound and AdminError.
    """
    record = next((each for each in await store.schedules(queue) if each.name == name), None)
    if record is None:
        raise _unknown(queue, name)
    spec, _ = _read(record)
    if spec is None:
        raise AdminError(f"schedule {name} of queue {queue}: its stored text cannot be read")
    try:
        [job] = await add_all(store, queue, [_job_of(spec)])
    except PayloadTooLarge as error:
        raise AdminError(str(error)) from None
    return job.spec.id


async def edit(store: BaseBackend, queue: str, name: str, action: Action) -> None:
    """Let no instant fire until it is resumed; let them fire again; forget the schedule.

    A daemon that still declares a removed one brings it back. Raises NotFound.
    """
    passed = await _passed(store, queue, name) if action == "resume" else 0
    if not await store.edit_schedule(queue, name, action, passed):
        raise _unknown(queue, name)


async def _passed(store: BaseBackend, queue: str, name: str) -> int:
    """How many instants a paused schedule has named since the last one that is done."""
    now = await store.now()
    for each in await store.schedules(queue):
        spec, _ = _read(each)
        if each.name == name and each.paused and spec is not None:
            return count_instants(spec, max(each.last, each.declared), now)
    return 0


def _unknown(queue: str, name: str) -> NotFound:
    return NotFound(f"schedule {name}: queue {queue} has none of this name")


def _job_of(spec: Repeatable) -> PendingJob:
    options = CallOptions(
        priority=spec.priority, retries=spec.retries, timeout=spec.timeout, ttl=spec.ttl
    )
    job = pending(spec.task, spec.args, spec.kwargs, options)
    return PendingJob(job.queue, msgspec.structs.replace(job.spec, schedule=spec.key), job.delay)


# ---------------------------------------------------------------------- looking


def schedule_view(record: ScheduleRecord, now: float) -> ScheduleView:
    """What a store knows of a schedule."""
    spec, problem = _read(record)
    if problem is None and now - record.seen > FORGOTTEN:
        problem = "no daemon declares it"
    silent = problem is not None or record.paused
    declared = ("task", "every", "cron", "timezone", "args", "kwargs", "missed", "catch_up")
    tally = record.tally
    return ScheduleView(
        **{name: getattr(spec, name, None) for name in declared},
        queue=record.queue,
        name=record.name,
        paused=record.paused,
        next=None if spec is None or silent else _next(spec, max(now, record.last)),
        last=rfc3339(_last(record)),
        fired=rfc3339(tally.fired or None),
        job=tally.job or None,
        skipped=tally.counts,
        skipped_last=rfc3339(tally.skipped or None),
        skipped_for=tally.reason or None,
        declared=rfc3339(record.declared),
        by=record.by or None,
        former=record.former.decode(errors="replace") or None,
        former_by=record.former_by or None,
        seen=rfc3339(record.seen or None),
        problem=problem,
    )


def _last(record: ScheduleRecord) -> float | None:
    """The latest instant that fired or was skipped; older releases kept no more than `last`."""
    if known := max(record.tally.fired, record.tally.skipped):
        return known
    return record.last if record.last != record.declared else None  # new: since its declaration


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
