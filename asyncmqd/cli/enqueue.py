"""`asyncmq enqueue`: one job from the command line."""

from __future__ import annotations

import asyncio
import contextlib
import json
from typing import Annotated, Any

import typer

from asyncmqd.backends.base import BaseBackend, StoreError
from asyncmqd.cli.errors import CommandError, Misuse
from asyncmqd.cli.options import kind_option, queue_name, seconds_option
from asyncmqd.cli.output import complain, show_json
from asyncmqd.cli.target import with_store
from asyncmqd.client.job import Job, JobFailed, JobGone
from asyncmqd.client.pending import CallOptions, PendingJob, add_all, pending
from asyncmqd.client.waits import served_queues, serving
from asyncmqd.domain.codec import NotSerialisable, PayloadTooLarge
from asyncmqd.domain.names import did_you_mean
from asyncmqd.domain.options import ID, PRIORITY, RETRIES, TASK
from asyncmqd.domain.serving import Serving, unknown

_SHORT_WAIT = 1.0  # seconds


def enqueue(
    context: typer.Context,
    task: Annotated[str, typer.Argument(metavar="TASK", help="The task's registered name.")],
    queue: Annotated[
        str,
        typer.Option("--queue", "-q", parser=queue_name, metavar="QUEUE", help="Where to."),
    ] = "default",
    args: Annotated[str, typer.Option(metavar="JSON", help="Positional: a JSON array.")] = "[]",
    kwargs: Annotated[str, typer.Option(metavar="JSON", help="By name: a JSON object.")] = "{}",
    delay: Annotated[float | None, seconds_option("Do not run it before.")] = None,
    priority: Annotated[
        int | None, kind_option(PRIORITY.kind, "0 to 255, lower runs first; usually 5.", "N")
    ] = None,
    id: Annotated[
        str | None, kind_option(ID.kind, "Enqueued once while the store knows it.", "ID")
    ] = None,
    retries: Annotated[int | None, kind_option(RETRIES.kind, "Runs after the first.", "N")] = None,
    timeout: Annotated[float | None, seconds_option("What one run may take; 0: no limit.")] = None,
    ttl: Annotated[float | None, seconds_option("Do not start it after.")] = None,
    wait: Annotated[bool, typer.Option("--wait", help="Print the result, too, as JSON.")] = False,
    wait_timeout: Annotated[float | None, seconds_option("How long to wait for the end.")] = None,
) -> None:
    """Enqueue a job and print its id.

    A task that no worker there knows is enqueued, too, and waits for one that does.
    """
    options = CallOptions(
        delay=delay, job_id=id, priority=priority, retries=retries, timeout=timeout, ttl=ttl
    )
    try:
        job = pending(_task(task), _array(args), _object(kwargs), options)
    except ValueError as error:  # a ttl that is over before the delay is
        raise Misuse(f"--{error}") from None

    async def work(store: BaseBackend) -> None:
        [added] = await _added(store, queue, job)
        if not added.created:
            complain(f"job {added.id}: queue {queue} has it already, nothing was enqueued")
        print(added.id, flush=True)
        await _complain_of_a_slip(store, queue, task)
        if wait or wait_timeout is not None:
            show_json(await _awaited(store, added, wait_timeout))

    with_store(context, work)


async def _complain_of_a_slip(store: BaseBackend, queue: str, task: str) -> None:
    """Say so if nobody serves the queue, but somebody serves one of nearly that name; and if who
    serves it does not know the task.
    """
    processes: list[Serving] = []
    with contextlib.suppress(StoreError):  # the job is there, and that is what counts
        processes = await serving(store)
    served = {name for process in processes for name in process.queues}
    near = did_you_mean(queue, served)
    if queue not in served and near:
        complain(f"queue {queue}: nobody serves it now{near}")
    elif problem := unknown(task, queue, processes):
        complain(f"task {task} in queue {queue}: {problem}")


async def _awaited(store: BaseBackend, job: Job[Any], timeout: float | None) -> Any:
    """The result. If it takes a while, say whether anybody is there to bring it."""
    result = asyncio.ensure_future(_result(job, timeout))
    # Not at once: a daemon that has just begun says a moment later what it serves.
    await asyncio.wait({result}, timeout=_SHORT_WAIT)
    if not result.done():
        with contextlib.suppress(StoreError):  # the wait itself bears more
            served = await served_queues(store)
            if job.queue not in served and not did_you_mean(job.queue, served):
                complain(f"queue {job.queue}: nobody serves it now")
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


def _task(name: str) -> str:
    try:
        return str(TASK.kind.check(name))
    except ValueError as error:
        raise Misuse(f"TASK: {error}") from None


def _array(text: str) -> list[Any]:
    value = _json("--args", text)
    if not isinstance(value, list):
        raise Misuse(f"--args: expected a JSON array like '[1, \"a\"]', got {_shown(text)}")
    return value


def _object(text: str) -> dict[str, Any]:
    value = _json("--kwargs", text)
    if not isinstance(value, dict):
        raise Misuse(f"--kwargs: expected a JSON object like '{{\"a\": 1}}', got {_shown(text)}")
    return value


def _json(option: str, text: str) -> Any:
    try:
        return json.loads(text)
    except json.JSONDecodeError as error:
        place = f"line {error.lineno}, column {error.colno}"
        raise Misuse(f"{option}: expected JSON, got {error.msg} at {place}") from None
    except (ValueError, RecursionError) as error:
        raise Misuse(f"{option}: expected JSON that can be read, got {error}") from None


def _shown(text: str) -> str:
    return repr(text if len(text) <= 60 else f"{text[:60]}...")
