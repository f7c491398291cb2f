"""Delayed jobs: when they come back, in which order, and where they stand then."""

from __future__ import annotations

import asyncio

import pytest

from asyncmqd.backends.base import PAGE, BaseBackend
from asyncmqd.domain.settle import run_now
from asyncmqd.domain.states import State
from tests.contract.conftest import Opener
from tests.contract.jobs import (
    LONG,
    QUEUE,
    apply,
    fill,
    ids,
    ids_in,
    job,
    names,
    record,
    released,
    retried,
    state,
    take,
    take_one,
)
from tests.eventually import eventually


async def until_due(backend: BaseBackend, *expected: str) -> None:
    """Wait for the store's clock to pass the due times of these jobs."""
    found = await backend.get(QUEUE, expected)
    last = max(each.due for each in found if each and each.due is not None)

    async def passed() -> bool:
        return await backend.now() > last

    await eventually(passed)


async def test_a_delayed_job_waits_for_its_time(backend: BaseBackend) -> None:
    before = await backend.now()
    await backend.add(QUEUE, [job("a", delay=LONG)])
    assert await backend.move_due(QUEUE) == 0
    assert await take(backend) == []
    delayed = await record(backend, "a")
    assert delayed.state is State.DELAYED
    assert delayed.due == pytest.approx(before + LONG, abs=10)


async def test_jobs_come_back_earliest_first_behind_those_that_wait(backend: BaseBackend) -> None:
    await backend.add(
        QUEUE, [job("c", delay=0.03), job("a", delay=0.01), job("b", delay=0.02), job("waits")]
    )
    await until_due(backend, "a", "b", "c")
    assert await backend.move_due(QUEUE) == 3
    assert ids(await take(backend)) == ["waits", "a", "b", "c"]


async def test_promotion_never_passes_a_better_priority(backend: BaseBackend) -> None:
    await backend.add(
        QUEUE,
        [job("urgent", priority=1, delay=0.01), job("idle", priority=9, delay=0.002), job("b")],
    )
    await until_due(backend, "urgent", "idle")
    await backend.move_due(QUEUE)
    assert ids(await take(backend)) == ["urgent", "b", "idle"]


async def test_jobs_that_are_due_are_moved_in_pages(backend: BaseBackend) -> None:
    many = names(5)
    await backend.add(QUEUE, [job(id, delay=0.002 * n) for n, id in enumerate(many, 1)])
    await backend.add(QUEUE, [job("far", delay=LONG)])
    await until_due(backend, *many)
    assert await backend.move_due(QUEUE, 2) == 2
    assert await ids_in(backend, State.WAITING) == many[:2]
    assert [await backend.move_due(QUEUE, 2) for _ in range(3)] == [2, 1, 0]
    assert await ids_in(backend, State.WAITING) == many


async def test_one_call_moves_at_most_a_page(backend: BaseBackend) -> None:
    many = names(PAGE + 10)
    await backend.add(QUEUE, [job(id, delay=0.001) for id in many])
    await until_due(backend, *many)
    assert [await backend.move_due(QUEUE) for _ in range(3)] == [PAGE, 10, 0]
    assert len(await take(backend, 1_000)) == PAGE + 10


async def test_jobs_added_together_with_one_delay_come_back_in_their_order(
    backend: BaseBackend,
) -> None:
    many = names(12)  # more than nine, so that the order of the ids is another one
    await backend.add(QUEUE, [job(id, delay=0.002) for id in many])
    await until_due(backend, *many)
    await backend.move_due(QUEUE)
    assert ids(await take(backend)) == many


async def test_jobs_retried_together_come_back_in_their_order(backend: BaseBackend) -> None:
    many = names(12)
    await fill(backend, *many)
    await apply(backend, *(retried(claim, 0.0) for claim in await take(backend)))
    await until_due(backend, *many)
    await backend.move_due(QUEUE)
    assert ids(await take(backend)) == many


async def test_the_outlook_names_the_next_due_time(backend: BaseBackend) -> None:
    assert (await backend.outlook([QUEUE]))[QUEUE].next_due is None
    await backend.add(QUEUE, [job("far", delay=2 * LONG), job("near", delay=LONG), job("now")])
    outlook = (await backend.outlook([QUEUE]))[QUEUE]
    assert outlook.waiting == 1
    assert outlook.next_due == (await record(backend, "near")).due


async def test_a_retry_stands_behind_all_of_its_priority(backend: BaseBackend) -> None:
    claim = await take_one(backend, "a")
    await fill(backend, "b")
    assert await apply(backend, retried(claim, 0.0)) == ["applied"]
    again = await record(backend, "a")
    assert (again.state, again.failures, again.attempt) == (State.DELAYED, 1, 2)
    assert b"OSError" in again.error
    assert await backend.move_due(QUEUE) == 1
    assert ids(await take(backend)) == ["b", "a"]


async def test_a_retry_waits_its_pause(backend: BaseBackend) -> None:
    claim = await take_one(backend, "a")
    now = await backend.now()
    await apply(backend, retried(claim, LONG))
    assert await backend.move_due(QUEUE) == 0
    assert (await record(backend, "a")).due == pytest.approx(now + LONG, abs=10)


async def test_a_snoozed_job_is_not_charged(backend: BaseBackend) -> None:
    claim = await take_one(backend, "a")
    assert await apply(backend, released(claim, LONG)) == ["applied"]
    snoozed = await record(backend, "a")
    assert (snoozed.state, snoozed.failures, snoozed.error) == (State.DELAYED, 0, b"")


async def test_a_job_that_is_run_now_goes_behind_those_that_wait(backend: BaseBackend) -> None:
    await backend.add(QUEUE, [job("a", delay=LONG), job("b")])
    assert await apply(backend, run_now(await record(backend, "a"))) == ["applied"]
    assert (await record(backend, "a")).due is None
    assert ids(await take(backend)) == ["b", "a"]


async def test_a_retry_that_is_run_now_keeps_its_attempts(backend: BaseBackend) -> None:
    await apply(backend, retried(await take_one(backend, "a"), LONG))
    await apply(backend, run_now(await record(backend, "a")))
    [claim] = await take(backend)
    assert claim.failures == 1


async def test_only_delayed_jobs_can_be_run_now(backend: BaseBackend) -> None:
    await fill(backend, "a")
    assert await apply(backend, run_now(await record(backend, "a"))) == ["already"]
    assert await state(backend, "a") is State.WAITING


async def test_many_promoters_move_each_job_once(backend: BaseBackend, open_store: Opener) -> None:
    other = await open_store()
    many = names(300)
    await backend.add(QUEUE, [job(id, delay=0.001) for id in many])
    await until_due(backend, *many)
    moved = await asyncio.gather(*(store.move_due(QUEUE, 50) for store in [backend, other] * 5))
    assert sum(moved) == 300
    assert sorted(ids(await take(backend, 1_000))) == sorted(many)
