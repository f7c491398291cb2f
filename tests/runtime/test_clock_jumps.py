"""The store's clock jumps: nobody is taken for dead, and schedules go on by the new time."""

from __future__ import annotations

import asyncio
from itertools import pairwise

import pytest

from asyncmqd.backends import InMemoryBackend
from asyncmqd.backends.base import PAGE
from asyncmqd.domain.job import Record
from asyncmqd.domain.schedule import Repeatable
from asyncmqd.domain.states import State
from asyncmqd.runtime.process.context import ProcessContext
from tests.runtime.conftest import Bench, Memory
from tests.runtime.virtual import store_clock, virtual

HOUR = 3_600.0
YEAR = 366 * 86_400.0
LEASE = 15.0
COUNT = 150  # more than a page


class Stepped(InMemoryBackend):
    """A store whose clock can be stepped."""

    def __init__(self) -> None:
        self.ahead = 0.0
        super().__init__(now=lambda: store_clock() + self.ahead)


@virtual
@pytest.mark.parametrize(
    "jumps",
    [
        pytest.param((HOUR,), marks=pytest.mark.full),  # the third begins with it
        (-HOUR,),
        (HOUR, HOUR, -HOUR),
        pytest.param((YEAR, -YEAR), marks=pytest.mark.full),
    ],
)
async def test_two_daemons_with_forty_jobs_take_nothing_from_each_other(
    bench: Bench, jumps: tuple[float, ...]
) -> None:
    store = bench.backend = Stepped()
    bench.task(asyncio.sleep, name="long")
    ids = [await bench.add("long", 100) for _ in range(40)]
    other = Memory()
    async with (
        bench.worker(concurrency=25, scan_interval=0.5),
        bench.worker(bench.context(observer=other), concurrency=25, scan_interval=0.5),
    ):
        for jump in jumps:
            await asyncio.sleep(16)
            store.ahead += jump
        records = await bench.ended(*ids)
    assert {(each.state, each.token, each.crashes) for each in records} == {(State.COMPLETED, 1, 0)}
    for observer in (bench.observer, other):
        told = [fields["by"] for name, fields in observer.events if name == "store.clock_jumped"]
        assert told == [pytest.approx(jump, abs=1) for jump in jumps]


@virtual
async def test_who_begins_right_after_a_jump_takes_nothing(bench: Bench) -> None:
    """It has seen no other clock: holders get time to renew all the same."""
    store = bench.backend = Stepped()
    bench.task(asyncio.sleep, name="long")
    ids = [await bench.add("long", 30) for _ in range(5)]
    async with bench.worker(concurrency=5):
        await asyncio.sleep(6)
        store.ahead = HOUR
        async with bench.worker(bench.context(observer=Memory()), scan_interval=0.1):
            records = await bench.ended(*ids)
    assert {(each.state, each.token, each.crashes) for each in records} == {(State.COMPLETED, 1, 0)}


@virtual
@pytest.mark.parametrize("jump", [-HOUR, -YEAR])
@pytest.mark.parametrize("begins", ["before", "after"])
async def test_what_the_dead_held_comes_back_in_time(
    bench: Bench, jump: float, begins: str
) -> None:
    """Its lease was given in a future that is none any more, also to who begins after the jump."""
    store = bench.backend = Stepped()
    bench.task(asyncio.sleep, name="work")
    for _ in range(COUNT):
        await bench.add("work", 0)
    assert len(await store.claim("q", COUNT, LEASE, "dead/1#1")) == COUNT
    if begins == "after":
        store.ahead = jump
    async with bench.worker(concurrency=COUNT):
        await asyncio.sleep(5)
        store.ahead = jump
        await asyncio.sleep(2 * LEASE)
    records = await store.list("q", State.COMPLETED, limit=COUNT)
    assert len(records) == COUNT


class SteppedWhile(Stepped):
    """Its clock is stepped once more while leases are bounded, and that is noticed at once."""

    context: ProcessContext
    looks = 0

    async def list(
        self, queue: str, state: State, offset: int = 0, limit: int = PAGE, *, payloads: bool = True
    ) -> list[Record]:
        self.looks += 1
        if self.looks == 2:
            self.ahead -= YEAR
            await self.context.health.ask_time(self.context.backend.now)
        return await super().list(queue, state, offset, limit, payloads=payloads)


@virtual
async def test_a_jump_while_leases_are_bounded_is_not_forgotten(bench: Bench) -> None:
    """The first page of what the dead held was bounded by a time that is none any more."""
    store = bench.backend = SteppedWhile()
    bench.task(asyncio.sleep, name="work")
    for _ in range(COUNT):
        await bench.add("work", 0)
    assert len(await store.claim("q", COUNT, LEASE, "dead/1#1")) == COUNT
    store.ahead -= HOUR
    store.context = bench.context()
    async with bench.worker(store.context, concurrency=COUNT):
        await asyncio.sleep(3 * LEASE)
    assert store.looks > 2
    assert len(await store.list("q", State.COMPLETED, limit=COUNT)) == COUNT


@virtual
async def test_a_clock_that_went_back_and_came_again_unseen_takes_nothing(bench: Bench) -> None:
    """The lease that was renewed meanwhile ended an hour ago, but its holder lives."""
    store = bench.backend = Stepped()
    bench.task(asyncio.sleep, name="long")
    id = await bench.add("long", 60)
    async with bench.worker():
        await asyncio.sleep(12)
        async with bench.worker(bench.context(observer=Memory()), scan_interval=LEASE / 2):
            await asyncio.sleep(12.9)
            store.ahead = -HOUR
            await asyncio.sleep(0.2)  # a renewal
            due = (await bench.record(id)).due
            store.ahead = 0.0
            (record,) = await bench.ended(id)
    assert due is not None
    assert due < store_clock() - HOUR / 2
    assert (record.state, record.token, record.crashes) == (State.COMPLETED, 1, 0)


@virtual
async def test_who_claims_for_longer_and_lives_loses_nothing(bench: Bench) -> None:
    """It renews a third of its lease later, which is longer than another's whole lease."""
    store = bench.backend = Stepped()
    bench.task(asyncio.sleep, name="long")
    await bench.add("long", 100)
    async with (
        bench.worker(bench.context(lease=90.0)),
        bench.worker(bench.context(observer=Memory()), scan_interval=1.0),
    ):
        await asyncio.sleep(31)
        store.ahead = -HOUR
        await asyncio.sleep(80)
    [record] = await store.list("q", State.COMPLETED)
    assert (record.token, record.crashes) == (1, 0)


@virtual
async def test_who_begins_shortens_no_lease_that_may_be_sound(bench: Bench) -> None:
    """Its holder has no heartbeat, or that of a release which does not tell how long it claims."""
    store = bench.backend = Stepped()
    bench.task(asyncio.sleep, name="work")
    id = await bench.add("work", 0)
    [claim] = await store.claim("q", 1, 600.0, "other/1#1")
    due = (await bench.record(id)).due
    assert due is not None
    async with bench.worker(scan_interval=1.0):
        await asyncio.sleep(60)
        record = await bench.record(id)
        assert (record.state, record.token, record.due) == (State.ACTIVE, claim.token, due)
        (record,) = await bench.ended(id)
    assert record.started is not None
    assert record.started >= due
    assert (record.state, record.token > claim.token) == (State.COMPLETED, True)


@virtual
@pytest.mark.parametrize("jump", [HOUR, -HOUR, -YEAR])
async def test_a_schedule_goes_on_without_a_burst_and_without_a_gap(
    bench: Bench, jump: float
) -> None:
    store = bench.backend = Stepped()
    ran: list[float] = []

    async def tick() -> None:
        ran.append(asyncio.get_running_loop().time())

    bench.task(tick)
    ticks = (
        Repeatable(task="tick", every=20.0),
        Repeatable(task="tick", name="c", cron="* * * * *"),
    )
    async with (
        bench.worker(repeatables=ticks, scan_interval=0.1),
        bench.worker(bench.context(), repeatables=ticks, scan_interval=0.1),
    ):
        await asyncio.sleep(600)
        before = len(ran)
        store.ahead += jump
        await asyncio.sleep(600)
        after = len(ran) - before
    assert 38 <= before <= 40
    assert before - 3 <= after <= before + 4, "one of each schedule may have been missed"
    assert max(b - a for a, b in pairwise(ran)) <= 31, "a heartbeat of ten seconds more"


@virtual
async def test_a_wrong_second_costs_nothing_for_good(bench: Bench) -> None:
    """A year ahead for a second, in which an instant fires there; then the clock is right again."""
    store = bench.backend = Stepped()
    bench.task(asyncio.sleep, name="tick")
    async with bench.worker(repeatables=(Repeatable(task="tick", every=60.0, args=[0]),)):
        await asyncio.sleep(90)
        store.ahead = YEAR
        await asyncio.sleep(31)
        store.ahead = 0.0
        await asyncio.sleep(1)
        fired = bench.observer.names().count("schedule.fired")
        await asyncio.sleep(600)
    assert 9 <= bench.observer.names().count("schedule.fired") - fired <= 11


@virtual
async def test_delayed_jobs_go_by_the_new_time(bench: Bench) -> None:
    store = bench.backend = Stepped()
    bench.task(asyncio.sleep, name="work")
    id = await bench.add("work", 0, delay=HOUR)
    async with bench.worker(scan_interval=1.0):
        await asyncio.sleep(5)
        store.ahead = HOUR
        await asyncio.sleep(2)
        assert (await bench.record(id)).state is State.COMPLETED
