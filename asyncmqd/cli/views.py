"""What the store's records look like to people and programs: the documented JSON keys."""

from __future__ import annotations

import math
from typing import Any

import msgspec

from asyncmqd.backends.base import ScheduleRecord, WorkerRecord
from asyncmqd.cli.output import rfc3339
from asyncmqd.domain.codec import CorruptPayload, decode, decode_spec
from asyncmqd.domain.job import Counts, JobSpec, Record
from asyncmqd.domain.schedule import FORGOTTEN, Repeatable, decode_schedule, next_instant
from asyncmqd.domain.serving import serving_of
from asyncmqd.domain.settle import decode_failure
from asyncmqd.domain.states import State


def job_view(record: Record) -> dict[str, Any]:
    """A job, its request included."""
    spec = spec_of(record)
    failure = decode_failure(record.error)
    return {
        "id": record.id,
        "queue": record.queue,
        "task": spec and spec.task,
        "state": str(record.state),
        "parked": record.place != record.state,
        "args": spec and spec.args,
        "kwargs": spec and spec.kwargs,
        "priority": record.priority,
        "retries": spec and spec.retries,
        "timeout": spec and spec.timeout,
        "ttl": spec and spec.ttl,
        "schedule": spec and spec.schedule,
        "attempt": _attempt(record),
        "crashes": record.crashes,
        "created": rfc3339(record.created),
        "due": rfc3339(record.due if record.state is State.DELAYED else None),
        "lease_ends": rfc3339(record.due if record.state is State.ACTIVE else None),
        "started": rfc3339(record.started),
        "finished": rfc3339(record.finished),
        "worker": record.worker or None,
        "progress": _value(record.progress),
        "result": _value(record.result),
        "error": failure and msgspec.structs.asdict(failure),
    }


def _attempt(record: Record) -> int:
    """The attempt that runs now, would run next, or was the last."""
    return max(1, record.failures) if record.state is State.FAILED else record.attempt


def spec_of(record: Record) -> JobSpec | None:
    """The job's request; None when the stored payload is corrupt."""
    try:
        return decode_spec(record.payload, limit=len(record.payload))
    except CorruptPayload:
        return None


def _value(data: bytes) -> Any:
    if not data:
        return None
    try:
        return decode(data)
    except CorruptPayload:
        return data.decode("utf-8", "replace")


def counts_view(name: str, counts: Counts) -> dict[str, Any]:
    """A queue in numbers; parked jobs are part of the waiting ones."""
    return {"name": name, **msgspec.structs.asdict(counts)}


def worker_view(record: WorkerRecord) -> dict[str, Any]:
    """A living process; `queues` maps each to its concurrency and its running jobs."""
    info = serving_of(record.info)
    return {
        "id": record.id,
        "host": info.host,
        "pid": info.pid,
        "queues": {name: msgspec.structs.asdict(load) for name, load in info.queues.items()},
        "tasks": info.tasks,
        "started": rfc3339(record.started),
        "seen": rfc3339(record.seen),
    }


def schedule_view(record: ScheduleRecord, now: float) -> dict[str, Any]:
    """A schedule with its next instant; `problem` says why there is none that will come.

    `task` is null when the stored text cannot be read.
    """
    spec = repeatable_of(record)
    problem = _problem(record, now)
    silent = problem is not None or record.paused
    fired = record.last != record.declared  # a new schedule starts at its declaration
    return {
        "queue": record.queue,
        "name": record.name,
        "task": spec and spec.task,
        "every": spec and spec.every,
        "cron": spec and spec.cron,
        "timezone": spec and spec.timezone,
        "args": spec and spec.args,
        "kwargs": spec and spec.kwargs,
        "paused": record.paused,
        "next": None if spec is None or silent else _next(spec, max(now, record.last)),
        "last": rfc3339(record.last) if fired else None,
        "declared": rfc3339(record.declared),
        "by": record.by or None,
        "former": record.former.decode(errors="replace") or None,
        "former_by": record.former_by or None,
        "seen": rfc3339(record.seen or None),
        "problem": problem,
    }


def _problem(record: ScheduleRecord, now: float) -> str | None:
    try:
        decode_schedule(record.spec)
    except ValueError as error:
        return str(error)
    if now - record.seen > FORGOTTEN:
        return "no daemon declares it"
    return None


def repeatable_of(record: ScheduleRecord) -> Repeatable | None:
    """What the schedule enqueues, and when; None when its stored text is corrupt."""
    try:
        return decode_schedule(record.spec)
    except ValueError:
        return None


def _next(spec: Repeatable, after: float) -> str | None:
    try:
        instant = next_instant(spec, after)
    except (ValueError, OverflowError):  # a zone that this host does not know, say
        return None
    return None if math.isinf(instant) else rfc3339(instant)
