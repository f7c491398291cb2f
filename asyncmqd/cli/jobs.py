"""`asyncmq job`: look at jobs and move them."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from typing import Annotated, Any

import typer

from asyncmqd.backends.base import BaseBackend
from asyncmqd.cli import moving
from asyncmqd.cli.errors import CommandError, Misuse
from asyncmqd.cli.moving import DONE, Verb
from asyncmqd.cli.options import AsJson, QueueOption, StateOption, Yes, group
from asyncmqd.cli.output import (
    complain,
    confirm,
    progress,
    show_fields,
    show_json,
    show_table,
)
from asyncmqd.cli.target import with_store
from asyncmqd.cli.views import job_view
from asyncmqd.client.waits import serving
from asyncmqd.domain.job import Record
from asyncmqd.domain.options import ID
from asyncmqd.domain.serving import NOBODY_KNOWS, unknown
from asyncmqd.domain.states import State
from asyncmqd.domain.text import clean

_PAST = {"retry": "retried", "cancel": "cancelled", "remove": "removed"}
_DOING = {"retry": "retrying", "cancel": "cancelling", "remove": "removing"}
_ERROR_WIDTH = 200  # characters of an error in a list; `job show` has all of it

app = group("Look at jobs, and retry, cancel or remove them.")


def _job_id(text: str) -> str:
    try:
        return str(ID.kind.check(text))
    except ValueError as error:
        raise typer.BadParameter(str(error)) from None


Ids = Annotated[
    list[str] | None, typer.Argument(parser=_job_id, metavar="ID", help="The ids of the jobs.")
]
Everything = Annotated[
    bool, typer.Option("--all", help="All jobs of --queue that are in --state now.")
]


# ---------------------------------------------------------------------- looking


@app.command("list")
def list_jobs(
    context: typer.Context,
    queue: QueueOption = None,
    state: StateOption = None,
    limit: Annotated[int, typer.Option(metavar="N", min=1, max=10_000, help="Jobs at most.")] = 50,
    offset: Annotated[int, typer.Option(metavar="N", min=0, help="Jobs to leave out before.")] = 0,
    as_json: AsJson = False,
) -> None:
    """List jobs by queue and state.

    Those that run next come first, and of those that ended the newest.
    """

    async def page(store: BaseBackend) -> list[Record]:
        queues = await store.queues() if queue is None else [queue]
        return await _page(store, queues, list(State) if state is None else [state], offset, limit)

    jobs = [job_view(record) for record in with_store(context, page, queue)]
    if as_json:
        show_json(jobs)
    else:
        headings = ("ID", "QUEUE", "TASK", "STATE", "ATTEMPT", "CREATED", "ERROR")
        show_table(headings, [_row(job) for job in jobs])


async def _page(
    store: BaseBackend, queues: Sequence[str], states: Sequence[State], offset: int, limit: int
) -> list[Record]:
    """A page of the lines of all these queues and states, one after the other."""
    found: list[Record] = []
    counts = await store.counts(queues)
    for queue in queues:
        for state in states:
            size = getattr(counts[queue], state)
            if offset < size and len(found) < limit:
                found += await store.list(queue, state, offset, limit - len(found))
            offset = max(0, offset - size)
    return found


def _row(job: dict[str, Any]) -> tuple[object, ...]:
    error = _reason(job)
    keys = ("id", "queue", "task", "state", "attempt", "created")
    return (*(job[key] for key in keys), error and error[:_ERROR_WIDTH])


def _reason(job: dict[str, Any]) -> str | None:
    return job["error"] and f"{job['error']['type']}: {job['error']['message']}"


@app.command()
def show(
    context: typer.Context,
    id: Annotated[str, typer.Argument(parser=_job_id, metavar="ID", help="The job's id.")],
    queue: QueueOption = None,
    as_json: AsJson = False,
) -> None:
    """Show all that is known of one job."""
    job = with_store(context, lambda store: _one_job(store, id, queue), queue)
    if as_json:
        show_json(job)
        return
    traceback = job["error"] and job["error"]["traceback"]
    show_fields(
        [
            (key, _reason(job) if key == "error" else value)
            for key, value in job.items()
            if value is not None
        ]
    )
    for line in (traceback or "").splitlines():
        print(f"    {clean(line)}")


async def _one_job(store: BaseBackend, id: str, queue: str | None) -> dict[str, Any]:
    located, problems = await moving.locate(store, [id], queue)
    if problems:
        raise CommandError(f"job {id}: {problems[id]}")
    job = job_view(located[id])
    problem = None
    if job["parked"]:
        problem = unknown(job["task"], job["queue"], await serving(store)) or NOBODY_KNOWS
    return {**job, "problem": problem}


# ---------------------------------------------------------------------- moving


@app.command()
def retry(
    context: typer.Context,
    ids: Ids = None,
    queue: QueueOption = None,
    state: StateOption = None,
    everything: Everything = False,
) -> None:
    """Run ended jobs again, delayed ones now.

    Ended jobs get fresh attempts.
    """
    _command(context, "retry", ids, queue, state, everything=everything, yes=True)


@app.command()
def cancel(
    context: typer.Context,
    ids: Ids = None,
    queue: QueueOption = None,
    state: StateOption = None,
    everything: Everything = False,
    yes: Yes = False,
) -> None:
    """Cancel jobs, running or not."""
    _command(context, "cancel", ids, queue, state, everything=everything, yes=yes)


@app.command()
def remove(
    context: typer.Context,
    ids: Ids = None,
    queue: QueueOption = None,
    state: StateOption = None,
    everything: Everything = False,
    yes: Yes = False,
) -> None:
    """Delete jobs, whatever their state.

    A run of one is cancelled.
    """
    _command(context, "remove", ids, queue, state, everything=everything, yes=yes)


def _command(
    context: typer.Context,
    verb: Verb,
    ids: list[str] | None,
    queue: str | None,
    state: State | None,
    *,
    everything: bool,
    yes: bool,
) -> None:
    if everything:
        if ids or queue is None or state is None:
            raise Misuse("--all: expected --queue and --state, and no ids, beside it")
        _move_all(context, verb, queue, state, yes=yes)
    elif not ids or state is not None:
        raise Misuse("expected ids, or --all with --queue and --state")
    else:
        _move_some(context, verb, list(dict.fromkeys(ids)), queue)


def _move_some(context: typer.Context, verb: Verb, ids: list[str], queue: str | None) -> None:
    """Move each job that can be; exit 1 if one could not."""

    async def work(store: BaseBackend) -> dict[str, str]:
        located, outcomes = await moving.locate(store, ids, queue)
        by_queue: defaultdict[str, list[str]] = defaultdict(list)
        for record in located.values():
            by_queue[record.queue].append(record.id)
        for name, members in by_queue.items():
            outcomes |= await moving.move(store, name, members, verb)
        return outcomes

    outcomes = with_store(context, work, queue)
    for id in ids:
        if outcomes[id] == DONE:
            print(f"{id} {_PAST[verb]}")
        else:
            complain(f"job {id}: {outcomes[id]}")
    if any(outcomes.values()):
        raise typer.Exit(CommandError.code)


def _move_all(context: typer.Context, verb: Verb, queue: str, state: State, *, yes: bool) -> None:
    async def work(store: BaseBackend) -> tuple[int, int]:
        ids = await moving.ids_in(store, queue, state)
        confirm(f"{verb} {len(ids)} {state} jobs of queue {queue}?", yes=yes or not ids)
        moved = 0
        with progress(_DOING[verb], len(ids)) as advance:
            for page in moving.pages(ids):
                outcomes = await moving.move(store, queue, page, verb)
                moved += list(outcomes.values()).count(DONE)
                advance(len(page))
        return moved, len(ids) - moved

    moved, left = with_store(context, work, queue)
    print(f"{moved} jobs {_PAST[verb]}")
    if left:
        complain(f"{left} jobs had moved on, or their state does not allow it")
    if left and not moved:
        raise typer.Exit(CommandError.code)
