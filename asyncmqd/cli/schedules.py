"""`asyncmq schedule`: look at schedules and what is to come, change them, run one now."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated

import msgspec
import typer

from asyncmqd.cli.errors import Misuse
from asyncmqd.cli.options import AsJson, QueueArgument, StoredQueue, Yes, group, kind_option
from asyncmqd.cli.output import complain, confirm, say, show_json, show_table
from asyncmqd.cli.store_choice import with_store
from asyncmqd.domain.did_you_mean import did_you_mean
from asyncmqd.domain.options import moment, whole
from asyncmqd.domain.safe_text import counted

if TYPE_CHECKING:
    from asyncmqd.admin.backfill import Backfill
    from asyncmqd.admin.schedules import Action, ScheduleView
    from asyncmqd.backends.base import BaseBackend

app = group("Look at schedules, and run, pause, resume or remove them.")

Name = Annotated[str, typer.Argument(metavar="NAME", help="The name that `schedule list` shows.")]
Named = Annotated[
    list[str],
    typer.Argument(metavar="[QUEUE] NAME", help="The schedule; its queue if several have one."),
]
Count = Annotated[
    int, kind_option(whole(1, 1_000), "How many instants, from 1 to 1000; usually 10.", "N")
]
OneQueue = Annotated[
    str | None, typer.Argument(metavar="QUEUE", help="Only schedules of this queue.")
]


@app.command("list")
def list_schedules(context: typer.Context, queue: OneQueue = None, as_json: AsJson = False) -> None:
    """List schedules with their last and next instant.

    And with what became of the last job, and why the last instant did not fire.
    """
    from asyncmqd.admin import schedules

    async def work(store: BaseBackend) -> list[ScheduleView]:
        found = await schedules.list_schedules(store, queue)
        if queue is not None and not found:
            others = [each for each in await store.queues() if each != queue]
            complain(f"queue {queue}: it has no schedules{did_you_mean(queue, others)}")
        return found

    found = with_store(context, work, queue)
    if as_json:
        show_json(found)
    else:
        show_schedules(found)


def show_schedules(schedules: Sequence[ScheduleView]) -> None:
    """Print a table of schedules."""
    keys = ("queue", "name", "task", "next", "last", "paused", "outcome")
    show_table(
        (*(key.upper() for key in keys), "WHEN"),
        [(*(getattr(each, key) for key in keys), _when(each)) for each in schedules],
    )


def _when(schedule: ScheduleView) -> str:
    why = schedule.why and f"last skipped, {schedule.why}"
    held = schedule.waits_for and f"waits for the end of {schedule.waits_for}"
    return ": ".join(filter(None, (_instants(schedule), schedule.problem or held or why)))


def _instants(schedule: ScheduleView) -> str:
    if schedule.every is not None:
        return f"every {schedule.every:g} s"
    return f"{schedule.cron} ({schedule.timezone})" if schedule.cron else ""


@app.command()
def preview(
    context: typer.Context, named: Named, count: Count = 10, as_json: AsJson = False
) -> None:
    """Show the next instants of a schedule.

    In the time zone of the schedule and in UTC; DUE is when the job may run, later by the jitter.
    """
    from asyncmqd.admin import schedules

    queue, name = _queue_and_name(named)
    found = with_store(context, lambda store: schedules.preview(store, name, queue, count), queue)
    if as_json:
        show_json(found)
        return
    keys = ("local", "utc", "due")
    show_table(
        (found.timezone, "UTC", "DUE"),
        [tuple(getattr(each, key) for key in keys) for each in found.instants],
    )
    if found.problem is not None:
        say(f"{name}: {found.problem}")


From = Annotated[
    str, kind_option(moment(), "The first moment of the range, with its offset.", "TIME", "--from")
]
To = Annotated[
    str, kind_option(moment(), "The last moment of the range, with its offset.", "TIME", "--to")
]
DryRun = Annotated[bool, typer.Option("--dry-run", help="Only show what would be enqueued.")]


@app.command()
def backfill(
    context: typer.Context,
    named: Named,
    start: From,
    end: To,
    dry_run: DryRun = False,
    yes: Yes = False,
    as_json: AsJson = False,
) -> None:
    """Enqueue the jobs of instants of the past.

    Shows them first, and asks. A job that the store has already is not enqueued again.
    """
    from asyncmqd.admin import backfill as filling

    queue, name = _queue_and_name(named)

    async def work(store: BaseBackend) -> tuple[Backfill, int]:
        planned = await filling.plan(store, name, start, end, queue)
        if not as_json:
            show_backfill(planned)
        if dry_run or not planned.jobs:
            return planned, 0
        confirm(f"enqueue {counted(planned.jobs, 'job')} of schedule {name}?", yes=yes)
        return planned, await filling.run(store, planned)

    planned, enqueued = with_store(context, work, queue)
    if as_json:
        show_json({**msgspec.to_builtins(planned), "enqueued": enqueued})
    else:
        print(
            f"{counted(planned.jobs, 'job')} to enqueue"
            if dry_run
            else f"{counted(enqueued, 'job')} enqueued"
        )


def show_backfill(planned: Backfill) -> None:
    """Print what a backfill would enqueue."""
    rows = [(each.utc, each.local, each.job, each.state or "new") for each in planned.instants]
    show_table(("UTC", "LOCAL", "JOB", "STATE"), rows)
    if planned.own:
        say(f"{planned.own} later instants are left to the schedule, which has not come to them")


def _queue_and_name(words: list[str]) -> tuple[str | None, str]:
    if len(words) > 2:
        raise Misuse(f"expected [QUEUE] NAME, got {len(words)} words")
    return (words[0] if len(words) == 2 else None), words[-1]


@app.command()
def run(context: typer.Context, queue: QueueArgument, name: Name) -> None:
    """Enqueue a schedule's job now.

    The instants stay as they are. Prints the job's id.
    """
    from asyncmqd.admin import schedules
    from asyncmqd.client.acting_user import system_user

    by = system_user()
    print(with_store(context, lambda store: schedules.run(store, queue, name, by)))


@app.command()
def pause(context: typer.Context, queue: StoredQueue, name: Name) -> None:
    """Stop a schedule until it is resumed."""
    _edit(context, queue, name, "pause")
    say(f"{name} paused")


@app.command()
def resume(context: typer.Context, queue: StoredQueue, name: Name) -> None:
    """Let a paused schedule fire again."""
    _edit(context, queue, name, "resume")
    say(f"{name} resumed")


@app.command()
def remove(context: typer.Context, queue: StoredQueue, name: Name) -> None:
    """Delete a schedule.

    A daemon that still declares it brings it back.
    """
    _edit(context, queue, name, "remove")
    say(f"{name} removed")


def _edit(context: typer.Context, queue: str, name: str, action: Action) -> None:
    from asyncmqd.admin import schedules
    from asyncmqd.client.acting_user import system_user

    by = system_user()
    with_store(context, lambda store: schedules.edit(store, queue, name, action, by), queue)
