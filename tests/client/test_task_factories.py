"""A loop's task factory is the application's: an eager one begins none of our tasks at once."""

from __future__ import annotations

import asyncio
from typing import Any
from uuid import uuid4

import pytest

from asyncmqd import Queue, connect, run_worker, task
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
