"""An operation on many jobs from a command: asked about, begun, carried, and told of."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable
from typing import TYPE_CHECKING

import typer

from asyncmqd.cli.errors import FAILED, CommandError
from asyncmqd.cli.output import complain, confirm, progress
from asyncmqd.cli.store_choice import with_store
from asyncmqd.client.acting_user import system_user
from asyncmqd.domain.safe_text import counted

if TYPE_CHECKING:
    from asyncmqd.admin.operations import OperationView
    from asyncmqd.admin.queues import Names
    from asyncmqd.backends.base import BaseBackend, OperationRecord
    from asyncmqd.domain.operation import Order

PAST = {
    "retry": "retried",
    "cancel": "cancelled",
    "remove": "removed",
    "run_now": "brought forward",
}
_DOING = {
    "retry": "retrying",
    "cancel": "cancelling",
    "remove": "removing",
    "run_now": "bringing forward",
}
_LOOK = 0.2  # seconds between looks at an operation that another carries


def operate(
    context: typer.Context,
    queue: str,
    order: Callable[[str], Order],
    *,
    yes: bool,
    detach: bool = False,
    elsewhere: Names | None = None,
) -> None:
    """Do to the jobs of a queue what `order` says, given who does it.

    This process carries the operation; if it is killed, a daemon goes on. With `detach`, a daemon
    begins, at its next heartbeat. Exit 1 if no job could be moved, though some were meant.
    """
    by = system_user()  # before root becomes the owner of the store
    made = order(by)

    async def work(store: BaseBackend) -> OperationView | None:
        from asyncmqd.admin import operations, queues

        if elsewhere is not None:
            await queues.check_known(store, queue, elsewhere)
        counts = (await store.counts([queue]))[queue]
        total = sum(getattr(counts, state) for state in made.states)
        _confirm(queue, made, total, yes=yes)
        carrier = "" if detach else f"asyncmq of {by}, process {os.getpid()}".replace("/", "|")
        record = await operations.begin(store, queue, made, carrier)
        if detach:
            complain(f"operation {record.id}: a daemon does it")
            return None
        return await _carried(store, record, by, total)

    ended = with_store(context, work, queue)
    if ended is not None:
        _tell(ended)


def _confirm(queue: str, order: Order, total: int, *, yes: bool) -> None:
    what = f"{counted(total, f'{order.states[0]} job')} of queue {queue}"
    if words := order.selection.words:
        what = f"those of {what} that have {words}"
    verb = order.verb.replace("_", " ")
    confirm(f"{verb} {what}?", yes=yes or not total)


async def _carried(
    store: BaseBackend, record: OperationRecord, by: str, total: int
) -> OperationView:
    from asyncmqd.admin import operations
    from asyncmqd.client.operations import carry_on
    from asyncmqd.domain.operation import order_of

    order = order_of(record.order)
    assert order is not None
    try:
        with progress(_DOING[order.verb], total) as advance:
            await carry_on(store, record, tell=lambda looked, _: advance(looked))
            seen = await operations.show(store, record.id)
        while seen.ended is None:  # another carries it by now, for this process was stopped
            await asyncio.sleep(_LOOK)
            seen = await operations.show(store, record.id)
    except asyncio.CancelledError:  # Ctrl-C
        await store.cancel_operation(record.queue, record.id, by)
        raise
    return seen


def _tell(ended: OperationView) -> None:
    past = PAST[ended.verb or ""]
    print(f"{counted(ended.moved, 'job')} {past}")
    for reason in ended.reasons:
        complain(reason)
    if more := ended.left - len(ended.reasons):
        complain(f"{counted(more, 'job')} more could not be {past}")
    if ended.state == "cancelled":
        raise CommandError(f"operation {ended.id} was cancelled by {ended.ended_by}")
    if ended.left and not ended.moved:
        raise typer.Exit(FAILED)
