"""What the simulation found once, each told in its shortest form."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any

from asyncmqd.backends import InMemoryBackend
from asyncmqd.backends.base import Held, StoreError, Turn
from asyncmqd.domain.change import Answer, Change
from asyncmqd.domain.schedule import Repeatable
from asyncmqd.domain.settle import ISOLATE_AT, Crashed, Policy
from asyncmqd.domain.states import State
from tests.runtime.conftest import Bench
from tests.runtime.virtual import store_clock, virtual


class LosesTheReplyToAMark(InMemoryBackend):
    """Marks a candidate once, and does not tell."""

    lost = False

    def __init__(self) -> None:
        super().__init__(now=store_clock)
        self.snoozed = asyncio.Event()

    async def turn(
        self, queue: str, changes: Sequence[Change], limit: int, lease: float, *rest: Any
    ) -> Turn:
        turn = await super().turn(queue, changes, limit, lease, *rest)
        if any(change.edge == "snooze" for change in changes):
            self.snoozed.set()
        if not self.lost and any(change.solo for change in changes):
            self.lost = True
            raise StoreError("the reply was lost")
        return turn


@virtual
async def test_a_candidate_that_is_handed_back_takes_no_mark_along(bench: Bench) -> None:
    """With the mark, a crash in which it only waits beside another candidate would convict it."""
    store = bench.backend = LosesTheReplyToAMark()
    bench.task(asyncio.sleep, name="innocent")
    id = await bench.add("innocent", 0)
    row = store._store.queues["q"].rows[id]
    row.crashes = ISOLATE_AT
    async with bench.worker():
        await store.snoozed.wait()
        assert store.lost
        assert not (await bench.record(id)).solo


@virtual
async def test_a_candidate_that_a_drain_hands_back_takes_no_mark_along(bench: Bench) -> None:
    started = asyncio.Event()

    async def innocent() -> None:
        started.set()
        await asyncio.sleep(1e9)

    bench.task(innocent)
    id = await bench.add("innocent")
    assert isinstance(bench.backend, InMemoryBackend)
    bench.backend._store.queues["q"].rows[id].crashes = ISOLATE_AT
    async with bench.worker():
        await started.wait()
        assert (await bench.record(id)).solo
    record = await bench.record(id)
    assert (record.state, record.solo) == (State.WAITING, False)


class AnswersLate(InMemoryBackend):
    """Its first reply to a declaration takes two and a half seconds."""

    late = 2.5

    async def declare_all(self, declared: Any, fresh: bool, by: str = "") -> float:
        now = await super().declare_all(declared, fresh, by)
        await asyncio.sleep(self.late)
        self.late = 0.0
        return now


@virtual
async def test_one_late_reply_does_not_delay_a_schedule_for_half_a_minute(bench: Bench) -> None:
    bench.backend = AnswersLate(now=store_clock)
    late: list[float] = []

    async def tick() -> None:
        late.append(store_clock() % 1)

    bench.task(tick)
    async with bench.worker(repeatables=(Repeatable(task="tick", every=1.0),)):
        await asyncio.sleep(12)
    assert len(late) >= 8
    assert max(late[1:]) < 0.1, late


class LosesARenewal(InMemoryBackend):
    """Of the first renewal nothing comes back, which takes long to learn."""

    lost = False

    async def extend(self, held: Sequence[Held], lease: float) -> list[bool]:
        if not self.lost:
            self.lost = True
            await asyncio.sleep(8)
            raise StoreError("no reply")
        return await super().extend(held, lease)


@virtual
async def test_one_lost_renewal_costs_no_lease(bench: Bench) -> None:
    bench.backend = LosesARenewal(now=store_clock)
    bench.task(asyncio.sleep, name="long")
    id = await bench.add("long", 30)
    async with bench.worker(), bench.worker(bench.context()):
        (record,) = await bench.ended(id)
    assert (record.state, record.token) == (State.COMPLETED, 1)


class Stalls(InMemoryBackend):
    """The reply to its first claim takes most of the lease, and the next renewal five seconds."""

    stalled = False

    async def turn(
        self, queue: str, changes: Sequence[Change], limit: int, lease: float, *rest: Any
    ) -> Turn:
        turn = await super().turn(queue, changes, limit, lease, *rest)
        if turn.claims and not self.stalled:
            self.stalled = True
            await asyncio.sleep(0.6 * lease)
        return turn

    async def extend(self, held: Sequence[Held], lease: float) -> list[bool]:
        await asyncio.sleep(5)
        return await super().extend(held, lease)


@virtual
async def test_starts_count_when_they_happen_not_when_the_store_is_asked_about_them(
    bench: Bench,
) -> None:
    bench.backend = Stalls(now=store_clock)
    begun: list[float] = []

    async def mark() -> None:
        begun.append(asyncio.get_running_loop().time())

    bench.task(mark)
    ids = [await bench.add("mark") for _ in range(6)]
    async with bench.worker(rate_limit=2, concurrency=4):
        await bench.ended(*ids)
    assert begun[2] - begun[0] > 0.45, "a burst of two, then one in half a second"


class SlowToApply(InMemoryBackend):
    """Its replies to changes take a second."""

    async def apply(self, queue: str, changes: Sequence[Change]) -> list[Answer]:
        answers = await super().apply(queue, changes)
        await asyncio.sleep(1)
        return answers


@virtual
async def test_a_scanner_that_ends_tells_what_it_has_taken_back(bench: Bench) -> None:
    store = bench.backend = SlowToApply(now=store_clock)
    id = await bench.add("lost")
    claims = await store.claim("q", 1, 0.0, "dead#1")
    async with bench.context() as context:
        work = context.recovery.recover("q", claims, Crashed("its lease ended"), Policy())
        recovering = asyncio.create_task(work)
        await asyncio.sleep(0.5)
        recovering.cancel()
        await asyncio.wait([recovering])
    assert recovering.cancelled()
    assert (await bench.record(id)).state is State.WAITING
    assert "job.recovered" in bench.observer.names()
