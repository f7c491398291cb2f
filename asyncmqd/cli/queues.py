"""`asyncmq queue`: look at queues, pause, resume and purge them."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Annotated

import msgspec
import typer

from asyncmqd.cli.limits import limits_fields
from asyncmqd.cli.options import AsJson, QueueArgument, StoredQueue, Yes, group, kind_option
from asyncmqd.cli.output import say, show_fields, show_json, show_table
from asyncmqd.cli.schedules import show_schedules
from asyncmqd.cli.store_choice import target_of, with_store
from asyncmqd.cli.why import show_reason
from asyncmqd.domain.pause import REASON
from asyncmqd.domain.states import State

if TYPE_CHECKING:
    from asyncmqd.admin.queues import DaemonSlotsView, ListedQueue, Names, PauseView

NOBODY = "nobody serves it"
Reason = Annotated[str | None, kind_option(REASON, "Why, for whoever looks at the queue.", "TEXT")]

app = group("Look at queues, and pause, resume or purge them.")


@app.command("list")
def list_queues(context: typer.Context, as_json: AsJson = False) -> None:
    """List queues with the jobs in each state.

    These are the queues that have jobs, schedules or workers.
    """
    from asyncmqd.admin import queues

    found = with_store(context, queues.list_queues)
    if as_json:
        show_json(found)
        return
    states = [str(state) for state in State]
    show_table(
        ("QUEUE", *(state.upper() for state in states), "WORKERS", "CLAIMING"),
        [
            (
                queue.name,
                *(getattr(queue, state) for state in states),
                queue.workers,
                _claiming(queue),
            )
            for queue in found
        ],
    )


def _claiming(queue: ListedQueue) -> str:
    """Whether jobs are claimed from it."""
    if queue.pause:
        return f"PAUSED {told(queue.pause)}".strip()
    return "yes" if queue.workers else NOBODY


def told(pause: PauseView) -> str:
    """A pause in words: since when, by whom, and why, as far as it is known."""
    named = (("since", pause.since), ("by", pause.by))
    said = " ".join(f"{word} {value}" for word, value in named if value)
    return ": ".join(filter(None, (said, pause.reason)))


@app.command()
def show(context: typer.Context, queue: StoredQueue, as_json: AsJson = False) -> None:
    """Show one queue.

    Its jobs by state, what runs next, its workers and schedules.
    """
    from asyncmqd.admin import queues

    named = configured(context)
    view = with_store(context, lambda store: queues.show(store, queue, named), queue)
    if as_json:
        show_json(view)
        return
    head = view.head
    show_fields(
        [
            ("name", queue),
            *((str(state), getattr(view, state)) for state in State),
            ("parked", view.parked),
            ("paused", f"yes {told(view.pause)}".strip() if view.pause else False),
            *([("resumed", told(view.resumed))] if view.resumed else []),
            ("next to run", head and f"{head.id} {head.task}, {head.age} s old"),
            ("next due", view.next_due),
            ("next lease end", view.next_lease_end),
            ("workers", len(view.workers) or NOBODY),
            ("running", f"{view.running} of {view.concurrency}"),
            *(("slots of daemon", daemon_slots_told(each)) for each in view.daemon_slots),
            *limits_fields(None if view.limits is None else msgspec.to_builtins(view.limits)),
        ]
    )
    if view.schedules:
        print()
        show_schedules(view.schedules)


def daemon_slots_told(slots: DaemonSlotsView) -> str:
    """The slots that all queues of a process share, in words."""
    used = f"{slots.running} of {slots.max_concurrency} used by all queues"
    return f"{used}, weight {slots.weight} of {slots.weights} ({slots.worker})"


@app.command()
def why(context: typer.Context, queue: StoredQueue, as_json: AsJson = False) -> None:
    """Say what is wrong with a queue, the worst first.

    With what changes it, and the command that mends it.
    """
    from asyncmqd.admin import why

    names = configured(context)
    reason = with_store(context, lambda store: why.queue(store, queue, names), queue)
    show_reason(reason, as_json=as_json)


@app.command()
def pause(
    context: typer.Context,
    queue: QueueArgument,
    reason: Reason = None,
    new: Annotated[bool, typer.Option("--new", help="Also a queue that nobody knows yet.")] = False,
) -> None:
    """Stop all workers from claiming jobs of a queue.

    Running jobs go on, and enqueueing does. The store keeps who did this, when and why.
    """
    from asyncmqd.admin import queues
    from asyncmqd.client.acting_user import system_user

    names = (lambda: [queue]) if new else configured(context)
    by = system_user()  # before root becomes the owner of the store
    with_store(context, lambda store: queues.pause(store, queue, names, by, reason or ""), queue)
    say(f"{queue} paused")


@app.command()
def resume(context: typer.Context, queue: StoredQueue, reason: Reason = None) -> None:
    """Let workers claim jobs of a queue again.

    The store keeps who did this, when and why.
    """
    from asyncmqd.admin import queues
    from asyncmqd.client.acting_user import system_user

    names = configured(context)
    by = system_user()  # before root becomes the owner of the store
    with_store(context, lambda store: queues.resume(store, queue, names, by, reason or ""), queue)
    say(f"{queue} resumed")


@app.command()
def purge(
    context: typer.Context,
    queue: StoredQueue,
    state: Annotated[State, typer.Option("--state", "-s", help="Which jobs to delete.")],
    yes: Yes = False,
    reason: Reason = None,
) -> None:
    """Delete all jobs in one state."""
    from asyncmqd.cli.bulk_operation import operate
    from asyncmqd.domain.operation import Order

    def order(by: str) -> Order:
        return Order(verb="remove", states=(state,), by=by, reason=reason or "")

    operate(context, queue, order, yes=yes, elsewhere=configured(context))


def configured(context: typer.Context) -> Names:
    """What reads the names of the queues that the configuration has."""
    config = target_of(context).config_file

    def names() -> Iterable[str]:
        from asyncmqd.config.backend import queues_in  # for completions and new names only

        return queues_in(config)

    return names
