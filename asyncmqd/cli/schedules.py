"""`asyncmq schedule`: look at schedules, pause, resume and remove them, run one now."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Any, Literal

import msgspec
import typer

from asyncmqd.backends.base import BaseBackend, ScheduleRecord
from asyncmqd.cli.errors import CommandError
from asyncmqd.cli.options import AsJson, QueueArgument, StoredQueue, group
from asyncmqd.cli.output import say, show_json, show_table
from asyncmqd.cli.target import with_store
from asyncmqd.cli.views import repeatable_of, schedule_view
from asyncmqd.client.pending import CallOptions, PendingJob, add_all, pending
from asyncmqd.domain.codec import PayloadTooLarge
from asyncmqd.domain.schedule import Repeatable

app = group("Look at schedules, and run, pause, resume or remove them.")

Name = Annotated[str, typer.Argument(metavar="NAME", help="As `schedule list` names it.")]
OneQueue = Annotated[str | None, typer.Argument(metavar="QUEUE", help="Only this queue's.")]


@app.command("list")
def list_schedules(context: typer.Context, queue: OneQueue = None, as_json: AsJson = False) -> None:
    """List schedules with their next instant."""

    async def found(store: BaseBackend) -> list[dict[str, Any]]:
        now = await store.now()
        names = await store.queues() if queue is None else [queue]
        return [
            schedule_view(record, now) for name in names for record in await store.schedules(name)
        ]

    schedules = with_store(context, found, queue)
    if as_json:
        show_json(schedules)
    else:
        show_schedules(schedules)


def show_schedules(schedules: Sequence[dict[str, Any]]) -> None:
    """Print a table of `schedule_view`s."""
    keys = ("queue", "name", "task", "next", "last", "paused")
    show_table(
        (*(key.upper() for key in keys), "WHEN"),
        [(*(each[key] for key in keys), _when(each)) for each in schedules],
    )


def _when(schedule: dict[str, Any]) -> str:
    return ": ".join(filter(None, (_instants(schedule), schedule["problem"])))


def _instants(schedule: dict[str, Any]) -> str:
    if schedule["every"] is not None:
        return f"every {schedule['every']:g} s"
    return f"{schedule['cron']} ({schedule['timezone']})" if schedule["cron"] else ""


@app.command()
def run(context: typer.Context, queue: QueueArgument, name: Name) -> None:
    """Enqueue a schedule's job now.

    The instants stay as they are. Prints the job's id.
    """
    print(with_store(context, lambda store: _enqueue(store, queue, name)))


async def _enqueue(store: BaseBackend, queue: str, name: str) -> str:
    spec = repeatable_of(await _found(store, queue, name))
    if spec is None:
        raise CommandError(f"schedule {name} of queue {queue}: its stored text cannot be read")
    try:
        [job] = await add_all(store, queue, [_job_of(spec)])
    except PayloadTooLarge as error:
        raise CommandError(str(error)) from None
    return job.spec.id


async def _found(store: BaseBackend, queue: str, name: str) -> ScheduleRecord:
    for record in await store.schedules(queue):
        if record.name == name:
            return record
    raise _unknown(queue, name)


def _unknown(queue: str, name: str) -> CommandError:
    return CommandError(f"schedule {name}: queue {queue} has none of this name")


def _job_of(spec: Repeatable) -> PendingJob:
    options = CallOptions(
        priority=spec.priority, retries=spec.retries, timeout=spec.timeout, ttl=spec.ttl
    )
    job = pending(spec.task, spec.args, spec.kwargs, options)
    return PendingJob(job.queue, msgspec.structs.replace(job.spec, schedule=spec.key), job.delay)


@app.command()
def pause(context: typer.Context, queue: StoredQueue, name: Name) -> None:
    """Let no instant fire until it is resumed."""
    _edit(context, queue, name, "pause")
    say(f"{name} paused")


@app.command()
def resume(context: typer.Context, queue: StoredQueue, name: Name) -> None:
    """Let instants fire again."""
    _edit(context, queue, name, "resume")
    say(f"{name} resumed")


@app.command()
def remove(context: typer.Context, queue: StoredQueue, name: Name) -> None:
    """Forget a schedule.

    A daemon that still declares it brings it back.
    """
    _edit(context, queue, name, "remove")
    say(f"{name} removed")


def _edit(
    context: typer.Context, queue: str, name: str, action: Literal["pause", "resume", "remove"]
) -> None:
    if not with_store(context, lambda store: store.edit_schedule(queue, name, action), queue):
        raise _unknown(queue, name)
