"""Enqueue a job for somebody who has no Python: by the name of its task, once for each key."""

from __future__ import annotations

from contextlib import suppress
from hashlib import sha256
from typing import Any

import msgspec

from asyncmqd.admin.errors import AdminError, WrongArguments
from asyncmqd.admin.job_by_name import job_by_name
from asyncmqd.admin.workers import probable_mistake
from asyncmqd.backends.base import BaseBackend, StoreError
from asyncmqd.client.pending import CallOptions, PendingJob, add_all
from asyncmqd.domain.codec import CorruptPayload, NotSerialisable, PayloadTooLarge, decode_spec
from asyncmqd.domain.options import DEFAULT_QUEUE, TASK, check_queue_name

_LONGEST_KEY = 255  # characters


class EnqueueArguments(msgspec.Struct, forbid_unknown_fields=True, kw_only=True):
    """A job to enqueue. Seconds may also be text like "5m"."""

    task: str
    queue: str = DEFAULT_QUEUE
    args: list[Any] = msgspec.field(default_factory=list)
    kwargs: dict[str, Any] = msgspec.field(default_factory=dict)
    id: str | None = None
    delay: float | str | None = None
    priority: int | None = None
    cost: int | None = None
    retries: int | None = None
    timeout: float | str | None = None
    ttl: float | str | None = None
    unique: str | None = None
    unique_while: str | None = None
    unique_for: float | str | None = None
    key: str | None = None
    on_conflict: str | None = None
    push_for: float | str | None = None
    idempotency_key: str | None = None  # whoever sends it again gets the job of the first time


class Enqueued(msgspec.Struct, frozen=True):
    """The job that the queue has now."""

    id: str
    queue: str
    existed: bool  # it had it already, and nothing was enqueued
    replaced: bool = False  # but it has these arguments now
    warning: str = ""  # a name that nobody serves, and what was probably meant


_OPTIONS = tuple(name for name in CallOptions.__struct_fields__ if name not in {"queue", "job_id"})


async def enqueue(store: BaseBackend, args: EnqueueArguments) -> Enqueued:
    """Enqueue a job, or find the one that the same key has enqueued. Raises AdminError.

    A key is known as long as the store has its job.
    """
    job = await _job(store, args)
    try:
        [added] = await add_all(store, args.queue, [job])
    except (NotSerialisable, PayloadTooLarge) as error:
        raise AdminError(str(error)) from None
    if added.existed and args.idempotency_key is not None and added.id == job.spec.id:
        await _check_same(store, args.queue, job)
    return Enqueued(
        added.id,
        args.queue,
        existed=added.existed,
        replaced=added.replaced,
        warning=await _warning(store, args),
    )


async def _warning(store: BaseBackend, args: EnqueueArguments) -> str:
    with suppress(StoreError):  # the job is there, and that is what counts
        return await probable_mistake(store, args.queue, args.task) or ""
    return ""


async def _job(store: BaseBackend, args: EnqueueArguments) -> PendingJob:
    try:
        check_queue_name(args.queue)
        task = str(TASK.kind.check(args.task))
        given = {name: getattr(args, name) for name in _OPTIONS}
        options = CallOptions(job_id=_id(args), **given)
    except ValueError as error:
        raise WrongArguments(str(error)) from None
    return await job_by_name(store, task, args.args, args.kwargs, options)


def _id(args: EnqueueArguments) -> str | None:
    """The id that a key stands for: the store takes each id once."""
    key = args.idempotency_key
    if key is None:
        return args.id
    if args.id is not None:
        raise ValueError("idempotency_key: expected no id beside it")
    if not 0 < len(key) <= _LONGEST_KEY:
        raise ValueError(
            f"idempotency_key: expected 1 to {_LONGEST_KEY} characters, got {len(key)}"
        )
    return f"key-{sha256(key.encode('utf-8', 'surrogatepass')).hexdigest()[:32]}"


async def _check_same(store: BaseBackend, queue: str, job: PendingJob) -> None:
    """Refuse a key that was used for something else."""
    [record] = await store.get(queue, [job.spec.id])
    if record is None:  # it has ended and was deleted just now: it was there, and that is told
        return
    try:
        spec = decode_spec(record.payload, len(record.payload), id=record.id)
    except CorruptPayload:
        return
    asked = (job.spec.task, *msgspec.to_builtins([job.spec.args, job.spec.kwargs]))
    if (spec.task, spec.args, spec.kwargs) != asked:
        raise AdminError(
            f"idempotency_key: it stands for job {job.spec.id} of another task or other arguments"
        )
