"""Operations: what operators did and do to jobs, seen, begun and cancelled."""

from __future__ import annotations

import msgspec

from asyncmqd.admin.errors import AdminError, NotFound
from asyncmqd.admin.time_format import rfc3339
from asyncmqd.backends.base import BaseBackend, OperationRecord
from asyncmqd.client import operations
from asyncmqd.domain.operation import Order, order_of, progress_of
from asyncmqd.domain.selection import Selection

RUNNING = "running"


class OperationView(msgspec.Struct, frozen=True, kw_only=True):
    """An operation as operators see it."""

    id: str
    queue: str
    verb: str | None  # None: of a later release, or spoilt
    jobs: str | None  # which ones, in words
    schedule: str | None  # that it is about, and no jobs
    states: list[str]
    selection: Selection
    by: str | None
    reason: str | None
    state: str  # running, done or cancelled
    begun: str | None
    ended: str | None
    ended_by: str | None  # who cancelled it
    of: int  # jobs that were in these states when it began, or were named
    searched: int
    moved: int
    left: int  # jobs that could not be moved
    reasons: list[str]  # why, of the first of them
    carrier: str | None  # who carries it, or did so last


async def list_operations(store: BaseBackend, queue: str | None = None) -> list[OperationView]:
    """The operations of a queue, or of all queues, the newest first."""
    found = await store.operations(None if queue is None else [queue])
    return [view(record) for record in sorted(found, key=lambda each: -each.begun)]


async def show(store: BaseBackend, id: str) -> OperationView:
    """One operation. Raises NotFound."""
    return view(await _find(store, id))


async def cancel(store: BaseBackend, id: str, by: str) -> OperationView:
    """Have nobody go on with it; what it has done stays. Raises NotFound and AdminError."""
    record = await _find(store, id)
    if not await store.cancel_operation(record.queue, id, by):
        raise AdminError(f"operation {id}: expected one that runs, this one has ended")
    return await show(store, id)


async def begin(store: BaseBackend, queue: str, order: Order, carrier: str = "") -> OperationRecord:
    """Begin one; see `client.operations.begin`."""
    return await operations.begin(store, queue, order, carrier)


async def _find(store: BaseBackend, id: str) -> OperationRecord:
    for record in await store.operations(None):
        if record.id == id:
            return record
    raise NotFound(f"operation {id}: there is none of this id")


def view(record: OperationRecord) -> OperationView:
    """What the store knows of an operation."""
    order, progress = order_of(record.order), progress_of(record.progress)
    known = order or Order(verb="retry")
    return OperationView(
        id=record.id,
        queue=record.queue,
        verb=None if order is None else order.verb,
        jobs=None if order is None else order.words,
        schedule=known.schedule or None,
        states=[*map(str, known.states)],
        selection=known.selection,
        by=known.by or None,
        reason=known.reason or None,
        state=record.outcome or RUNNING,
        begun=rfc3339(record.begun),
        ended=rfc3339(record.ended),
        ended_by=record.ended_by or None,
        of=known.total or known.ids,
        # A carrier that died in the middle of a page has counted only what it moved.
        searched=max(progress.searched, record.moved + progress.left),
        moved=record.moved,
        left=progress.left,
        reasons=[*progress.reasons],
        carrier=record.carrier or None,
    )
