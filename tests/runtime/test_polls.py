"""The two polls of a claim loop: with one slot the other one sleeps apart, until there is more."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from asyncmqd.backends import InMemoryBackend
from asyncmqd.backends.base import Turn
from asyncmqd.domain.queue_options import QueueOptions
from asyncmqd.runtime.claiming import loop
from asyncmqd.runtime.claiming.claim_decision import LoopState, next_step
from asyncmqd.runtime.worker import Worker
from tests.runtime.conftest import Bench
from tests.runtime.virtual import store_clock, virtual


class Slow(InMemoryBackend):
    """Knows how many claims and settlings were under way at the same time, at most."""

    def __init__(self) -> None:
        super().__init__(now=store_clock)
        self.under_way = 0
        self.most = 0

    async def turn(self, *args: Any) -> Turn:
        self.under_way += 1
        self.most = max(self.most, self.under_way)
        try:
            await asyncio.sleep(0.002)
            return await super().turn(*args)
        finally:
            self.under_way -= 1


@virtual
async def test_one_slot_costs_one_decision_a_job(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    decided: list[object] = []
    monkeypatch.setattr(loop, "next_step", lambda view: decided.append(view) or next_step(view))
    bench.backend = Slow()

    async def nothing() -> None:
        pass

    name = bench.task(nothing)
    ids = [await bench.add(name) for _ in range(100)]
    async with bench.worker(concurrency=1):
        await bench.ended(*ids)
        assert len(decided) < 110  # it was 300


@virtual
async def test_the_other_poll_comes_and_goes_with_the_slots(bench: Bench) -> None:
    bench.backend = store = Slow()

    async def nap() -> None:
        await asyncio.sleep(0.003)

    name = bench.task(nap)

    async def most_under_way() -> int:
        store.most = 0
        await bench.ended(*[await bench.add(name) for _ in range(200)])
        return store.most

    async with bench.worker(concurrency=1) as worker:
        assert await most_under_way() == 1
        worker.adjust(QueueOptions(concurrency=20))
        assert await most_under_way() == 2
        worker.adjust(QueueOptions(concurrency=1))
        assert await most_under_way() == 1
        worker.adjust(QueueOptions(concurrency=20))
        assert await most_under_way() == 2


@virtual
async def test_news_between_the_ends_of_both_polls_is_no_end_of_the_drain(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With one slot the second poll slept apart, until a poll that had ended would wake it."""
    async with bench.context() as context:
        worker = Worker("q", context, QueueOptions(concurrency=1))
        running = asyncio.create_task(worker.run())
        await asyncio.sleep(1)
        claims, wake_other = worker._claims, worker._claims._other_awake.set

        def wake_and_tell() -> None:
            wake_other()
            if claims.state is LoopState.LEFT:
                claims.look_for_assigned()

        monkeypatch.setattr(claims._other_awake, "set", wake_and_tell)
        running.cancel()
        assert await asyncio.wait([running], timeout=60) == ({running}, set())
