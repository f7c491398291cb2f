"""A wake-up that reaches a worker without room goes on to another daemon."""

from __future__ import annotations

import asyncio

import pytest

from asyncmqd.backends import InMemoryBackend
from asyncmqd.domain.queue_options import QueueOptions
from asyncmqd.domain.states import State
from asyncmqd.runtime.claiming.capacity import Capacity
from asyncmqd.runtime.claiming.rate_limiter import RateLimiter
from asyncmqd.runtime.claiming.slots import OwnSlots, SharedSlots
from asyncmqd.runtime.worker import Worker
from tests.runtime.conftest import Bench
from tests.runtime.virtual import store_clock, virtual


class Listed(InMemoryBackend):
    """Counts how often it is told to wake others instead."""

    passed_on = 0

    async def retire(self, queue: str) -> None:
        self.passed_on += 1
        await super().retire(queue)


@pytest.fixture
def store(bench: Bench) -> Listed:
    store = bench.backend = Listed(now=store_clock)
    return store


def hold(bench: Bench) -> asyncio.Event:
    """The task "held" runs until the event is set."""
    go = asyncio.Event()

    async def held() -> None:
        await go.wait()

    bench.task(held)
    return go


@virtual
async def test_after_a_reload_that_left_no_slot_free(bench: Bench, store: Listed) -> None:
    go = hold(bench)
    await bench.add("held")
    async with bench.worker(concurrency=2) as worker:
        await asyncio.sleep(1)  # its claim came back short: it is one to be woken
        worker.adjust(QueueOptions(concurrency=1))
        other = await bench.add("held")
        await asyncio.sleep(1)
        assert store.passed_on == 1
        await bench.add("held")
        await asyncio.sleep(1)
        assert store.passed_on == 1, "signed off by now: it is not among those who are woken"
        go.set()
        await bench.ended(other)
    assert store.passed_on == 2  # at the drain


@virtual
async def test_after_a_reload_that_left_no_token(bench: Bench, store: Listed) -> None:
    go = hold(bench)
    async with bench.worker(concurrency=2, rate_limit=10) as worker:
        await asyncio.sleep(1)
        worker.adjust(QueueOptions(concurrency=2, rate_limit=0))
        other = await bench.add("held")
        await asyncio.sleep(1)
        assert store.passed_on == 1
        worker.adjust(QueueOptions(concurrency=2))
        go.set()
        await bench.ended(other)


@virtual
async def test_when_others_took_the_shared_slots(bench: Bench, store: Listed) -> None:
    go = hold(bench)
    shared = asyncio.Semaphore(1)
    slots = SharedSlots(shared)
    async with bench.context() as context:
        worker = Worker("q", context, QueueOptions(), slots=slots)
        running = asyncio.create_task(worker.run_claims())
        await asyncio.sleep(1)
        await shared.acquire()
        other = await bench.add("held")
        await asyncio.sleep(1)
        assert store.passed_on == 1
        shared.release()
        go.set()
        await bench.ended(other)
        running.cancel()
        await asyncio.wait([running])
        slots.close()


@virtual
async def test_not_while_another_worker_here_has_room(bench: Bench, store: Listed) -> None:
    go = hold(bench)
    await bench.add("held")
    async with bench.context() as context, bench.worker(context, concurrency=2) as full:
        await asyncio.sleep(1)
        second = Worker("q", context, QueueOptions(concurrency=2))
        running = asyncio.create_task(second.run())
        await asyncio.sleep(1)
        full.adjust(QueueOptions(concurrency=1))
        other = await bench.add("held")
        await asyncio.sleep(1)
        assert (await bench.record(other)).state is State.ACTIVE
        assert store.passed_on == 0
        go.set()
        await bench.ended(other)
        running.cancel()
        await asyncio.wait([running])


@virtual
async def test_a_reservation_goes_back_whole() -> None:
    capacity = Capacity(OwnSlots(4), RateLimiter(3))
    reserved = capacity.reserve(10)
    assert (reserved.number, capacity.tokens) == (3, 0)
    capacity.limiter = None  # a reload
    capacity.use(reserved, started=1, kept=1)
    assert capacity.slots.free == 2
    assert reserved.limiter is not None
    assert reserved.limiter.reserve(10) == 1
