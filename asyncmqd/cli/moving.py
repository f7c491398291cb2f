"""Jobs that an operator moves: found by id or by state, decided by the domain, a page at a time."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Literal

from asyncmqd.backends.base import PAGE, BaseBackend
from asyncmqd.domain.change import Change
from asyncmqd.domain.job import Record
from asyncmqd.domain.settle import allowed, cancel, replay, run_now
from asyncmqd.domain.states import State

Verb = Literal["retry", "cancel", "remove"]
DONE = ""
GONE = "it is gone"


async def ids_in(store: BaseBackend, queue: str, state: State) -> list[str]:
    """The jobs that are in this state now.

    All are noted before the first is moved: one that fails again meanwhile must not come round
    for a second time.
    """
    ids: dict[str, None] = {}
    offset = 0
    while records := await store.list(queue, state, offset, PAGE):
        ids.update((record.id, None) for record in records)
        offset += len(records)
    return list(ids)


async def locate(
    store: BaseBackend, ids: Sequence[str], queue: str | None
) -> tuple[dict[str, Record], dict[str, str]]:
    """The jobs of these ids, and for the ids that name none why so.

    Without a queue all are searched: an id is unique only within its queue.
    """
    found: dict[str, list[Record]] = {id: [] for id in ids}
    for name in await store.queues() if queue is None else [queue]:
        for record in await store.get(name, ids):
            if record is not None:
                found[record.id].append(record)
    located = {id: records[0] for id, records in found.items() if len(records) == 1}
    problems = {id: _problem(found[id], queue) for id in found if id not in located}
    return located, problems


def _problem(records: Sequence[Record], queue: str | None) -> str:
    if not records:
        return "there is none of this id" if queue is None else f"queue {queue} has none of this id"
    names = " and ".join(record.queue for record in records)
    return f"expected --queue, since {names} have one of this id"


async def move(store: BaseBackend, queue: str, ids: Sequence[str], verb: Verb) -> dict[str, str]:
    """Retry, cancel or remove jobs; for each id DONE, or why it was refused."""
    if verb == "remove":
        removed = await store.remove(queue, ids)
        return {id: DONE if gone else GONE for id, gone in zip(ids, removed, strict=True)}
    decide, expected = _DECISIONS[verb]
    outcomes: dict[str, str] = {}
    while ids:
        changes = []
        for id, record in zip(ids, await store.get(queue, ids), strict=True):
            change = None if record is None else decide(record)
            if change is not None:
                changes.append(change)
            else:
                outcomes[id] = GONE if record is None else f"{expected}, this one is {record.state}"
        answers = await store.apply(queue, changes) if changes else []
        moved = list(zip(changes, answers, strict=True))
        outcomes |= {change.id: DONE for change, answer in moved if answer == "applied"}
        # The rest has moved between the two calls: look again.
        ids = [change.id for change, answer in moved if answer != "applied"]
    return outcomes


def pages(ids: Sequence[str]) -> Iterator[Sequence[str]]:
    """The ids, as many at a time as a store takes without blocking others."""
    for start in range(0, len(ids), PAGE):
        yield ids[start : start + PAGE]


def _retry(record: Record) -> Change | None:
    if allowed(record, "replay"):
        return replay(record)
    return run_now(record) if allowed(record, "run_now") else None


def _cancel(record: Record) -> Change | None:
    return cancel(record) if allowed(record, "cancel") else None


_DECISIONS: dict[str, tuple[Callable[[Record], Change | None], str]] = {
    "retry": (_retry, "expected a job that has ended or is delayed"),
    "cancel": (_cancel, "expected a job that has not ended"),
}
