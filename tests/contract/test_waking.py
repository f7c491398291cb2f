"""Sleeping workers are woken by whatever makes a job claimable, in any process."""

from __future__ import annotations

import asyncio

import pytest

from asyncmqd.backends.base import BaseBackend
from asyncmqd.backends.factory import open_backend
from asyncmqd.domain.job import Claim
from asyncmqd.domain.settle import replay, run_now
from asyncmqd.domain.states import State
from tests.contract.conftest import Opener
from tests.contract.jobs import (
    LEASE,
    LONG,
    QUEUE,
    Action,
    Preparation,
    apply,
    crashed,
    failed,
    fill,
    ids,
    ids_in,
    job,
    names,
    parked,
    record,
    released,
    take,
    take_one,
)
from tests.eventually import LIMIT, eventually


async def worker(backend: BaseBackend, sleeps: asyncio.Event) -> list[Claim]:
    """What a worker does: look, sleep until woken, look again."""
    while not (claims := await backend.claim(QUEUE, 1, LEASE, "sleeper")):
        sleeps.set()
        await backend.wait([QUEUE], 10 * LIMIT)  # a missed wake-up is a failure, not a delay
    return claims


async def asleep(backend: BaseBackend) -> asyncio.Task[list[Claim]]:
    """A worker that has looked, found nothing, and sleeps."""
    await backend.wait([QUEUE], 0.0)
    sleeps = asyncio.Event()
    sleeper = asyncio.create_task(worker(backend, sleeps))
    await sleeps.wait()
    return sleeper


async def woken(sleeper: asyncio.Task[list[Claim]]) -> list[str]:
    async with asyncio.timeout(LIMIT):
        return ids(await sleeper)


async def test_the_first_wait_says_to_look_at_all_queues(backend: BaseBackend) -> None:
    async with asyncio.timeout(LIMIT):
        assert await backend.wait(["mail", "reports"], LONG) == {"mail", "reports"}


async def test_a_wait_ends_when_its_time_is_up(backend: BaseBackend) -> None:
    await backend.wait([QUEUE], LONG)
    async with asyncio.timeout(LIMIT):
        assert await backend.wait([QUEUE], 0.02) <= {QUEUE}


async def test_a_job_added_elsewhere_wakes_a_worker(
    backend: BaseBackend, open_store: Opener
) -> None:
    sleeper = await asleep(backend)
    await fill(await open_store(), "a")
    assert await woken(sleeper) == ["a"]


async def test_a_job_added_by_itself_wakes_a_worker(backend: BaseBackend) -> None:
    sleeper = await asleep(backend)
    await fill(backend, "a")
    assert await woken(sleeper) == ["a"]


async def test_a_job_added_in_another_thread_wakes_a_worker(
    backend: BaseBackend, open_store: Opener, store_url: str
) -> None:
    async def elsewhere() -> None:
        other = open_backend(store_url)
        await fill(other, "a")
        await other.close()

    sleeper = await asleep(backend)
    await asyncio.to_thread(asyncio.run, elsewhere())
    assert await woken(sleeper) == ["a"]


async def test_a_job_added_between_the_look_and_the_sleep_is_not_missed(
    backend: BaseBackend, open_store: Opener
) -> None:
    other = await open_store()
    await backend.wait([QUEUE], 0.0)
    for id in names(20):
        assert await backend.claim(QUEUE, 1, LEASE, "w") == []
        await fill(other, id)
        async with asyncio.timeout(LIMIT):
            while QUEUE not in await backend.wait([QUEUE], 10 * LIMIT):
                pass
        assert ids(await backend.claim(QUEUE, 1, LEASE, "w")) == [id]


async def prepare_promote(backend: BaseBackend) -> Action:
    await backend.add(QUEUE, [job("a", delay=0.001)])

    async def moved(other: BaseBackend) -> None:
        await eventually(lambda: other.move_due(QUEUE))

    return moved


async def prepare_run_now(backend: BaseBackend) -> Action:
    await backend.add(QUEUE, [job("a", delay=LONG)])
    change = run_now(await record(backend, "a"))
    return lambda other: apply(other, change)


async def prepare_release(backend: BaseBackend) -> Action:
    change = released(await take_one(backend, "a"))
    return lambda other: apply(other, change)


async def prepare_recover(backend: BaseBackend) -> Action:
    change = crashed(await take_one(backend, "a", lease=0.0))
    return lambda other: apply(other, change)


async def prepare_replay(backend: BaseBackend) -> Action:
    await apply(backend, failed(await take_one(backend, "a")))
    change = replay(await record(backend, "a"))
    return lambda other: apply(other, change)


async def prepare_unpark(backend: BaseBackend) -> Action:
    await apply(backend, parked(await take_one(backend, "a"), "mod.f"))
    return lambda other: other.unpark(QUEUE, ["mod.f"])


async def prepare_resume(backend: BaseBackend) -> Action:
    await backend.pause(QUEUE, True)
    await fill(backend, "a")
    return lambda other: other.pause(QUEUE, False)


async def prepare_fire(backend: BaseBackend) -> Action:
    now = await backend.declare(QUEUE, {"nightly": b"{}"}, True)
    return lambda other: other.fire(QUEUE, "nightly", now + 1, job("a"))


PREPARATIONS = [
    prepare_promote,
    prepare_run_now,
    prepare_release,
    prepare_recover,
    prepare_replay,
    prepare_unpark,
    prepare_resume,
    prepare_fire,
]


@pytest.mark.parametrize("prepare", PREPARATIONS, ids=lambda each: each.__name__[8:])
async def test_whatever_makes_a_job_claimable_wakes_a_worker(
    backend: BaseBackend, open_store: Opener, prepare: Preparation
) -> None:
    other = await open_store()
    act = await prepare(other)
    sleeper = await asleep(backend)
    await act(other)
    assert await woken(sleeper) == ["a"]


@pytest.mark.parametrize("keys", [[""], ["a"], ["a", "b"]])
async def test_one_batch_wakes_as_many_workers_as_it_has_work_for(
    backend: BaseBackend, open_store: Opener, keys: list[str]
) -> None:
    sleepers = [await asleep(await open_store()) for _ in range(4)]
    await backend.add(QUEUE, [job(id, key=keys[n % len(keys)]) for n, id in enumerate(names(4))])
    taken = await asyncio.gather(*map(woken, sleepers))
    assert sorted(id for one in taken for id in one) == names(4)


async def test_resuming_wakes_all_workers(backend: BaseBackend, open_store: Opener) -> None:
    await backend.pause(QUEUE, True)
    await fill(backend, *names(3))
    sleepers = [await asleep(await open_store()) for _ in range(3)]
    await backend.pause(QUEUE, False)
    taken = await asyncio.gather(*map(woken, sleepers))
    assert sorted(id for one in taken for id in one) == names(3)


async def test_pausing_wakes_all_workers_who_tell_of_it(
    backend: BaseBackend, open_store: Opener
) -> None:
    others = [await open_store() for _ in range(2)]
    for each in others:
        await each.wait([QUEUE], 0.0)
        assert await each.claim(QUEUE, 1, LEASE, "idle") == []
    waits = [asyncio.create_task(each.wait([QUEUE], 10 * LIMIT)) for each in others]
    await backend.pause(QUEUE, True)
    async with asyncio.timeout(LIMIT):
        assert await asyncio.gather(*waits) == [{QUEUE}] * 2


async def test_a_worker_that_closed_does_not_swallow_the_wake_up(
    backend: BaseBackend, open_store: Opener
) -> None:
    gone = [await open_store() for _ in range(3)]
    for each in gone:
        await each.wait([QUEUE], 0.0)
        assert await each.claim(QUEUE, 1, LEASE, "gone") == []
    sleeper = await asleep(backend)
    for each in gone:
        await each.close()
    await fill(await open_store(), "a")
    assert await woken(sleeper) == ["a"]


async def test_the_answer_names_the_queue_with_work(
    backend: BaseBackend, open_store: Opener
) -> None:
    other = await open_store()
    queues = ["mail", "reports", "images"]
    await backend.wait(queues, 0.0)
    for queue in queues:
        assert await backend.claim(queue, 1, LEASE, "w") == []
    await fill(other, "a", queue="reports")
    async with asyncio.timeout(LIMIT):
        while not (found := await backend.wait(queues, 10 * LIMIT)):
            pass
    assert found == {"reports"}


async def test_a_cancelled_wait_leaves_the_store_usable(
    backend: BaseBackend, open_store: Opener
) -> None:
    for _ in range(3):
        sleeper = await asleep(backend)
        sleeper.cancel()
        with pytest.raises(asyncio.CancelledError):
            await sleeper
    sleeper = await asleep(backend)
    await fill(await open_store(), "a")
    assert await woken(sleeper) == ["a"]
    assert await ids_in(backend, State.ACTIVE) == ["a"]


async def test_work_that_is_there_needs_no_wake_up(backend: BaseBackend) -> None:
    await fill(backend, "a", "b")
    assert ids(await worker(backend, asyncio.Event())) == ["a"]
    assert ids(await take(backend)) == ["b"]


async def test_one_that_retired_is_not_woken_in_the_place_of_another(
    backend: BaseBackend, open_store: Opener
) -> None:
    retired = [await open_store() for _ in range(4)]
    for each in retired:
        await each.wait([QUEUE], 0.0)
        assert await each.claim(QUEUE, 1, LEASE, "retired") == []
    sleeper = await asleep(backend)
    for each in retired:
        await each.retire(QUEUE)
    await fill(retired[0], "a")
    assert await woken(sleeper) == ["a"]


async def test_a_wake_up_on_its_way_to_one_that_retires_is_passed_on(
    backend: BaseBackend, open_store: Opener
) -> None:
    retiring = await open_store()
    await retiring.wait([QUEUE], 0.0)
    for id in names(20):  # either of the two may be the one that is woken
        assert await retiring.claim(QUEUE, 1, LEASE, "retiring") == []
        sleeper = await asleep(backend)
        await fill(retiring, id)
        await retiring.retire(QUEUE)
        assert await woken(sleeper) == [id]
