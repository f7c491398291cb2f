"""Candidates on trial: alone in their process for a time, and nobody waits for ever."""

from __future__ import annotations

import asyncio

import pytest

from asyncmqd.backends import InMemoryBackend
from asyncmqd.backends.base import Turn
from asyncmqd.domain.settle import ISOLATE_AT, ISOLATION
from asyncmqd.domain.states import State
from tests.runtime.conftest import Bench
from tests.runtime.virtual import store_clock, virtual


class Scene:
    """A candidate beside other jobs: all say when they begin, and last until they are told."""

    def __init__(self, bench: Bench) -> None:
        self.bench = bench
        self.begun: dict[str, float] = {}
        self.ends: dict[str, asyncio.Event] = {}
        self._changed = asyncio.Event()
        bench.task(self._work, name="work")

    async def _work(self, name: str) -> None:
        self.begun[name] = asyncio.get_running_loop().time()
        self._changed.set()
        await self.ends[name].wait()

    async def add(self, name: str, crashes: int = 0) -> str:
        """With a number of crashes it is not assigned when added: it would be claimed without."""
        self.ends[name] = asyncio.Event()
        id = await self.bench.add("work", name, cost=2 if crashes else 1)
        assert isinstance(self.bench.backend, InMemoryBackend)
        self.bench.backend._store.queues["q"].rows[id].crashes = crashes
        return id

    async def begins(self, name: str) -> float:
        """When the job began, on the loop's clock."""
        while name not in self.begun:
            self._changed.clear()
            await self._changed.wait()
        return self.begun[name]

    async def marked(self, id: str) -> bool:
        return (await self.bench.record(id)).solo


@pytest.fixture
def scene(bench: Bench) -> Scene:
    return Scene(bench)


@virtual
async def test_a_candidate_begins_when_nothing_else_runs_and_nothing_begins_beside_it(
    scene: Scene,
) -> None:
    await scene.add("before")
    async with scene.bench.worker(concurrency=5):
        await scene.begins("before")
        candidate = await scene.add("candidate", ISOLATE_AT)
        await asyncio.sleep(1)
        other = await scene.add("beside")
        await asyncio.sleep(1)
        assert set(scene.begun) == {"before"}
        scene.ends["before"].set()
        await scene.begins("candidate")
        assert await scene.marked(candidate)
        await asyncio.sleep(1)
        assert (await scene.bench.record(other)).state is State.WAITING, "left for other daemons"
        scene.ends["candidate"].set()
        await scene.begins("beside")
        assert (await scene.bench.record(candidate)).state is State.COMPLETED
        scene.ends["beside"].set()


@virtual
async def test_of_a_batch_the_candidate_is_first(scene: Scene) -> None:
    for name, crashes in (("a", 0), ("b", 0), ("candidate", ISOLATE_AT)):
        await scene.add(name, crashes)
        scene.ends[name].set()
    async with scene.bench.worker(concurrency=5):
        moments = [await scene.begins(name) for name in ("candidate", "a", "b")]
    assert next(iter(scene.begun)) == "candidate"
    assert moments[1] - moments[0] < 0.1, "the others wait no longer than it takes"


@virtual
async def test_others_begin_after_a_time_and_the_mark_is_gone_by_then(scene: Scene) -> None:
    candidate = await scene.add("candidate", ISOLATE_AT)
    await scene.add("beside")
    async with scene.bench.worker(concurrency=5):
        since = await scene.begins("candidate")
        assert await scene.begins("beside") - since == pytest.approx(ISOLATION, abs=0.1)
        assert not await scene.marked(candidate)
        for end in scene.ends.values():
            end.set()
        await scene.bench.ended(candidate)


@virtual
async def test_a_candidate_runs_unmarked_beside_what_does_not_end(scene: Scene) -> None:
    await scene.add("endless")
    async with scene.bench.worker(concurrency=5):
        since = await scene.begins("endless")
        candidate = await scene.add("candidate", ISOLATE_AT)
        await scene.add("beside")
        assert await scene.begins("candidate") - since == pytest.approx(ISOLATION, abs=0.1)
        assert not await scene.marked(candidate)
        await scene.begins("beside")
        for end in scene.ends.values():
            end.set()
        await scene.bench.ended(candidate)


@virtual
async def test_a_candidate_that_waits_for_another_one_waits_for_its_trial_only(
    scene: Scene,
) -> None:
    """A job may wait for the result of a job that it enqueued."""
    await scene.add("parent", ISOLATE_AT)
    async with scene.bench.worker(concurrency=5):
        since = await scene.begins("parent")
        await scene.add("child", ISOLATE_AT)
        # Its turn comes after the parent's, and then it finds the process busy.
        assert await scene.begins("child") - since < 2 * ISOLATION + 2
        for end in scene.ends.values():
            end.set()


class SettlesLate(InMemoryBackend):
    """A success is applied a second after it was sent."""

    async def turn(self, queue: str, changes: list[object], *rest: object) -> Turn:
        if any(change.edge == "succeed" for change in changes):
            await asyncio.sleep(1)
        return await super().turn(queue, changes, *rest)


@virtual
async def test_nothing_begins_before_the_store_knows_that_the_candidate_has_ended(
    bench: Bench,
) -> None:
    """A crash in between would find the mark, and convict it."""
    bench.backend = SettlesLate(now=store_clock)
    scene = Scene(bench)
    candidate = await scene.add("candidate", ISOLATE_AT)
    await scene.add("beside")
    scene.ends["candidate"].set()
    async with bench.worker(concurrency=5):
        await scene.begins("beside")
        assert (await bench.record(candidate)).state is State.COMPLETED
        scene.ends["beside"].set()


@virtual
async def test_a_drain_ends_the_wait_for_quiet(scene: Scene) -> None:
    await scene.add("endless")
    async with scene.bench.worker(concurrency=5) as worker:
        await scene.begins("endless")
        candidate = await scene.add("candidate", ISOLATE_AT)
        await asyncio.sleep(1)
        assert worker.context.isolation.active
    record = await scene.bench.record(candidate)
    assert (record.state, record.solo, worker.context.isolation.active) == (
        State.WAITING,
        False,
        False,
    )


class Retiring(InMemoryBackend):
    """Counts how often it is told to wake others instead."""

    retired = 0

    async def retire(self, queue: str) -> None:
        self.retired += 1
        await super().retire(queue)


@virtual
async def test_a_wake_up_goes_to_others_while_a_candidate_is_tried(scene: Scene) -> None:
    """It would be lost here: a process in which a candidate runs alone claims nothing."""
    store = scene.bench.backend = Retiring(now=store_clock)
    await scene.add("candidate", ISOLATE_AT)
    async with scene.bench.worker(concurrency=5):
        await scene.begins("candidate")
        await asyncio.sleep(0.1)
        assert store.retired == 1
        await scene.add("other")
        await asyncio.sleep(0.1)
        assert store.retired == 2
        await scene.begins("other")  # once the trial is over
        for end in scene.ends.values():
            end.set()
    assert store.retired == 3  # at the drain
