"""When ended jobs are deleted: jobs that wait go first."""

from __future__ import annotations

import asyncio
from itertools import pairwise
from typing import Any

import pytest

from asyncmqd.backends import InMemoryBackend
from asyncmqd.backends.base import PAGE
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


class NeverTidy(NotesPrunings):
    """There is always more to delete."""

    async def prune(self, *args: Any, **kwargs: Any) -> int:
        await super().prune(*args, **kwargs)
        return PAGE


@virtual
async def test_pages_are_deleted_between_jobs_that_wait_and_else_one_after_the_other(
    bench: Bench,
) -> None:
    """Thousands at once would write as much as all of these jobs in that time."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(scanner, "TIDY_AFTER", 10)
        store = bench.backend = NeverTidy()
        bench.task(asyncio.sleep, name="work")
        for _ in range(250):
            await bench.add("work", 0.5)
        async with bench.worker(concurrency=10):
            await asyncio.sleep(11.8)  # twenty a second
            assert (await store.counts(["q"]))["q"].waiting
            busy = store.pruned[:]
            rests = [second - first for first, second in pairwise(busy)]
            assert min(rests) >= scanner.LONGEST_REST
            assert max(rests) < 1.1 * scanner.LONGEST_REST
            await asyncio.sleep(3)
            assert (await store.counts(["q"]))["q"].active == 0
            last, now = store.pruned[-2:]
            assert now - last < 1.1 * scanner.LEAST_NAP


@pytest.mark.parametrize(
    ("ended", "seconds", "expected"),
    [(5_000, 1.0, 0.08), (50_000, 1.0, 0.008), (1, 1.0, 0.1), (0, 1.0, 0.1), (500, 0.0, 0.0)],
)
def test_a_quarter_more_is_deleted_than_ends(ended: int, seconds: float, expected: float) -> None:
    assert scanner.rest_between_pages(ended, seconds) == pytest.approx(expected)
