"""`asyncmq job retry|cancel|remove|run-now`: jobs by their ids, and all that are like this."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, NamedTuple

import typer

from asyncmqd.cli.errors import FAILED, Misuse
from asyncmqd.cli.job_options import (
    Detach,
    ErrorOption,
    Everything,
    Filters,
    Ids,
    KeyOption,
    OlderThan,
    Reason,
    TaskOption,
)
from asyncmqd.cli.options import QueueOption, StateOption, Yes
from asyncmqd.cli.output import complain
from asyncmqd.cli.store_choice import with_store
from asyncmqd.domain.states import State

if TYPE_CHECKING:
    from asyncmqd.admin import job_actions
    from asyncmqd.backends.base import BaseBackend
    from asyncmqd.domain.operation import Order, Verb


def retry(
    context: typer.Context,
    ids: Ids = None,
    queue: QueueOption = None,
    state: StateOption = None,
    task: TaskOption = None,
    key: KeyOption = None,
    error: ErrorOption = None,
    older_than: OlderThan = None,
    everything: Everything = False,
    detach: Detach = False,
    reason: Reason = None,
) -> None:
    """Run ended jobs again, and delayed jobs now.

    Ended jobs get fresh attempts.
    """
    filters = Filters(task, key, error, older_than)
    meant = _Meant("retry", ids, queue, state, filters, reason or "")
    _command(context, meant, everything=everything, yes=True, detach=detach)


def cancel(
    context: typer.Context,
    ids: Ids = None,
    queue: QueueOption = None,
    state: StateOption = None,
    task: TaskOption = None,
    key: KeyOption = None,
    error: ErrorOption = None,
    older_than: OlderThan = None,
    everything: Everything = False,
    yes: Yes = False,
    detach: Detach = False,
    reason: Reason = None,
) -> None:
    """Cancel jobs, running or not."""
    filters = Filters(task, key, error, older_than)
    meant = _Meant("cancel", ids, queue, state, filters, reason or "")
    _command(context, meant, everything=everything, yes=yes, detach=detach)


def remove(
    context: typer.Context,
    ids: Ids = None,
    queue: QueueOption = None,
    state: StateOption = None,
    task: TaskOption = None,
    key: KeyOption = None,
    error: ErrorOption = None,
    older_than: OlderThan = None,
    everything: Everything = False,
    yes: Yes = False,
    detach: Detach = False,
    reason: Reason = None,
) -> None:
    """Delete jobs, whatever their state.

    A run of one is cancelled.
    """
    filters = Filters(task, key, error, older_than)
    meant = _Meant("remove", ids, queue, state, filters, reason or "")
    _command(context, meant, everything=everything, yes=yes, detach=detach)


def run_now(
    context: typer.Context,
    ids: Ids = None,
    queue: QueueOption = None,
    task: TaskOption = None,
    key: KeyOption = None,
    error: ErrorOption = None,
    older_than: OlderThan = None,
    everything: Annotated[
        bool, typer.Option("--all", help="All delayed jobs of --queue that the options name.")
    ] = False,
    detach: Detach = False,
    reason: Reason = None,
) -> None:
    """Run delayed jobs now.

    Their attempts stay as they are.
    """
    state = State.DELAYED if everything else None
    filters = Filters(task, key, error, older_than)
    meant = _Meant("run_now", ids, queue, state, filters, reason or "")
    _command(context, meant, everything=everything, yes=True, detach=detach)


class _Meant(NamedTuple):
    """What a command is to do to which jobs."""

    verb: Verb
    ids: list[str] | None
    queue: str | None
    state: State | None
    filters: Filters
    reason: str

    @property
    def is_narrowed(self) -> bool:
        """Whether something but ids says which jobs are meant."""
        return any(each is not None for each in (self.state, *self.filters))


def _command(
    context: typer.Context, meant: _Meant, *, everything: bool, yes: bool, detach: bool
) -> None:
    if everything:
        if meant.ids or meant.queue is None or meant.state is None:
            raise Misuse("--all: expected --queue and --state, and no ids, beside it")
        _operate(context, meant, meant.queue, meant.state, yes=yes, detach=detach)
    elif not meant.ids or meant.is_narrowed or detach:
        raise Misuse("expected ids, or --all with --queue and --state")
    else:
        _move_some(context, meant, list(dict.fromkeys(meant.ids)))


def _operate(
    context: typer.Context, meant: _Meant, queue: str, state: State, *, yes: bool, detach: bool
) -> None:
    from asyncmqd.cli.bulk_operation import operate
    from asyncmqd.domain.operation import Order

    def order(by: str) -> Order:
        return Order(
            verb=meant.verb,
            states=(state,),
            selection=meant.filters.selection,
            by=by,
            reason=meant.reason,
        )

    operate(context, queue, order, yes=yes, detach=detach)


def _move_some(context: typer.Context, meant: _Meant, ids: list[str]) -> None:
    """Move each job that can be; exit 1 if one could not."""
    from asyncmqd.admin import job_actions
    from asyncmqd.cli.bulk_operation import PAST
    from asyncmqd.client.acting_user import system_user

    by = system_user()  # before root becomes the owner of the store

    async def work(store: BaseBackend) -> job_actions.Outcomes:
        return await job_actions.move(store, meant.verb, ids, meant.queue, by, meant.reason)

    outcomes = with_store(context, work, meant.queue)
    for id in ids:
        problem = outcomes[id]
        if problem is None:
            print(f"{id} {PAST[meant.verb]}")
        else:
            complain(problem)
    if any(outcomes.values()):
        raise typer.Exit(FAILED)
