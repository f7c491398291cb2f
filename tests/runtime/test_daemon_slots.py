"""The slots that all queues of a daemon share: workers on virtual time."""

from __future__ import annotations

import asyncio
import random
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest

from asyncmqd.backends import InMemoryBackend, StoreError
from asyncmqd.backends.base import Turn
from asyncmqd.client.pending import CallOptions, add_all, pending
from asyncmqd.domain.queue_options import QueueOptions
from asyncmqd.domain.shared_limits import SharedLimits
from asyncmqd.runtime.claiming.max_concurrency import DaemonSlots
from asyncmqd.runtime.claiming.start_shortage import CannotBegin
from asyncmqd.runtime.worker import Worker
from tests.runtime.conftest import Bench
from tests.runtime.virtual import store_clock, virtual


class Daemon:
    """Workers of several queues in one process. A job's argument is how long it takes."""

    def __init__(self, bench: Bench) -> None:
        self.bench = bench
        self.slots = DaemonSlots()
        self.workers: dict[str, Worker] = {}
        self.running: Counter[str] = Counter()
        self.most = 0  # that ran at once
        self.started: dict[str, list[float]] = {}
        bench.task(self._take, name="take")

    async def _take(self, queue: str, seconds: float) -> None:
        now = asyncio.get_running_loop().time
        self.started.setdefault(queue, []).append(now())
        self.running[queue] += 1
        self.most = max(self.most, self.running.total())
        try:
            await asyncio.sleep(seconds)
        finally:
            self.running[queue] -= 1

    async def add(self, queue: str, seconds: float, count: int = 1) -> None:
        jobs = [pending("take", (queue, seconds), {}, CallOptions()) for _ in range(count)]
        await add_all(self.bench.backend, queue, jobs)

    async def shares(self, seconds: float, every: float = 0.013) -> dict[str, float]:
        """How many slots each queue had in the mean of so many seconds."""
        looks, sums = round(seconds / every), Counter[str]()
        for _ in range(looks):
            await asyncio.sleep(every)
            sums.update(self.running)
        return {queue: sums[queue] / looks for queue in self.workers}


@asynccontextmanager
async def daemon(bench: Bench, cap: int | None, **queues: Any) -> AsyncIterator[Daemon]:
    """A daemon with such queues; each has a weight, or a dict of options."""
    made = Daemon(bench)
    options = {
        name: QueueOptions(**({"concurrency": 50} | (each if isinstance(each, dict) else {})))
        if isinstance(each, dict)
        else QueueOptions(concurrency=50, weight=each)
        for name, each in queues.items()
    }
    if cap is not None:
        made.slots.declare(cap, {name: each.weight for name, each in options.items()})
    async with bench.context() as context:
        for name, each in options.items():
            slots = None if cap is None else made.slots
            made.workers[name] = Worker(name, context, each, daemon_slots=slots)
        running = [asyncio.create_task(each.run()) for each in made.workers.values()]
        try:
            yield made
        finally:
            for task in running:
                task.cancel()
            await asyncio.wait(running)
        for task in running:
            assert task.cancelled(), task.exception()
    assert all(not share.held for share in made.slots._shares.values())


class Slow(InMemoryBackend):
    """A call takes as long as over a network."""

    async def turn(self, *args: Any) -> Turn:
        await asyncio.sleep(0.002)
        return await super().turn(*args)


@virtual
async def test_queues_with_work_share_the_slots_by_weight(bench: Bench) -> None:
    """However long their jobs take, also while the store is asked for more."""
    bench.backend = Slow(now=store_clock)
    async with daemon(bench, 12, short=3, long=1) as d:
        await d.add("long", 5.0, 200)
        await d.add("short", 0.05, 4_000)
        await asyncio.sleep(10)
        shares = await d.shares(10)
        assert d.running["long"] <= 3
    assert d.most == 12
    assert shares["long"] == pytest.approx(3, abs=0.1)
    assert shares["short"] > 8, "nine, but for the round trips between its jobs"


@virtual
async def test_many_queues_of_all_weights_share_the_slots(bench: Bench) -> None:
    async with daemon(bench, 20, a=1, b=1, c=2, d=6, idle=5) as d:
        for number, name in enumerate("abcd"):
            await d.add(name, 0.3 + 0.1 * number, 3_000)
        await asyncio.sleep(20)
        shares = await d.shares(20)
    assert d.most == 19, "one slot is kept for the queue that has nothing to do"
    for name, expected in {"a": 1.9, "b": 1.9, "c": 3.8, "d": 11.4}.items():
        assert shares[name] == pytest.approx(expected, abs=0.6), shares


@virtual
async def test_the_share_of_an_idle_queue_is_for_the_others_and_one_slot_is_kept(
    bench: Bench,
) -> None:
    async with daemon(bench, 12, idle=9, busy=1) as d:
        await d.add("busy", 1000, 20)
        await asyncio.sleep(1)
        assert d.running["busy"] == 11
        began = asyncio.get_running_loop().time()
        await d.add("idle", 0.5, 3)
        await asyncio.sleep(2)
        assert d.started["idle"][0] - began < 0.01
        assert d.running == {"busy": 11, "idle": 0}
        assert len(d.started["idle"]) == 3, "one after the other"
        assert not d.workers["idle"].waits
        assert d.workers["busy"].waits


@virtual
async def test_a_slot_that_becomes_free_is_taken_at_once_and_nobody_polls(bench: Bench) -> None:
    class Counting(InMemoryBackend):
        turns = 0

        async def turn(self, *args: Any) -> Turn:
            self.turns += 1
            return await super().turn(*args)

    bench.backend = store = Counting(now=store_clock)
    async with daemon(bench, 4, one=1, two=1, three=1) as d:
        await d.add("one", 500.25, 2)
        await d.add("two", 2_000)
        await asyncio.sleep(1)
        await d.add("three", 2_000, 2)
        await asyncio.sleep(1)
        assert d.running == {"one": 2, "two": 1, "three": 1}
        before = store.turns
        await asyncio.sleep(490)
        assert store.turns == before
        (end,) = {each + 500.25 for each in d.started["one"]}
        await asyncio.sleep(100)
        assert d.started["three"][1] == pytest.approx(end, abs=0.01)


@virtual
async def test_what_a_queue_turns_out_not_to_need_is_taken_at_once(bench: Bench) -> None:
    async with daemon(bench, 4, heavy=100, light=1) as d:
        await d.add("heavy", 1, 3)
        await d.add("heavy", 1_000)
        await asyncio.sleep(0.1)
        await d.add("light", 1_000, 9)
        await asyncio.sleep(0.1)
        assert d.running == {"heavy": 3, "light": 1}
        await asyncio.sleep(1)
        assert d.running == {"heavy": 1, "light": 3}


LIMITED: dict[str, dict[str, Any]] = {
    "concurrency": {"concurrency": 2},
    "rate": {"rate_limit": 2, "rate_interval": 1_000.0},
}


@virtual
@pytest.mark.parametrize("limit", LIMITED)
async def test_what_another_limit_lets_nobody_use_is_for_the_others(
    bench: Bench, limit: str
) -> None:
    async with daemon(bench, 12, heavy={**LIMITED[limit], "weight": 100}, light=1) as d:
        await d.add("heavy", 1_000, 20)
        await d.add("light", 1_000, 20)
        await asyncio.sleep(2)
        assert d.running == {"heavy": 2, "light": 10}


@virtual
async def test_what_a_limit_over_all_daemons_forbids_is_for_the_others(bench: Bench) -> None:
    await bench.backend.declare_limits("heavy", SharedLimits(concurrency=2), "d")
    async with daemon(bench, 12, heavy=100, light=1) as d:
        await d.add("heavy", 1_000, 20)
        await d.add("light", 1_000, 20)
        await asyncio.sleep(2)
        assert d.running == {"heavy": 2, "light": 10}


@virtual
async def test_who_cannot_begin_jobs_keeps_no_slot_from_others(bench: Bench) -> None:
    async with daemon(bench, 12, heavy=100, light=1) as d:
        await d.add("heavy", 1_000, 2)
        await asyncio.sleep(1)
        d.workers["heavy"]._claims.brake.press(CannotBegin("no thread"))
        await d.add("heavy", 1_000, 20)
        await d.add("light", 1_000, 20)
        await asyncio.sleep(0.5)
        assert d.running == {"heavy": 2, "light": 10}


@virtual
async def test_a_queue_whose_store_does_not_answer_keeps_no_slot_from_others(bench: Bench) -> None:
    class Half(InMemoryBackend):
        """One node of a cluster does not answer."""

        down = False

        async def turn(self, queue: str, *args: Any) -> Turn:
            if self.down and queue == "heavy":
                raise StoreError("down")
            return await super().turn(queue, *args)

    bench.backend = store = Half(now=store_clock)
    async with daemon(bench, 12, heavy=100, light=1) as d:
        await d.add("heavy", 1, 11)
        await d.add("heavy", 1_000, 20)
        await d.add("light", 1_000, 20)
        await asyncio.sleep(0.5)
        assert d.running == {"light": 1, "heavy": 11}
        store.down = True
        await asyncio.sleep(2)
        assert d.running == {"light": 11, "heavy": 0}, "heavy would have all, could it claim"
        store.down = False
        await asyncio.sleep(40)
        assert d.running == {"light": 11, "heavy": 1}


def change(d: Daemon, cap: int | None) -> None:
    """As a reload does."""
    weights = {name: each.options.weight for name, each in d.workers.items()}
    if cap is not None:
        d.slots.declare(cap, weights)
    for worker in d.workers.values():
        worker.share_slots(None if cap is None else d.slots)


@virtual
async def test_the_limit_is_changed_while_jobs_run(bench: Bench) -> None:
    async with daemon(bench, None, one=1, two=1) as d:
        await d.add("one", 10, 60)
        await d.add("two", 10, 4)
        await asyncio.sleep(1)
        assert d.running == {"one": 50, "two": 4}
        change(d, 6)
        await asyncio.sleep(5)
        assert d.running.total() == 54, "what runs goes on"
        await d.add("two", 10, 40)
        await asyncio.sleep(5)
        assert d.running == {"one": 3, "two": 3}
        change(d, 30)
        await asyncio.sleep(0.1)
        assert d.running == {"one": 10, "two": 20}, "one has no more"
        change(d, None)
        await asyncio.sleep(0.1)
        assert d.running == {"one": 10, "two": 40}
        change(d, 8)
        await asyncio.sleep(21)
        assert d.running.total() == 0


@virtual
@pytest.mark.parametrize("seed", range(2))
async def test_no_slot_is_lost_or_won_whenever_a_reload_comes(bench: Bench, seed: int) -> None:
    """Claims are under way when the limit comes, changes and goes."""
    draw = random.Random(seed)
    bench.backend = Slow(now=store_clock)
    async with daemon(bench, None, one={"concurrency": 5}, two={"concurrency": 9}) as d:
        for _ in range(300):
            change(d, draw.choice((None, 2, 3, 6, 20)))
            if draw.random() < 0.3:
                await d.add(draw.choice(("one", "two")), draw.choice((0.0, 0.003, 0.05)), 4)
            await asyncio.sleep(draw.choice((0.0, 0.001, 0.003)))
        change(d, 2)
        await asyncio.sleep(60)
        assert all(not each._claims.capacity.slots.taken for each in d.workers.values())
        assert not any(d.slots.share(queue).held for queue in d.workers)
        assert not any(each.waits for each in d.workers.values())
        counts = await bench.backend.counts(list(d.workers))
        assert sum(each.completed for each in counts.values()) == sum(map(len, d.started.values()))


@virtual
async def test_a_queue_that_drains_keeps_its_slots_until_its_jobs_end(bench: Bench) -> None:
    async with daemon(bench, 6, goes={"drain_timeout": 100.0}, stays=1) as d:
        await d.add("goes", 10, 5)
        await asyncio.sleep(1)
        d.slots.declare(6, {"stays": 1})
        await d.add("stays", 100, 10)
        await asyncio.sleep(5)
        assert d.running == {"goes": 5, "stays": 1}
        await asyncio.sleep(10)
        assert d.running == {"goes": 0, "stays": 6}
        assert d.most == 6


@virtual
@pytest.mark.parametrize("when", ["before", "after"])
async def test_a_crash_of_a_worker_gives_its_slots_back(
    bench: Bench, when: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever it had reserved, and however late the next reload comes."""
    slots = DaemonSlots()
    slots.declare(3, {"q": 1})

    def fail(*_: Any) -> None:
        raise ValueError("ours")

    async with bench.context() as context:
        worker = Worker("q", context, QueueOptions(), daemon_slots=slots)
        claims = worker._claims
        monkeypatch.setattr(claims._runs, "start", fail)
        bench.task(lambda: None, name="work")
        await bench.add("work")
        with pytest.raises(BaseExceptionGroup):
            await worker.run()
        assert not slots.share("q").held, "others have them before the queue is served anew"
        if when == "after":
            worker.share_slots(None)
            worker.share_slots(slots)
        following = Worker("q", context, QueueOptions(), daemon_slots=slots)
        assert following._claims.capacity.slots.free == 3
