"""Look at jobs: a page of them, or all that is known of one."""

from __future__ import annotations

import asyncio
from collections.abc import Collection, Sequence
from itertools import chain
from typing import Any

import msgspec

from asyncmqd.admin.errors import AdminError, NotFound
from asyncmqd.admin.time_format import rfc3339
from asyncmqd.backends.base import BaseBackend
from asyncmqd.client.result_waits import serving
from asyncmqd.domain.attempts import Attempt, attempts_of
from asyncmqd.domain.codec import CorruptPayload, decode, decode_spec
from asyncmqd.domain.heartbeat import NOBODY_KNOWS, unknown
from asyncmqd.domain.job import Failure, JobSpec, Record
from asyncmqd.domain.overlap import job_of_ghost
from asyncmqd.domain.settle import decode_failure
from asyncmqd.domain.states import State


class Error(msgspec.Struct, frozen=True):
    """Why the last attempt failed."""

    type: str
    message: str
    traceback: str


class AttemptView(msgspec.Struct, frozen=True, kw_only=True):
    """A run of a job that did not end it well, as its record keeps it."""

    number: int
    outcome: str  # retry, fail, recover, quarantine, release or snooze
    worker: str | None
    started: str | None  # when it was claimed
    ended: str | None
    seconds: float
    next_after: float | None  # seconds until the next one may start
    error: Error | None
    log: list[dict[str, Any]] | None  # the last lines of it


class JobView(msgspec.Struct, frozen=True, kw_only=True):
    """A job as operators see it, its request included; None where the payload cannot be read."""

    id: str
    queue: str
    task: str | None
    state: str
    parked: bool
    args: list[Any] | None
    kwargs: dict[str, Any] | None
    priority: int
    retries: int | None
    timeout: float | None
    ttl: float | None
    schedule: str | None
    instant: str | None  # of the schedule
    unique: str | None  # its unique name
    unique_while: str | None  # how long it holds that name
    on_conflict: str | None  # what its enqueue asked for if the name was held
    holder: str | None  # the live job that has this name now
    key: str | None  # whose it is
    cost: int  # tokens that each start takes of every rate limit
    waits_for: tuple[str, ...] | None  # of a blocked job: those that have to end first
    attempt: int  # that runs now, would run next, or was the last
    crashes: int
    created: str | None
    due: str | None  # of a delayed job
    lease_ends: str | None  # of an active job
    started: str | None
    finished: str | None
    worker: str | None
    progress: Any
    result: Any
    error: Error | None
    log: list[dict[str, Any]] | None  # the last lines of the run that failed; of lists: None


class ExplainedJob(JobView, frozen=True, kw_only=True):
    """One job, and why it does not run."""

    problem: str | None
    attempts: list[AttemptView]  # the last ones that did not end it well, the oldest first


async def page(
    store: BaseBackend,
    queue: str | None = None,
    states: Sequence[State] = tuple(State),
    offset: int = 0,
    limit: int = 50,
) -> list[JobView]:
    """A page of the jobs of a queue, or of all queues: queue by queue, and state by state.

    Of a state the jobs that run next come first, and of those that ended the newest.
    """
    found: list[Record] = []
    queues = await store.queues() if queue is None else [queue]
    counts = await store.counts(queues)
    for name in queues:
        for state in states:
            size = getattr(counts[name], state)
            if offset < size and len(found) < limit:
                found += await store.list(name, state, offset, limit - len(found))
            offset = max(0, offset - size)
    views = [job_view(record) for record in found]
    return [msgspec.structs.replace(view, log=None) for view in views]


async def show(store: BaseBackend, id: str, queue: str | None = None) -> ExplainedJob:
    """One job. Raises NotFound, and AdminError if several queues have one of this id."""
    found = await find(store, [id], queue)
    record = only(id, found[id], queue)
    job, kept = job_view(record), await store.attempts(record.queue, id)
    problem = None
    if job.parked:
        problem = unknown(job.task or "", job.queue, await serving(store)) or NOBODY_KNOWS
    attempts = [_attempt_view(each) for each in attempts_of(kept)]
    return ExplainedJob(**msgspec.structs.asdict(job), problem=problem, attempts=attempts)


async def find(
    store: BaseBackend, ids: Collection[str], queue: str | None
) -> dict[str, list[Record]]:
    """The jobs of each id. Without a queue all are searched: an id is unique only in its queue."""
    found: dict[str, list[Record]] = {id: [] for id in ids}
    names = await store.queues() if queue is None else [queue]
    pages = await asyncio.gather(*(store.get(name, list(found)) for name in names))
    for record in chain.from_iterable(pages):
        if record is not None:
            found[record.id].append(record)
    return found


def only(id: str, records: Sequence[Record], queue: str | None) -> Record:
    """The one job that was found for an id. Raises NotFound, and AdminError if there are more."""
    if len(records) > 1:
        names = " and ".join(record.queue for record in records)
        raise AdminError(f"job {id}: expected --queue, since {names} have one of this id")
    if not records:
        where = "there is" if queue is None else f"queue {queue} has"
        raise NotFound(f"job {id}: {where} none of this id")
    return records[0]


def job_view(record: Record) -> JobView:
    """What a store knows of a job."""
    spec, failure = _spec_of(record), decode_failure(record.error)
    requested = {
        name: getattr(spec, name, None)
        for name in ("task", "args", "kwargs", "retries", "timeout", "ttl", "schedule", "unique")
    }
    return JobView(
        **requested,
        id=record.id,
        queue=record.queue,
        instant=rfc3339(spec.instant.timestamp() if spec and spec.instant else None),
        state=str(record.state),
        parked=record.place != record.state,
        priority=record.priority,
        attempt=_attempt(record),
        crashes=record.crashes,
        created=rfc3339(record.created),
        due=rfc3339(record.due if record.state is State.DELAYED else None),
        lease_ends=rfc3339(record.due if record.state is State.ACTIVE else None),
        started=rfc3339(record.started),
        finished=rfc3339(record.finished),
        worker=record.worker or None,
        progress=_value(record.progress),
        result=_value(record.result),
        error=_error(failure),
        log=_log(failure),
        unique_while=(spec.unique_while or "live") if spec and spec.unique else None,
        on_conflict=(spec.on_conflict or "existing") if spec and spec.unique else None,
        holder=record.holder or None,
        key=record.key or None,
        cost=record.cost,
        waits_for=tuple(job_of_ghost(each) or each for each in record.waits_for) or None,
    )


def _attempt_view(attempt: Attempt) -> AttemptView:
    told = attempt.told
    return AttemptView(
        number=told.number,
        outcome=told.edge,
        worker=told.worker or None,
        started=rfc3339(attempt.started),
        ended=rfc3339(attempt.ended),
        seconds=round(max(0.0, attempt.ended - attempt.started), 6),
        next_after=told.delay or None,
        error=_error(told.failure),
        log=_log(told.failure),
    )


def _error(failure: Failure | None) -> Error | None:
    return Error(failure.type, failure.message, failure.traceback) if failure else None


def _log(failure: Failure | None) -> list[dict[str, Any]] | None:
    return [*failure.log] if failure and failure.log else None


def _attempt(record: Record) -> int:
    return max(1, record.failures) if record.state is State.FAILED else record.attempt


def _spec_of(record: Record) -> JobSpec | None:
    try:
        return decode_spec(record.payload, len(record.payload), id=record.id)
    except CorruptPayload:
        return None


def _value(data: bytes) -> Any:
    if not data:
        return None
    try:
        return decode(data)
    except CorruptPayload:
        return data.decode("utf-8", "replace")
