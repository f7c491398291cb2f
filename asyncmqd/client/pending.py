"""Jobs on their way to a store: built from a task and options, added by the thousand."""

from __future__ import annotations

from collections.abc import Coroutine, Iterable
from typing import Any

import msgspec
from msgspec.structs import force_setattr, replace

from asyncmqd.backends.base import BaseBackend, StoreUncertain
from asyncmqd.client.job import Job
from asyncmqd.client.outbox import batches, in_doubt, outbox, send
from asyncmqd.client.sync_calls import refuse_here, run_sync
from asyncmqd.domain import clock
from asyncmqd.domain.codec import encode_spec
from asyncmqd.domain.failpoints import failpoint
from asyncmqd.domain.job import Added, JobSpec, NewJob
from asyncmqd.domain.job_cost import cost_of
from asyncmqd.domain.job_key import key_of
from asyncmqd.domain.middleware import AROUND_ENQUEUE, Kind
from asyncmqd.domain.options import OF_CALL, keep_checked
from asyncmqd.domain.tasks import UNKNOWN, TaskDef, TaskOptions, refuse_expiry
from asyncmqd.domain.typed_keywords import CostRule, OnConflict, UniqueWhile
from asyncmqd.domain.unique import Unique, is_unique, of_call, of_unknown

_GRACE = 1.0  # seconds for the way to the thread and back, on top of the store's own limit


class CallOptions(msgspec.Struct, frozen=True, kw_only=True):
    """What a producer may ask for one job; None leaves it to the task and the queue.

    Seconds may also be text like "5m" or a timedelta. Raises ValueError "NAME: expected X, got Y".
    """

    queue: str | None = None
    delay: float | None = None  # seconds before it may run, up to ten years
    job_id: str | None = None  # an id of the producer's own: enqueued once while it is known
    priority: int | None = None  # 0 to 255, lower first
    retries: int | None = None  # runs after the first
    timeout: float | None = None  # seconds for one run; 0 means no limit
    ttl: float | None = None  # seconds after which it is not started any more; 0: never
    cost: int | None = None  # tokens that a start of it takes of every rate limit
    # A name that one live job of the queue has at most; True: task and arguments; False: no name
    unique: bool | str | None = None
    # How long a job holds its name: "live" until it ends, "waiting" until it is claimed
    unique_while: UniqueWhile | None = None
    unique_for: float | None = None  # seconds after the enqueue for which the name stays taken
    key: str | None = None  # whose job it is, up to 128 characters
    # What becomes of a job that holds the name: nothing ("existing"); "replace": if it was never
    # claimed, it gets these arguments and options; "push": and is due at now plus the delay;
    # "again": as "replace", and if it was claimed, one job is blocked until it has ended
    on_conflict: OnConflict | None = None
    push_for: float | None = None  # seconds after the first enqueue, at most; None: ten delays

    def __post_init__(self) -> None:
        keep_checked(self, OF_CALL)


NO_OPTIONS = CallOptions()


class PendingJob(msgspec.Struct, frozen=True):
    """A job that was not enqueued yet: what `task.job(...)` returns and `add_bulk` takes."""

    queue: str | None  # what its options say, not its task
    spec: JobSpec
    delay: float = 0.0
    unique: Unique | None = None

    @property
    def headers(self) -> dict[str, str]:
        """Text by name that travels with the job: `JobRun.headers` of each run has it."""
        headers = self.spec.headers
        if headers is None:  # of most jobs nobody asks for them
            headers = {}
            force_setattr(self.spec, "headers", headers)
        return headers

    def new(self, payload_limit: int) -> NewJob:
        """Encoded for a store that takes so many bytes. Raises NotSerialisable, PayloadTooLarge."""
        spec, payload = self.spec, encode_spec(self.spec, payload_limit)
        key, cost = spec.key or "", spec.cost or 1
        if self.unique is None:
            return NewJob(
                id=spec.id,
                payload=payload,
                priority=spec.priority,
                delay=self.delay,
                key=key,
                cost=cost,
            )
        return NewJob(
            id=spec.id,
            payload=payload,
            priority=spec.priority,
            delay=self.delay,
            unique=self.unique.name.digest,
            until_claimed=self.unique.until_claimed,
            unique_for=self.unique.seconds,
            key=key,
            cost=cost,
            on_conflict=self.unique.on_conflict,
            push_for=self.unique.push_for,
        )


class Blank(msgspec.Struct, frozen=True):
    """What jobs of a task and the same options have in common: read once for all of them."""

    task: TaskDef | str
    options: CallOptions
    spec: JobSpec  # its id is empty where each job gets one of its own
    delay: float
    is_plain: bool  # the arguments decide neither a unique name nor a key nor a cost
    declared: TaskOptions = UNKNOWN  # what is known of a task that this process does not have

    def filled(self, args: Iterable[Any], kwargs: dict[str, Any]) -> PendingJob:
        """A job with these arguments.

        Its id is made here: whoever sends the same job again sends the same id.
        """
        id = self.spec.id or clock.new_id()
        spec = replace(self.spec, id=id, args=list(args), kwargs=kwargs)
        if self.is_plain:
            return PendingJob(self.options.queue, spec, self.delay)
        task, options = self.task, self.options
        if isinstance(task, str):
            unique = of_unknown(task, options, self.declared)
        else:
            args = tuple(args)
            unique = of_call(task, args, kwargs, options)
            if spec.key is None:
                spec = replace(spec, key=key_of(task, args, kwargs))
            if options.cost is None:
                spec = replace(spec, cost=_cost(cost_of(task, args, kwargs)))
        if unique is not None:
            spec = replace(
                spec,
                unique=unique.name.label,
                unique_while="waiting" if unique.until_claimed else None,
                on_conflict=None if unique.on_conflict == "existing" else unique.on_conflict,
            )
            if unique.on_conflict == "push":
                refuse_expiry(spec.ttl, unique.push_for)
        return PendingJob(options.queue, spec, self.delay, unique)


class Outgoing(msgspec.Struct, frozen=True):
    """Jobs that one call enqueues, as what is around it sees them."""

    queue: str
    jobs: list[PendingJob]  # `job.spec` has id, task, args, kwargs; `job.headers` may be added to
    # What the caller gets for them, in their order; empty until they are enqueued
    enqueued: list[Job[Any]] = []

    def check(self) -> None:
        """Raise TypeError for a header that is no text: no worker could read the job."""
        for job in self.jobs:
            for name, value in (job.spec.headers or {}).items():
                if not isinstance(name, str) or not isinstance(value, str):
                    kind = type(value).__name__
                    raise TypeError(f"headers: expected text by name, got {name!r}: {kind}")


def pending(
    task: TaskDef | str,
    args: Iterable[Any],
    kwargs: dict[str, Any],
    options: CallOptions,
    told: TaskOptions = UNKNOWN,
) -> PendingJob:
    """Build a job of a task, or of a name of which this process knows no task.

    `told` is what others say of a task that is not known here.
    """
    return blank(task, options, told).filled(args, kwargs)


def blank(task: TaskDef | str, options: CallOptions, told: TaskOptions = UNKNOWN) -> Blank:
    """Read the options. Raises ValueError for a `ttl` that ends before the delay."""
    name, declared = (task, told) if isinstance(task, str) else (task.name, task.options)
    delay = options.delay or 0.0
    spec = JobSpec(
        id=options.job_id or "",
        task=name,
        priority=declared.priority if options.priority is None else options.priority,
        retries=options.retries,
        timeout=options.timeout,
        ttl=declared.ttl if options.ttl is None else options.ttl,
        key=options.key,
        cost=_cost(options.cost or declared.cost),
    )
    if delay and spec.ttl is not None and 0 < spec.ttl <= delay:
        raise ValueError(
            f"ttl: expected more than the delay of {delay:g} s, or the job would"
            f" expire before it may start, got {spec.ttl:g}"
        )
    has_key = options.key is None and declared.key is not None
    has_cost = options.cost is None and not isinstance(declared.cost, int)
    is_plain = not (has_key or has_cost or is_unique(options, declared))
    return Blank(task, options, spec, delay, is_plain, told)


def _cost(tokens: CostRule) -> int | None:
    """As a payload has it: nothing of what most jobs cost, nor of what the arguments decide."""
    return tokens if isinstance(tokens, int) and tokens != 1 else None


def _handle(queue: str, job: PendingJob, backend: BaseBackend, added: Added) -> Job[Any]:
    """The job that the queue has now. Of another one that has its name, no more is known yet."""
    spec, replaced = job.spec, added.outcome == "replaced"
    if replaced:
        spec = msgspec.structs.replace(spec, id=added.id)
    elif added.id != spec.id:
        spec = JobSpec(id=added.id, task="")
    return Job(queue, spec, backend, created=added.is_new, replaced=replaced)


async def add_all(backend: BaseBackend, queue: str, jobs: list[PendingJob]) -> list[Job[Any]]:
    """Add jobs to one queue, in order. All are encoded before the first is sent.

    Raises ValueError for a job whose options name another queue.
    """
    if AROUND_ENQUEUE.declared:
        outgoing = Outgoing(queue, jobs)
        async with AROUND_ENQUEUE.inside(outgoing, "plain", "async"):
            outgoing.check()
            outgoing.enqueued.extend(enqueued := await _add_all(backend, queue, jobs))
            return enqueued
    return await _add_all(backend, queue, jobs)


async def _add_all(backend: BaseBackend, queue: str, jobs: list[PendingJob]) -> list[Job[Any]]:
    for job in jobs:
        if job.queue not in {None, queue}:
            raise ValueError(f"queue: expected {queue!r} for all jobs, got {job.queue!r}")
    new = [job.new(backend.payload_limit) for job in jobs]
    answers: list[Added] = []
    for batch in batches(new):
        try:
            answers += await send(backend, queue, batch)
        except StoreUncertain as error:
            raise in_doubt(error, [job.id for job in batch]) from error.__cause__
    return [_handle(queue, job, backend, added) for job, added in zip(jobs, answers, strict=True)]


def add_one(backend: BaseBackend, queue: str, job: PendingJob) -> Coroutine[Any, Any, Job[Any]]:
    """Add a job to a queue; concurrent calls share a round trip."""
    if AROUND_ENQUEUE.declared:
        outgoing = Outgoing(queue, [job])
        return _add_outgoing(backend, outgoing, "plain", "async")
    return _add_one(backend, queue, job)


async def _add_one(backend: BaseBackend, queue: str, job: PendingJob) -> Job[Any]:
    added = await outbox(backend, queue).add(backend, job.new(backend.payload_limit))
    return _handle(queue, job, backend, added)


def add_one_sync(backend: BaseBackend, queue: str, job: PendingJob) -> Job[Any]:
    """The same for code without an event loop. Raises like `run_sync`, too."""
    limit = None if backend.timeout is None else backend.timeout + _GRACE
    try:
        if not AROUND_ENQUEUE.declared:
            if (enqueued := _add_at_once(backend, queue, job)) is not None:
                return enqueued
            return run_sync(_add_one(backend, queue, job), limit)
        outgoing = Outgoing(queue, [job])
        with AROUND_ENQUEUE.plain(outgoing):
            return run_sync(_add_outgoing(backend, outgoing, "async"), limit)
    except StoreUncertain as error:
        raise (error if error.job_ids else in_doubt(error, [job.spec.id])) from error.__cause__


def _add_at_once(backend: BaseBackend, queue: str, job: PendingJob) -> Job[Any] | None:
    """By this very thread, if the store can and no other is at it."""
    refuse_here()

    def leaving() -> NewJob:
        failpoint("adding")
        return job.new(backend.payload_limit)

    added = backend.add_at_once(queue, leaving)
    if added is None:
        return None
    failpoint("added")
    return _handle(queue, job, backend, added)


async def _add_outgoing(backend: BaseBackend, outgoing: Outgoing, *kinds: Kind) -> Job[Any]:
    """Inside of what the application has put round an enqueue, as far as it is of these kinds."""
    async with AROUND_ENQUEUE.inside(outgoing, *kinds):
        outgoing.check()
        job = await _add_one(backend, outgoing.queue, outgoing.jobs[0])
        outgoing.enqueued.append(job)
        return job
