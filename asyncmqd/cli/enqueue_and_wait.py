"""The way of one job from the command line to a store, and of its result back."""

from __future__ import annotations

import asyncio
import contextlib
import os
from pathlib import Path
from typing import Any

from msgspec import convert
from msgspec.structs import asdict, replace

from asyncmqd.admin.enqueue import Enqueued
from asyncmqd.admin.errors import WrongArguments
from asyncmqd.admin.job_by_name import Undecided, job_by_name
from asyncmqd.admin.workers import missing_worker, probable_mistake
from asyncmqd.backends.base import BaseBackend, StoreError
from asyncmqd.cli.enqueue import Call
from asyncmqd.cli.errors import CommandError, Misuse
from asyncmqd.cli.output import complain, show_json
from asyncmqd.client.job import Job, JobFailed, JobGone
from asyncmqd.client.pending import add_all, pending
from asyncmqd.daemon.control_client import NoDaemon, ask, find_socket
from asyncmqd.domain.codec import NotSerialisable, PayloadTooLarge
from asyncmqd.domain.job import JobSpec
from asyncmqd.domain.unique import OF_NAMES

_SHORT_WAIT = 1.0  # seconds


async def send(
    store: BaseBackend, call: Call, config: Path | None, *, wait: bool, timeout: float | None
) -> None:
    """Enqueue a job and print its id, and with `wait` or `timeout` its result when it is there.

    `config` is the file of the daemon, which is asked to do it if only it can.
    """
    queue = call.queue
    added = await _added(store, call, config)
    if added.replaced:
        complain(f"job {added.id}: it has these arguments now; queue {queue} had it already")
    elif added.existed:
        name = "" if added.id == call.options.job_id else " under this unique name"
        complain(f"job {added.id}: queue {queue} has it already{name}, nothing was enqueued")
    print(added.id, flush=True)
    with contextlib.suppress(StoreError):  # the job is there, and that is what counts
        if mistake := await probable_mistake(store, queue, call.task):
            complain(mistake)
    if wait or timeout is not None:
        job = Job[Any](queue, JobSpec(id=added.id, task=""), store)
        show_json(await _awaited(store, job, timeout))


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


async def _added(store: BaseBackend, call: Call, config: Path | None) -> Enqueued:
    try:
        _check(call, store.payload_limit)
        job = await job_by_name(store, call.task, call.args, call.kwargs, call.options)
        [added] = await add_all(store, call.queue, [job])
    except Undecided as error:
        return _by_daemon(call, config, error)
    except PayloadTooLarge as error:
        raise CommandError(str(error)) from None
    except (WrongArguments, ValueError) as error:  # options that do not go together
        name, _, problem = str(error).partition(":")
        raise Misuse(f"{_option(name)}:{problem}") from None
    except NotSerialisable as error:
        raise Misuse(f"--{error}") from None
    return Enqueued(added.id, call.queue, existed=added.existed, replaced=added.replaced)


def _check(call: Call, payload_limit: int) -> None:
    """Find what is wrong whatever the task declares, before the store is asked anything."""
    options = call.options
    if options.unique is None:  # the task may have a name for it
        options = replace(options, **dict.fromkeys(OF_NAMES))
    pending(call.task, call.args, call.kwargs, options).new(payload_limit)


def _by_daemon(call: Call, config: Path | None, why: Undecided) -> Enqueued:
    """Have the daemon of this host enqueue it, which has the code. Raises Misuse."""
    options = " and ".join(_option(name) for name in why.options)
    if config is None:
        raise Misuse(f"{options}: {_reason(why)}; give {options}, or --config of its daemon")
    given = {name: value for name, value in asdict(call.options).items() if value is not None}
    given |= {"task": call.task, "queue": call.queue, "args": call.args, "kwargs": call.kwargs}
    if (id := given.pop("job_id", None)) is not None:
        given["id"] = id
    try:
        reply = ask(find_socket(config, os.environ), "enqueue", **given)
    except NoDaemon as error:
        raise Misuse(f"{options}: {_reason(why)}; give {options}, or: {error}") from None
    if not reply.ok:
        raise CommandError(reply.error)
    return convert(reply.result, Enqueued)


def _reason(why: Undecided) -> str:
    return str(why).partition(": ")[2]


def _option(name: str) -> str:
    return f"--{name.replace('_', '-')}"


async def _result(job: Job[Any], timeout: float | None) -> Any:
    try:
        return await job.result(timeout)
    except (JobFailed, JobGone, TimeoutError) as error:
        raise CommandError(str(error)) from None
