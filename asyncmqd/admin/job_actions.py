"""Jobs that an operator names: each is moved, or it is told why not. The store notes who did it."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from functools import partial

from asyncmqd.admin.errors import AdminError
from asyncmqd.admin.jobs import find, only
from asyncmqd.backends.base import PAGE, BaseBackend, OperationRecord
from asyncmqd.client.operations import LEASE, begin
from asyncmqd.domain.change import Answer, Change
from asyncmqd.domain.job import Record
from asyncmqd.domain.operation import Order, Verb, decide, gone
from asyncmqd.domain.states import State

Outcomes = dict[str, str | None]
"""By id: None where the job was moved, else why it was not."""


async def move(
    store: BaseBackend,
    verb: Verb,
    ids: Sequence[str],
    queue: str | None = None,
    by: str = "",
    reason: str = "",
) -> Outcomes:
    """Retry, cancel, remove or run now each of these jobs that can be."""
    outcomes: Outcomes = {}
    by_queue: defaultdict[str, list[str]] = defaultdict(list)
    for id, records in (await find(store, ids, queue)).items():
        try:
            by_queue[only(id, records, queue).queue].append(id)
        except AdminError as error:
            outcomes[id] = str(error)
    for name, members in by_queue.items():
        order = Order(verb=verb, ids=len(members), by=by, reason=reason)
        operation = await begin(store, name, order, by or "an operator")
        for start in range(0, len(members), PAGE):  # as many as a store takes without blocking
            outcomes |= await _move_page(store, operation, verb, members[start : start + PAGE])
        await store.advance(name, operation.id, operation.token, LEASE, ends=True)
    return outcomes


async def _move_page(
    store: BaseBackend, operation: OperationRecord, verb: Verb, ids: Sequence[str]
) -> Outcomes:
    outcomes: Outcomes = {}
    while ids:
        outcomes |= await _move_once(store, operation, verb, ids)
        ids = [id for id in ids if id not in outcomes]
    return outcomes


async def _move_once(
    store: BaseBackend, operation: OperationRecord, verb: Verb, ids: Sequence[str]
) -> Outcomes:
    """The outcomes but for the jobs that moved between the two calls."""
    records = await store.get(operation.queue, ids)
    move_all = _remove if verb == "remove" else partial(_change, verb=verb)
    outcomes = await move_all(store, operation, dict(zip(ids, records, strict=True)))
    if any(each is not None and each.state is State.ACTIVE for each in records):
        await store.recall()
    return outcomes


async def _remove(
    store: BaseBackend, operation: OperationRecord, records: Mapping[str, Record | None]
) -> Outcomes:
    answers = await _advance(store, operation, removed=[*records])
    return {id: gone(id) if answer == "gone" else None for id, answer in answers.items()}


async def _change(
    store: BaseBackend,
    operation: OperationRecord,
    records: Mapping[str, Record | None],
    verb: Verb,
) -> Outcomes:
    decided = {id: decide(verb, id, record) for id, record in records.items()}
    refused: Outcomes = {id: why for id, why in decided.items() if isinstance(why, str)}
    changes = [change for change in decided.values() if isinstance(change, Change)]
    answers = await _advance(store, operation, changes)
    return refused | {id: None for id, answer in answers.items() if answer == "applied"}


async def _advance(
    store: BaseBackend,
    operation: OperationRecord,
    changes: Sequence[Change] = (),
    removed: Sequence[str] = (),
) -> dict[str, Answer]:
    ids = [*removed, *(change.id for change in changes)]
    if not ids:
        return {}
    answers = await store.advance(
        operation.queue, operation.id, operation.token, LEASE, changes=changes, removed=removed
    )
    if answers is None:
        raise AdminError(f"operation {operation.id} was cancelled")
    return dict(zip(ids, answers, strict=True))
