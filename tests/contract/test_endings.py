"""Who waits for results is told of whatever ends or deletes a job, in any process."""

from __future__ import annotations

import asyncio

import msgspec
import pytest

import asyncmqd.backends.redis.ended_jobs
import asyncmqd.backends.sqlite.ended_jobs
from asyncmqd.backends.base import BaseBackend
from asyncmqd.backends.factory import open_backend
from asyncmqd.domain.settle import cancel, replay
from asyncmqd.domain.states import State
from tests.contract.conftest import Opener
from tests.contract.jobs import (
    LONG,
    QUEUE,
    Action,
    Preparation,
    apply,
    crashed,
    failed,
    fill,
    finish,
    job,
    names,
    parked,
    record,
    released,
    retried,
    succeeded,
    take_one,
)
from tests.eventually import LIMIT

FOR_LONG = 10 * LIMIT  # seconds: a missed message is a failure, not a delay


@pytest.fixture(autouse=True)
def _never_looks_again(monkeypatch: pytest.MonkeyPatch) -> None:
    """What a look at all jobs would find was not told."""
    for endings in (asyncmqd.backends.redis.ended_jobs, asyncmqd.backends.sqlite.ended_jobs):
        monkeypatch.setattr(endings, "SWEEP", FOR_LONG)


async def listens(backend: BaseBackend, *ids: str, queue: str = QUEUE) -> asyncio.Task[set[str]]:
    """Somebody who has looked at these jobs, none of which has ended, and who sleeps."""
    await backend.wait_ended({queue: ids}, 0.0)

    async def told() -> set[str]:
        while not (found := await backend.wait_ended({queue: ids}, FOR_LONG)):
            pass
        return found[queue]

    return asyncio.create_task(told())


async def told(listener: asyncio.Task[set[str]]) -> set[str]:
    async with asyncio.timeout(LIMIT):
        return await listener


async def end(backend: BaseBackend) -> Action:
    change = succeeded(await take_one(backend, "a"), b"1")
    return lambda other: apply(other, change)


async def fail(backend: BaseBackend) -> Action:
    change = failed(await take_one(backend, "a"))
    return lambda other: apply(other, change)


async def call_off(backend: BaseBackend) -> Action:
    await fill(backend, "a")
    change = cancel(await record(backend, "a"))
    return lambda other: apply(other, change)


async def call_off_a_parked_one(backend: BaseBackend) -> Action:
    await apply(backend, parked(await take_one(backend, "a"), "mod.f"))
    change = cancel(await record(backend, "a"))
    return lambda other: apply(other, change)


async def crash_once_too_often(backend: BaseBackend) -> Action:
    change = msgspec.structs.replace(
        crashed(await take_one(backend, "a", lease=0.0)), edge="quarantine"
    )
    return lambda other: apply(other, change)


async def remove(backend: BaseBackend) -> Action:
    await fill(backend, "a")
    return lambda other: other.remove(QUEUE, ["a"])


async def remove_a_running_one(backend: BaseBackend) -> Action:
    await take_one(backend, "a")
    return lambda other: other.remove(QUEUE, ["a"])


async def purge(backend: BaseBackend) -> Action:
    await backend.add(QUEUE, [job("a", delay=LONG)])
    return lambda other: other.purge(QUEUE, State.DELAYED)


async def replace(backend: BaseBackend) -> Action:
    await backend.declare(QUEUE, {"nightly": b"{}"}, True)
    instant = await backend.now() + 3_600
    await backend.fire(QUEUE, "nightly", instant, job("a"), None, "replace")
    return lambda other: other.fire(QUEUE, "nightly", instant + 1, job("b"), None, "replace")


ENDS = [
    end,
    fail,
    call_off,
    call_off_a_parked_one,
    crash_once_too_often,
    remove,
    remove_a_running_one,
    purge,
    replace,
]


@pytest.mark.parametrize("prepare", ENDS, ids=lambda each: each.__name__)
async def test_whatever_ends_a_job_is_told(
    backend: BaseBackend, open_store: Opener, prepare: Preparation
) -> None:
    other = await open_store()
    act = await prepare(other)
    listener = await listens(backend, "a")
    await act(other)
    assert await told(listener) == {"a"}


@pytest.mark.parametrize("prepare", ENDS, ids=lambda each: each.__name__)
async def test_the_first_call_for_a_queue_finds_what_ended_before(
    backend: BaseBackend, prepare: Preparation
) -> None:
    await (await prepare(backend))(backend)
    found = await backend.wait_ended({QUEUE: {"a"}}, 0.0)
    assert found == {QUEUE: {"a"}}


async def test_each_queue_has_a_first_call(backend: BaseBackend, open_store: Opener) -> None:
    await finish(backend, "a")
    await backend.wait_ended({"reports": {"x"}}, 0.0)
    found = await backend.wait_ended({"reports": {"x"}, QUEUE: {"a"}}, FOR_LONG)
    assert found[QUEUE] == {"a"}


async def test_each_queue_is_heard_from_its_first_call_on(
    backend: BaseBackend, open_store: Opener
) -> None:
    other = await open_store()
    await backend.wait_ended({"reports": {"x"}}, 0.0)
    claim = await take_one(other, "a")
    listener = await listens(backend, "a")
    await apply(other, succeeded(claim))
    assert await told(listener) == {"a"}


async def test_all_that_end_in_one_call_are_told_and_no_others(
    backend: BaseBackend, open_store: Opener
) -> None:
    other = await open_store()
    claims = [await take_one(other, id) for id in names(20)]
    listener = await listens(backend, *names(20))
    await apply(
        other, *map(succeeded, claims[:10]), retried(claims[10], LONG), released(claims[11])
    )
    assert await told(listener) == set(names(10))


async def test_an_end_before_the_next_call_is_not_missed(
    backend: BaseBackend, open_store: Opener
) -> None:
    other = await open_store()
    await fill(other, *names(20))
    await backend.wait_ended({QUEUE: names(20)}, 0.0)
    for id in names(20):
        await other.remove(QUEUE, [id])
        seen: set[str] = set()
        async with asyncio.timeout(LIMIT):
            while id not in seen:
                found = await backend.wait_ended({QUEUE: names(20)}, FOR_LONG)
                seen |= found.get(QUEUE, set())


async def test_ids_may_be_added_while_it_waits(backend: BaseBackend, open_store: Opener) -> None:
    other = await open_store()
    await fill(other, "a", "b")
    ids = {"a"}
    await backend.wait_ended({QUEUE: ids}, 0.0)
    listener = asyncio.create_task(backend.wait_ended({QUEUE: ids}, FOR_LONG))
    await asyncio.sleep(0)
    ids.add("b")
    await other.remove(QUEUE, ["b"])
    async with asyncio.timeout(LIMIT):
        assert await listener == {QUEUE: {"b"}}


async def test_the_ends_of_others_wake_nobody(backend: BaseBackend, open_store: Opener) -> None:
    other = await open_store()
    await other.add(QUEUE, [job("a", delay=LONG)])
    listener = await listens(backend, "a")
    await finish(other, "b")
    await finish(other, "c")
    await apply(other, replay(await record(other, "c")))
    await other.remove(QUEUE, ["a"])
    assert await told(listener) == {"a"}


async def test_a_wait_for_ends_is_over_when_its_time_is_up(backend: BaseBackend) -> None:
    await fill(backend, "a")
    await backend.wait_ended({QUEUE: {"a"}}, 0.0)
    async with asyncio.timeout(LIMIT):
        assert await backend.wait_ended({QUEUE: {"a"}}, 0.02) == {}


async def test_a_cancelled_wait_for_ends_misses_nothing(
    backend: BaseBackend, open_store: Opener
) -> None:
    other = await open_store()
    await fill(other, "a")
    for _ in range(3):
        listener = await listens(backend, "a")
        await asyncio.sleep(0)
        listener.cancel()
        await asyncio.wait([listener])
    await other.remove(QUEUE, ["a"])
    assert await told(asyncio.create_task(first(backend))) == {"a"}


async def first(backend: BaseBackend) -> set[str]:
    return (await backend.wait_ended({QUEUE: {"a"}}, FOR_LONG))[QUEUE]


async def test_after_it_was_closed_everything_is_looked_at(backend: BaseBackend) -> None:
    await fill(backend, "a")
    await backend.wait_ended({QUEUE: {"a"}}, 0.0)
    await backend.close()
    await backend.remove(QUEUE, ["a"])
    assert await first(backend) == {"a"}


async def test_several_processes_are_told(backend: BaseBackend, open_store: Opener) -> None:
    await fill(backend, "a")
    listeners = [await listens(await open_store(), "a") for _ in range(3)]
    gone = await open_store()
    await gone.wait_ended({QUEUE: {"a"}}, 0.0)
    await gone.close()
    await backend.remove(QUEUE, ["a"])
    assert [await told(each) for each in listeners] == [{"a"}] * 3


async def test_an_end_in_another_thread_is_told(backend: BaseBackend, store_url: str) -> None:
    async def elsewhere() -> None:
        other = open_backend(store_url)
        await other.remove(QUEUE, ["a"])
        await other.close()

    await fill(backend, "a")
    listener = await listens(backend, "a")
    await asyncio.to_thread(asyncio.run, elsewhere())
    assert await told(listener) == {"a"}
