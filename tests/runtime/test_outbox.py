"""Concurrent `enqueue` calls share round trips; a lone one waits for nobody."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import pytest

from asyncmqd import Job, Queue
from asyncmqd.backends import InMemoryBackend
from asyncmqd.backends.base import StoreError, StoreUncertain
from asyncmqd.backends.call_withdrawal import departing
from asyncmqd.client import outbox
from asyncmqd.domain.job import Added, NewJob
from tests.runtime.virtual import store_clock, virtual


class Slow(InMemoryBackend):
    """Each round trip takes a second, and is noted."""

    def __init__(self) -> None:
        super().__init__(now=store_clock)
        self.trips: list[list[str]] = []
        self.error: Exception | None = None

    async def add(self, queue: str, jobs: Sequence[NewJob]) -> list[Added]:
        self.trips.append([job.id for job in jobs])
        await asyncio.sleep(1)
        if self.error is not None:
            raise self.error
        return await super().add(queue, jobs)


def now() -> float:
    return asyncio.get_running_loop().time()


@virtual
async def test_a_lone_call_goes_out_at_once_and_what_comes_meanwhile_leaves_together() -> None:
    store = Slow()
    queue = Queue("q", store)
    ids = [f"job-{number}" for number in range(50)]
    began = now()
    jobs = await asyncio.gather(*(queue.add("x", job_id=id) for id in ids))
    assert store.trips == [ids[:1], ids[1:]]
    assert now() - began == 2
    assert [job.id for job in jobs] == ids
    assert [job.id for job in await queue.jobs("waiting")] == ids


@virtual
async def test_callers_that_go_on_and_on_share_every_round_trip() -> None:
    store = Slow()
    queue = Queue("q", store)

    async def lane() -> None:
        for _ in range(5):
            await queue.add("x")

    await asyncio.gather(*(lane() for _ in range(20)))
    # The first caller is one trip ahead of the others, and never alone again.
    assert [len(trip) for trip in store.trips] == [1, 19, 20, 20, 20, 20]


@virtual
async def test_two_queues_do_not_wait_for_each_other() -> None:
    store = Slow()
    began = now()
    await asyncio.gather(*(Queue(name, store).add("x") for name in ("one", "two")))
    assert now() - began == 1


@virtual
async def test_each_caller_learns_whether_its_job_is_new() -> None:
    queue = Queue("q", Slow())
    ids = ["first", "a", "b", "a", "first"]
    jobs: list[Job] = await asyncio.gather(*(queue.add("x", job_id=id) for id in ids))
    assert [job.created for job in jobs] == [True, True, True, False, False]


@virtual
async def test_a_failure_is_told_to_all_whose_jobs_were_on_the_way_and_to_nobody_else() -> None:
    store = Slow()
    store.error = StoreError("it is down")
    queue = Queue("q", store)
    calls = [asyncio.ensure_future(queue.add("x")) for _ in range(3)]
    await asyncio.wait(calls)
    errors = [call.exception() for call in calls]
    assert [str(error) for error in errors] == ["it is down"] * 3
    assert len({id(error) for error in errors}) == 3
    store.error = None
    assert (await queue.add("x")).created


class Odd(Exception):
    """Of a store that is not ours: it is made of other things than it shows."""

    def __init__(self, first: str, second: str) -> None:
        super().__init__(f"{first} {second}")


@virtual
async def test_an_error_that_cannot_be_copied_reaches_everybody_too() -> None:
    store = Slow()
    store.error = Odd("not", "ours")
    queue = Queue("q", store)
    calls = [asyncio.ensure_future(queue.add("x")) for _ in range(3)]
    await asyncio.wait(calls)
    assert [str(call.exception()) for call in calls] == ["not ours"] * 3


@virtual
async def test_a_cancelled_caller_takes_nobody_along() -> None:
    store = Slow()
    queue = Queue("q", store)
    lone, waiting, other = (
        asyncio.ensure_future(queue.add("x", job_id=id)) for id in ("lone", "waiting", "other")
    )
    await asyncio.sleep(0.5)
    waiting.cancel()
    lone.cancel()
    assert (await other).id == "other"
    assert store.trips == [["lone"], ["other"]]


class Departing(InMemoryBackend):
    """Each round trip waits at the gate, and says whether it is through; it ends when told to."""

    timeout = 5.0

    def __init__(self) -> None:
        super().__init__(now=store_clock)
        self.gate, self.end = asyncio.Event(), asyncio.Event()

    async def add(self, queue: str, jobs: Sequence[NewJob]) -> list[Added]:
        departure = departing.get()
        if departure is not None:
            departure.has_begun = self.gate.is_set
        await self.gate.wait()
        added = await super().add(queue, jobs)
        await self.end.wait()
        return added


@virtual
@pytest.mark.parametrize(
    ("begun", "kind", "stored"),
    [(False, StoreError, ["young"]), (True, StoreUncertain, ["late", "young"])],
)
async def test_who_gives_up_is_told_whether_the_job_may_be_stored(
    begun: bool, kind: type[StoreError], stored: list[str]
) -> None:
    """And who called later, and is on the same round trip, waits on."""
    store = Departing()
    queue = Queue("q", store)
    first, late = (asyncio.ensure_future(queue.add("x", job_id=id)) for id in ("first", "late"))
    await asyncio.sleep(3)
    young = asyncio.ensure_future(queue.add("x", job_id="young"))
    await asyncio.sleep(1)
    first.cancel()  # the two leave together
    await asyncio.sleep(0.5)
    if begun:
        store.gate.set()
    await asyncio.wait([late])
    assert now() == pytest.approx(5)
    assert type(late.exception()) is kind
    store.gate.set()
    store.end.set()
    assert (await young).created
    assert [job.id for job in await queue.jobs("waiting")] == stored


def job(size: int) -> NewJob:
    return NewJob(id="x", payload=b"x" * size)


@pytest.mark.parametrize(
    ("sizes", "counts"),
    [
        ([1] * 25, [10, 10, 5]),
        ([50, 50, 1, 99, 101, 1], [2, 2, 1, 1]),
        ([500], [1]),
        ([], []),
    ],
)
def test_a_round_trip_carries_so_many_jobs_and_so_many_bytes(
    monkeypatch: pytest.MonkeyPatch, sizes: list[int], counts: list[int]
) -> None:
    monkeypatch.setattr(outbox, "BULK", 10)
    monkeypatch.setattr(outbox, "BULK_BYTES", 100)
    jobs = [job(size) for size in sizes]
    found = list(outbox.batches(jobs))
    assert [len(batch) for batch in found] == counts
    assert [each for batch in found for each in batch] == jobs
