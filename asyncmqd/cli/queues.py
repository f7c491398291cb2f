"""`asyncmq queue`: look at queues, pause, resume and purge them."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Annotated, Any

import typer

from asyncmqd.backends.base import PAGE, BaseBackend
from asyncmqd.cli.errors import CommandError
from asyncmqd.cli.options import AsJson, QueueArgument, StoredQueue, Yes, group
from asyncmqd.cli.output import (
    confirm,
    progress,
    rfc3339,
    say,
    show_fields,
    show_json,
    show_table,
)
from asyncmqd.cli.schedules import show_schedules
from asyncmqd.cli.target import Result, target_of, with_store
from asyncmqd.cli.views import counts_view, job_view, schedule_view, worker_view
from asyncmqd.client.waits import served_queues
from asyncmqd.domain.names import did_you_mean
from asyncmqd.domain.states import State

NOBODY = "nobody serves it"

app = group("Look at queues, and pause, resume or purge them.")


@app.command("list")
def list_queues(context: typer.Context, as_json: AsJson = False) -> None:
    """List queues with the jobs in each state.

    These are the queues that have jobs, schedules or workers.
    """
    queues = with_store(context, _all_queues)
    if as_json:
        show_json(queues)
        return
    states = [str(state) for state in State]
    show_table(
        ("QUEUE", *(state.upper() for state in states), "WORKERS", "CLAIMING"),
        [
            (
                queue["name"],
                *(queue[state] for state in states),
                queue["workers"],
                _claiming(queue),
            )
            for queue in queues
        ],
    )


def _claiming(queue: dict[str, Any]) -> str:
    """Whether jobs are claimed from it."""
    if queue["paused"]:
        return "PAUSED"
    return "yes" if queue["workers"] else NOBODY


async def _all_queues(store: BaseBackend) -> list[dict[str, Any]]:
    workers = [worker_view(record) for record in await store.workers()]
    served = [name for worker in workers for name in worker["queues"]]
    # A queue that is served but empty is one to see, too.
    names = sorted({*await store.queues(), *served})
    counts = await store.counts(names)
    return [{**counts_view(name, counts[name]), "workers": served.count(name)} for name in names]


@app.command()
def show(context: typer.Context, queue: StoredQueue, as_json: AsJson = False) -> None:
    """Show one queue.

    Its jobs by state, what runs next, its workers and schedules.
    """
    view = _with_known(context, queue, lambda store: _one_queue(store, queue))
    if as_json:
        show_json(view)
        return
    head = view["head"]
    show_fields(
        [
            ("name", queue),
            *((str(state), view[state]) for state in State),
            ("parked", view["parked"]),
            ("paused", view["paused"]),
            ("next to run", head and f"{head['id']} {head['task']}, {head['age']} s old"),
            ("next due", view["next_due"]),
            ("next lease end", view["next_lease_end"]),
            ("workers", len(view["workers"]) or NOBODY),
            ("running", f"{view['running']} of {view['concurrency']}"),
        ]
    )
    if view["schedules"]:
        print()
        show_schedules(view["schedules"])


async def _one_queue(store: BaseBackend, queue: str) -> dict[str, Any]:
    counts = (await store.counts([queue]))[queue]
    outlook = (await store.outlook([queue]))[queue]
    workers = [worker_view(record) for record in await store.workers()]
    serving = [worker for worker in workers if queue in worker["queues"]]
    records = await store.list(queue, State.WAITING, 0, 1)
    head = job_view(records[0]) if records else None
    return {
        **counts_view(queue, counts),
        "head": head
        and {
            **{key: head[key] for key in ("id", "task", "priority", "created")},
            "age": round(outlook.now - records[0].created, 3),
        },
        "next_due": rfc3339(outlook.next_due),
        "next_lease_end": rfc3339(outlook.next_lapse),
        "parked_tasks": list(outlook.parked_tasks),
        "concurrency": sum(worker["queues"][queue]["concurrency"] for worker in serving),
        "running": sum(worker["queues"][queue]["running"] for worker in serving),
        "workers": [worker["id"] for worker in serving],
        "schedules": [
            schedule_view(record, outlook.now) for record in await store.schedules(queue)
        ],
    }


@app.command()
def pause(
    context: typer.Context,
    queue: QueueArgument,
    new: Annotated[bool, typer.Option("--new", help="Also a queue that nobody knows yet.")] = False,
) -> None:
    """Have no worker claim jobs of a queue.

    Running jobs go on, and enqueueing does.
    """
    _set_paused(context, queue, paused=True, new=new)
    say(f"{queue} paused")


@app.command()
def resume(context: typer.Context, queue: StoredQueue) -> None:
    """Let workers claim again."""
    _set_paused(context, queue, paused=False)
    say(f"{queue} resumed")


def _set_paused(context: typer.Context, queue: str, *, paused: bool, new: bool = False) -> None:
    def work(store: BaseBackend) -> Awaitable[None]:
        return store.pause(queue, paused=paused)

    if new:
        with_store(context, work, queue)
    else:
        _with_known(context, queue, work)


def _with_known(
    context: typer.Context, queue: str, work: Callable[[BaseBackend], Awaitable[Result]]
) -> Result:
    """`with_store` for a queue that somebody knows: else raises CommandError."""
    config = target_of(context).config_file

    async def checked(store: BaseBackend) -> Result:
        await _check_known(store, queue, config)
        return await work(store)

    return with_store(context, checked, queue)


async def _check_known(store: BaseBackend, queue: str, config: Path) -> None:
    """Raise CommandError for a queue that neither store, nor worker, nor configuration knows."""
    if (await store.counts([queue]))[queue].paused:
        return
    known = {*await store.queues(), *await served_queues(store)}
    if queue in known:
        return
    from asyncmqd.config.backend import queues_in  # only now, for it brings the models along

    known.update(queues_in(config))
    if queue not in known:
        near = did_you_mean(queue, known)
        raise CommandError(
            "queue: expected one that has jobs, schedules or workers, or that the configuration"
            f" names, got {queue!r}{near}"
        )


@app.command()
def purge(
    context: typer.Context,
    queue: StoredQueue,
    state: Annotated[State, typer.Option("--state", "-s", help="Which jobs to delete.")],
    yes: Yes = False,
) -> None:
    """Delete all jobs in one state."""
    deleted = _with_known(context, queue, lambda store: _purge(store, queue, state, yes=yes))
    print(f"{deleted} jobs removed")


async def _purge(store: BaseBackend, queue: str, state: State, *, yes: bool) -> int:
    # Not more than there are now: a producer that keeps adding would keep us here for ever.
    total: int = getattr((await store.counts([queue]))[queue], state)
    confirm(f"remove {total} {state} jobs of queue {queue}?", yes=yes or not total)
    deleted = 0
    with progress("removing", total) as advance:
        while count := await store.purge(queue, state, min(PAGE, total - deleted)):
            deleted += count
            advance(count)
            if deleted >= total:
                break
    return deleted
