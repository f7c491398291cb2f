"""Who cancels a worker that claims by itself ends it, at whatever moment of a job's life."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest

from asyncmqd import handle_job, worker_loop
from asyncmqd.backends.base import BaseBackend, StoreError
from asyncmqd.domain.codec import encode_spec
from asyncmqd.domain.job import Claim, JobSpec, NewJob
from asyncmqd.domain.states import State
from asyncmqd.domain.tasks import REGISTRY, TaskDef, TaskOptions
from tests.contract.conftest import Opener
from tests.contract.jobs import LEASE, QUEUE, job, state
from tests.eventually import LIMIT

MOMENTS = 12  # turns of the loop after the job ran


class Ended:
    """The job's task, which tells that it has run."""

    def __init__(self) -> None:
        self.ran = asyncio.Event()


@pytest.fixture
async def ended() -> AsyncIterator[Ended]:
    told = Ended()

    async def noop() -> None:
        told.ran.set()

    REGISTRY._tasks["t"] = TaskDef(noop, "t", TaskOptions())
    yield told
    del REGISTRY._tasks["t"]


def _job(turns: int) -> NewJob:
    return job(f"{turns}", payload=encode_spec(JobSpec(id=f"{turns}", task="t")))


async def _ends(work: asyncio.Task[None], ended: Ended, turns: int) -> bool:
    """Whether it ends when it is cancelled so many turns after its job ran."""
    await asyncio.wait_for(ended.ran.wait(), LIMIT)
    ended.ran.clear()
    for _ in range(turns):
        await asyncio.sleep(0)
    in_time = work.cancel()
    await asyncio.wait([work], timeout=LIMIT)
    return work.cancelled() if in_time else work.done()


async def test_a_worker_loop_ends(open_store: Opener, ended: Ended) -> None:
    backend = await open_store()
    for turns in range(MOMENTS):
        work = asyncio.create_task(worker_loop(QUEUE, 1, backend))
        await backend.add(QUEUE, [_job(turns)])
        assert await _ends(work, ended, turns), turns
        assert await state(backend, f"{turns}") in {State.WAITING, State.COMPLETED}
        await backend.purge(QUEUE, State.WAITING)


async def test_a_worker_loop_ends_whose_store_fails_meanwhile(
    backend: BaseBackend, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It waits for the claim that is under way, to hand back what that brings."""
    asked, goes_on = asyncio.Event(), asyncio.Event()

    async def fail(*_: object) -> list[Claim]:
        asked.set()
        await goes_on.wait()
        raise StoreError("down")

    monkeypatch.setattr(backend, "claim", fail)
    work = asyncio.create_task(worker_loop(QUEUE, 1, backend))
    await asyncio.wait_for(asked.wait(), LIMIT)
    work.cancel()
    await asyncio.sleep(0)
    goes_on.set()
    await asyncio.wait([work], timeout=LIMIT)
    assert work.cancelled()


async def test_handle_job_ends_and_the_job_s_end_counts(backend: BaseBackend, ended: Ended) -> None:
    for turns in range(MOMENTS):
        await backend.add(QUEUE, [_job(turns)])
        (claim,) = await backend.claim(QUEUE, 1, LEASE, "w")
        work = asyncio.create_task(handle_job(QUEUE, claim, backend))
        assert await _ends(work, ended, turns), turns
        assert await state(backend, f"{turns}") in {State.WAITING, State.COMPLETED}
        await backend.purge(QUEUE, State.WAITING)
