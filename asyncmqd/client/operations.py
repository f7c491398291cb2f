"""Operations on many jobs: begun by an operator, carried on by whoever has the lease."""

from __future__ import annotations

import contextlib
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from typing import TypeVar

import msgspec

from asyncmqd.backends.base import BaseBackend, OperationRecord, StoreError
from asyncmqd.client.events import tell
from asyncmqd.domain import clock
from asyncmqd.domain.change import Answer, Change
from asyncmqd.domain.failpoints import failpoint
from asyncmqd.domain.job import Record
from asyncmqd.domain.operation import (
    Order,
    decide,
    encode,
    order_of,
    progress_of,
)
from asyncmqd.domain.pause import Pause
from asyncmqd.domain.states import State
from asyncmqd.domain.unique import name_taken

LEASE = 15.0  # seconds for which nobody else carries on what its carrier does not
# Neither the store nor the carrier is kept from other work for long.
STEP = 200  # jobs that one step moves, at most
LARGE = 1024 * 1024  # bytes: if the jobs of a step have more, the next step takes fewer
_FIRST = 25  # jobs of the first step, when nobody knows yet how large they are

Done = TypeVar("Done")
Tell = Callable[[int, int], None]
"""Hears of each page how many jobs were looked at, and how many of them were moved."""


async def begin(
    store: BaseBackend, queue: str, order: Order, carrier: str = "", lease: float = LEASE
) -> OperationRecord:
    """Note an operation on the jobs that are in its states now. Raises StoreError."""
    counts = (await store.counts([queue]))[queue]
    total = sum(getattr(counts, state) for state in order.states)
    order = msgspec.structs.replace(order, total=total)
    record = await store.begin_operation(queue, clock.nonce(), encode(order), carrier, lease)
    fields = {"queue": queue, "operation": record.id, "action": order.verb, "jobs": order.words}
    await tell(store, "operation.begun", **fields, by=order.by, reason=order.reason or None)
    return record


async def pause(
    store: BaseBackend, queue: str, paused: bool, by: str = "", reason: str = ""
) -> None:
    """Pause or resume a queue, and note it among the operations. Raises StoreError."""
    order = Order(verb="pause" if paused else "resume", by=by, reason=reason)
    await noted(store, queue, order, lambda: store.pause(queue, paused, by=by, reason=reason))


async def noted(
    store: BaseBackend, queue: str, order: Order, act: Callable[[], Awaitable[Done]]
) -> Done:
    """Do what moves no job, and note it among the operations. Raises StoreError.

    It is noted first, so that whoever sees the change can see who made it.
    """
    by = order.by or "?"
    record = await store.begin_operation(queue, clock.nonce(), encode(order), by, LEASE)
    try:
        done = await act()
    except Exception:
        with contextlib.suppress(StoreError):
            await store.cancel_operation(queue, record.id, by)
        raise
    await store.advance(queue, record.id, record.token, LEASE, ends=True)
    return done


def last_resumed(records: Iterable[OperationRecord]) -> Pause | None:
    """Who resumed a queue last, when and why, by its operations, the newest first."""
    for record in records:
        order = order_of(record.order)
        if order is not None and order.verb == "resume":
            return Pause(since=record.begun, by=order.by, reason=order.reason)
    return None


async def carry_on(
    store: BaseBackend,
    record: OperationRecord,
    lease: float = LEASE,
    tell: Tell = lambda _looked, _moved: None,
) -> bool:
    """Carry an operation to its end; False if it was cancelled, or is carried by another by now.

    `record` is what `begin` or `BaseBackend.carry` gave. Raises StoreError; whoever has the lease
    then goes on from where the store has it.
    """
    order = order_of(record.order)
    if order is None:  # of a later release, or spoilt: it would come up again and again
        return await store.cancel_operation(record.queue, record.id, "nobody can read it")
    return await _Carrier(store, record, order, lease, tell).run()


class _NotOurs(Exception):
    """Another carries it, or it has ended."""


class _Carrier:
    """One operation in these hands."""

    def __init__(
        self, store: BaseBackend, record: OperationRecord, order: Order, lease: float, tell: Tell
    ) -> None:
        self._store = store
        self._record = record
        self._order = order
        self._lease = lease
        self._tell = tell
        self._progress = progress_of(record.progress)
        self._most = min(_FIRST, STEP)

    async def run(self) -> bool:
        try:
            while self._progress.part < len(self._order.states):
                await self._page(self._order.states[self._progress.part])
            await self._advance(ends=True)
        except _NotOurs:
            return False
        return True

    async def _page(self, state: State) -> None:
        """Search a page, and move what is found."""
        order, since, mark = self._order, self._record.begun, self._progress.mark
        try:
            page = await self._store.search(
                self._record.queue, state, order.sought(since), mark, self._most
            )
        except ValueError:  # a mark that a hand has spoilt
            self._progress = msgspec.structs.replace(self._progress, mark=None)
            return
        size = sum(len(each.payload) + len(each.error) for each in page.records)
        self._most = max(1, self._most // 2) if size > LARGE else min(STEP, 2 * self._most)
        meant = [record for record in page.records if order.covers(record, since)]
        decided = self._decide(meant)
        refusals = [each for each in decided.values() if isinstance(each, str)]
        # Written in the step that moves them.
        self._progress = self._progress.after(page.looked, page.after, refusals)
        moved = await self._move(decided, state)
        self._tell(page.looked, moved)

    def _decide(self, records: Iterable[Record]) -> dict[str, Change | str | None]:
        """By id: what becomes of each job; None: it is removed."""
        verb = self._order.verb
        return {
            each.id: None if verb == "remove" else decide(verb, each.id, each) for each in records
        }

    async def _move(self, decided: Mapping[str, Change | str | None], state: State) -> int:
        """How many were moved.

        Those that moved on between the two calls are looked at again, if they are still meant.
        """
        moved = 0
        while True:
            removed = [id for id, change in decided.items() if change is None]
            changes = [each for each in decided.values() if isinstance(each, Change)]
            answers = await self._advance(changes, removed=removed)
            moved += answers.count("applied")
            again = self._look_through(changes, answers)
            if not again:
                break
            decided = self._decide(await self._still_meant(again, state))
        if moved and state is State.ACTIVE:
            await self._store.recall()
        return moved

    def _look_through(self, changes: Sequence[Change], answers: Sequence[Answer]) -> list[str]:
        """The jobs to look at again. There are no changes where jobs are removed."""
        pairs = [(each.id, answer) for each, answer in zip(changes, answers, strict=False)]
        taken = [name_taken(id, "another") for id, answer in pairs if answer == "taken"]
        if taken:
            self._progress = self._progress.with_left(taken)  # the next step writes it
        return [id for id, answer in pairs if answer in {"stale", "already"}]

    async def _still_meant(self, ids: Sequence[str], state: State) -> list[Record]:
        found = await self._store.get(self._record.queue, ids)
        known = [each for each in found if each is not None and each.state is state]
        return [each for each in known if self._order.covers(each, self._record.begun)]

    async def _advance(
        self,
        changes: Sequence[Change] = (),
        *,
        removed: Sequence[str] = (),
        ends: bool = False,
    ) -> list[Answer]:
        record, progress = self._record, encode(self._progress)
        failpoint("operating")
        answers = await self._store.advance(
            record.queue,
            record.id,
            record.token,
            self._lease,
            changes=changes,
            removed=removed,
            progress=progress,
            ends=ends,
        )
        failpoint("operated")
        if answers is None:
            raise _NotOurs
        return answers
