"""Jobs that an operator moves: found by id or by state, decided by the domain, a page at a time."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Sequence
from typing import Literal, NamedTuple

from asyncmqd.admin.errors import AdminError
from asyncmqd.admin.jobs import find, only
from asyncmqd.backends.base import PAGE, BaseBackend
from asyncmqd.client.job import NameTaken
from asyncmqd.domain.change import Change
from asyncmqd.domain.job import Record
from asyncmqd.domain.settle import allowed, cancel, replay, run_now
from asyncmqd.domain.states import State

Verb = Literal["retry", "cancel", "remove"]
Outcomes = dict[str, str | None]
"""By id: None where the job was moved, else why it was not."""

REASONS = 3  # that are told when many jobs are moved


async def move(
    store: BaseBackend, verb: Verb, ids: Sequence[str], queue: str | None = None
) -> Outcomes:
    """Retry, cancel or remove each of these jobs that can be."""
    outcomes: Outcomes = {}
    by_queue: defaultdict[str, list[str]] = defaultdict(list)
    for id, records in (await find(store, ids, queue)).items():
        try:
            by_queue[only(id, records, queue).queue].append(id)
        except AdminError as error:
            outcomes[id] = str(error)
    for name, members in by_queue.items():
        outcomes |= await move_page(store, verb, members, name)
    return outcomes


async def ids_in(store: BaseBackend, queue: str, state: State) -> list[str]:
    """The jobs that are in this state now.

    All are noted before the first is moved: one that fails again meanwhile must not be moved
    twice.
    """
    ids: dict[str, None] = {}
    offset = 0
    while records := await store.list(queue, state, offset, PAGE):
        ids.update((record.id, None) for record in records)
        offset += len(records)
    return list(ids)


class Moved(NamedTuple):
    """What became of many jobs."""

    moved: int
    left: int  # jobs that were not moved
    reasons: list[str]  # why, of the first of them


async def move_all(
    store: BaseBackend, verb: Verb, ids: Sequence[str], queue: str, advance: Callable[[int], None]
) -> Moved:
    """Move the jobs that `ids_in` gave. `advance` hears of each page's size."""
    moved, left, reasons = 0, 0, list[str]()
    for start in range(0, len(ids), PAGE):  # as many as a store takes without blocking others
        page = ids[start : start + PAGE]
        outcomes = await move_page(store, verb, page, queue)
        problems = [problem for problem in outcomes.values() if problem is not None]
        moved, left = moved + len(page) - len(problems), left + len(problems)
        reasons += problems[: REASONS - len(reasons)]
        advance(len(page))
    return Moved(moved, left, reasons)


async def move_page(store: BaseBackend, verb: Verb, ids: Sequence[str], queue: str) -> Outcomes:
    """Move jobs of one queue, up to a page of them."""
    if verb == "remove":
        removed = await store.remove(queue, ids)
        if any(removed):
            await store.recall()  # some may have been running
        return {id: None if was else _gone(id) for id, was in zip(ids, removed, strict=True)}
    outcomes: Outcomes = {}
    while ids:
        outcomes |= await _move_once(store, verb, ids, queue)
        ids = [id for id in ids if id not in outcomes]
    return outcomes


async def _move_once(store: BaseBackend, verb: Verb, ids: Sequence[str], queue: str) -> Outcomes:
    """The outcomes but for the jobs that moved between the two calls."""
    records = await store.get(queue, ids)
    decided = {id: _decide(verb, id, record) for id, record in zip(ids, records, strict=True)}
    changes = [change for change in decided.values() if isinstance(change, Change)]
    answers = await store.apply(queue, changes) if changes else []
    if any(record and record.state is State.ACTIVE for record in records) and changes:
        await store.recall()
    outcomes: Outcomes = {id: why for id, why in decided.items() if isinstance(why, str)}
    for change, answer in zip(changes, answers, strict=True):
        if answer == "applied":
            outcomes[change.id] = None
    return outcomes


def _gone(id: str) -> str:
    return f"job {id}: it is gone"


def _decide(verb: Verb, id: str, record: Record | None) -> Change | str:
    """What becomes of the job, or why nothing does."""
    if record is None:
        return _gone(id)
    if verb == "retry" and record.state.terminal and record.holder not in {"", id}:
        return str(NameTaken(id, record.holder))
    decide, expected = _DECISIONS[verb]
    return decide(record) or f"job {id}: expected {expected}, this one is {record.state}"


def _retry(record: Record) -> Change | None:
    if allowed(record, "replay"):
        return replay(record)
    return run_now(record) if allowed(record, "run_now") else None


def _cancel(record: Record) -> Change | None:
    return cancel(record) if allowed(record, "cancel") else None


_DECISIONS: dict[str, tuple[Callable[[Record], Change | None], str]] = {
    "retry": (_retry, "a job that has ended or is delayed"),
    "cancel": (_cancel, "a job that has not ended"),
}
