"""A loop's task factory is the application's: an eager one begins none of our tasks at once."""

from __future__ import annotations

import asyncio
from contextvars import Context, ContextVar
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest

from asyncmqd import Queue, connect, run_worker, task
from asyncmqd.backends.factory import open_backend
from asyncmqd.client import connection
from asyncmqd.domain import loop_tasks
from asyncmqd.domain.loop_tasks import begin


@task(queue="factories", name="factories.double")
async def double(number: int) -> int:
    return 2 * number


def _plain(loop: asyncio.AbstractEventLoop, work: Any, **options: Any) -> asyncio.Task[Any]:
    return asyncio.Task(work, loop=loop, **options)


async def test_results_come_though_tasks_are_begun_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connection, "_default", None)
    connect(f"memory://{uuid4()}")
    eager = getattr(asyncio, "eager_task_factory", _plain)  # from Python 3.12 on
    asyncio.get_running_loop().set_task_factory(eager)
    worker = asyncio.create_task(run_worker("factories"))
    jobs = await asyncio.gather(*(double.enqueue(number) for number in range(5)))
    ended = await asyncio.gather(*(job.result(timeout=60) for job in jobs))
    assert ended == [0, 2, 4, 6, 8]
    assert (await Queue("factories").counts()).completed == 5
    worker.cancel()
    await asyncio.wait([worker])


async def test_a_factory_may_take_a_loop_and_a_coroutine_alone(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """As those did that were written before Python 3.11 and 3.13."""

    def factory(loop: asyncio.AbstractEventLoop, work: Any) -> asyncio.Task[Any]:
        return _plain(loop, work)

    monkeypatch.setattr(connection, "_default", None)
    connect(f"sqlite://{tmp_path}/jobs.db")
    asyncio.get_running_loop().set_task_factory(factory)
    jobs = await asyncio.wait_for(asyncio.gather(*map(double.enqueue, range(3))), 30)
    worker = asyncio.create_task(run_worker("factories"))
    assert await asyncio.gather(*(job.result(timeout=60) for job in jobs)) == [0, 2, 4]
    names = [task.get_name() for task in asyncio.all_tasks()]
    assert "scanner of factories" in names
    worker.cancel()
    await asyncio.wait([worker])


async def test_a_task_begun_in_a_context_runs_there() -> None:
    def factory(loop: asyncio.AbstractEventLoop, work: Any) -> asyncio.Task[Any]:
        return _plain(loop, work)

    where: ContextVar[str] = ContextVar("where", default="nowhere")
    where.set("here")

    async def tell() -> str:
        return where.get()

    for each in (None, factory):
        asyncio.get_running_loop().set_task_factory(each)
        assert await begin(tell()) == "here"
        task = begin(tell(), name="n", context=Context())
        assert task.get_name() == "n"
        assert await task == "nowhere"


async def test_a_factory_that_fails_costs_those_alone_who_waited_for_the_task(
    tmp_path: Path,
) -> None:
    def failing(loop: asyncio.AbstractEventLoop, work: Any) -> asyncio.Task[Any]:
        work.close()
        raise TypeError("no task")

    queue = Queue("q", open_backend(f"sqlite://{tmp_path}/jobs.db"))
    loop = asyncio.get_running_loop()
    calls = [asyncio.create_task(queue.add("x")) for _ in range(3)]
    loop.set_task_factory(failing)
    await asyncio.wait(calls, timeout=60)
    loop.set_task_factory(None)
    assert [type(call.exception()) for call in calls] == [type(None), TypeError, TypeError]
    assert (await asyncio.wait_for(queue.add("x"), 30)).created
    assert (await queue.counts()).waiting == 2
    await queue.backend.close()


async def test_only_an_eager_factory_is_passed_by(monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[str] = []

    def factory(loop: asyncio.AbstractEventLoop, work: Any, **options: Any) -> asyncio.Task[Any]:
        made.append(work.__name__)
        return _plain(loop, work, **options)

    asyncio.get_running_loop().set_task_factory(factory)
    await begin(asyncio.sleep(0))
    assert made == ["sleep"]
    monkeypatch.setattr(loop_tasks, "_EAGER", factory.__code__)
    await begin(asyncio.sleep(0), name="n")
    assert made == ["sleep"]
