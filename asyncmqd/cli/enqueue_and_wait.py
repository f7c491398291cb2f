"""The way of one job from the command line to a store, and of its result back."""

from __future__ import annotations

import asyncio
import contextlib
from typing import Any

from asyncmqd.admin.workers import missing_worker, probable_mistake
from asyncmqd.backends.base import BaseBackend, StoreError
from asyncmqd.cli.errors import CommandError, Misuse
from asyncmqd.cli.output import complain, show_json
from asyncmqd.client.job import Job, JobFailed, JobGone
from asyncmqd.client.pending import PendingJob, add_all
from asyncmqd.domain.codec import NotSerialisable, PayloadTooLarge

_SHORT_WAIT = 1.0  # seconds


async def send(
    store: BaseBackend, queue: str, job: PendingJob, *, wait: bool, timeout: float | None
) -> None:
    """Enqueue a job and print its id, and with `wait` or `timeout` its result when it is there."""
    [added] = await _added(store, queue, job)
    if added.replaced:
        complain(f"job {added.id}: it has these arguments now; queue {queue} had it already")
    elif added.existed:
        name = "" if added.id == job.spec.id else " under this unique name"
        complain(f"job {added.id}: queue {queue} has it already{name}, nothing was enqueued")
    print(added.id, flush=True)
    with contextlib.suppress(StoreError):  # the job is there, and that is what counts
        if mistake := await probable_mistake(store, queue, job.spec.task):
            complain(mistake)
    if wait or timeout is not None:
        show_json(await _awaited(store, added, timeout))


async def _awaited(store: BaseBackend, job: Job[Any], timeout: float | None) -> Any:
    """The result. If it takes a while, say whether anybody is there to bring it."""
    result = asyncio.ensure_future(_result(job, timeout))
    # Not at once: a daemon that has just begun says a moment later what it serves.
    await asyncio.wait({result}, timeout=_SHORT_WAIT)
    if not result.done():
        with contextlib.suppress(StoreError):  # the wait itself bears more
            if problem := await missing_worker(store, job.queue):
                complain(problem)
    return await result


async def _added(store: BaseBackend, queue: str, job: PendingJob) -> list[Job[Any]]:
    try:
        return await add_all(store, queue, [job])
    except NotSerialisable as error:
        raise Misuse(f"--{error}") from None
    except PayloadTooLarge as error:
        raise CommandError(str(error)) from None


async def _result(job: Job[Any], timeout: float | None) -> Any:
    try:
        return await job.result(timeout)
    except (JobFailed, JobGone, TimeoutError) as error:
        raise CommandError(str(error)) from None
