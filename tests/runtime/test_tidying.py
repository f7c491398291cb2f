"""When ended jobs are deleted: jobs that wait go first."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from asyncmqd.backends import InMemoryBackend
from asyncmqd.runtime import scanner
from tests.runtime.conftest import Bench
from tests.runtime.virtual import store_clock, virtual

KEPT = 3


class NotesPrunings(InMemoryBackend):
    """Notes the loop time of each pruning."""

    def __init__(self) -> None:
        super().__init__(now=store_clock)
        self.pruned: list[float] = []

    async def prune(self, *args: Any, **kwargs: Any) -> int:
        self.pruned.append(asyncio.get_running_loop().time())
        return await super().prune(*args, **kwargs)


@virtual
async def test_a_busy_queue_is_pruned_seldom_and_a_quiet_one_at_once(bench: Bench) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(scanner, "TIDY_AFTER", 10)
        store = bench.backend = NotesPrunings()
        bench.task(asyncio.sleep, name="work")
        for _ in range(250):
            await bench.add("work", 0.5)
        async with bench.worker(concurrency=10, keep_completed=KEPT):
            await asyncio.sleep(11.8)  # twenty a second
            assert (await store.counts(["q"]))["q"].waiting
            first, second = store.pruned
            assert second - first >= scanner.TIDY_BUSY
            await asyncio.sleep(3)
            assert (await store.counts(["q"]))["q"].completed == KEPT
