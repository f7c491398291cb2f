"""A filter over a million jobs: how long the first page takes. In a short run there are few."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterator

import pytest

from asyncmqd.admin.search import search
from asyncmqd.backends.base import BaseBackend, StoreError
from asyncmqd.client.pending import CallOptions, add_all, pending
from asyncmqd.domain.selection import Selection
from asyncmqd.domain.states import State
from tests.daemon.harness import Store
from tests.scale import scaled

JOBS, PART = scaled(1_000, 1_000_000), 1_000
TIMES = 5
FILTERS = {
    "of one task in ten": Selection(task="shop.send3"),
    "of a key that few have": Selection(key="customer7"),
    "of a task that none has": Selection(task="shop.sent"),
    "older than a day": Selection(older_than=86_400.0),
}


def batches() -> Iterator[tuple[str, str | None]]:
    """Task and key of each part."""
    for number in range(JOBS // PART):
        yield f"shop.send{number % 10}", f"customer{number % 1_000}"


async def fill(backend: BaseBackend) -> None:
    for task, key in batches():
        jobs = [pending(task, ("x",), {}, CallOptions(key=key)) for _ in range(PART)]
        while True:
            with contextlib.suppress(StoreError):  # a busy machine: they may be there, by their ids
                await add_all(backend, "many", jobs)
                break


@pytest.mark.timeout(1_800)
def test_the_first_page_of_many_jobs(store: Store, seen: Callable[[str], None]) -> None:
    store.do(fill)

    async def look(backend: BaseBackend) -> dict[str, list[float]]:
        took: dict[str, list[float]] = {name: [] for name in FILTERS}
        for _ in range(TIMES):
            for name, selection in FILTERS.items():
                began = time.perf_counter()
                found = await search(backend, selection, "many", [State.WAITING])
                took[name].append((time.perf_counter() - began) * 1_000)
                assert found.of == JOBS
                assert found.jobs or found.searched
        return took

    for name, each in store.do(look).items():
        seen(
            f"search of {JOBS:,} jobs, {store.url.partition(':')[0]}, {name}: first page in"
            f" {sorted(each)[TIMES // 2]:.0f} ms (at most 200), {max(each):.0f} at the worst"
        )
