"""What `result()` and its like say and give, on each kind of store, with a loop or without."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from datetime import timedelta
from pathlib import Path
from uuid import uuid4

import msgspec
import pytest

from asyncmqd import Job, JobFailed, JobGone, State, connect, task
from asyncmqd.backends import BaseBackend
from asyncmqd.client import connection
from asyncmqd.client.sync_calls import run_sync
from tests.contract.jobs import apply, failed, parked, succeeded
from tests.servers import USUAL, RedisServer

SOON = 0.01  # seconds; what is waited for never comes


@task(queue="mail", name="client.answer")
async def answer() -> int:
    """Never run here: the tests take its jobs by hand."""
    return 42


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RedisServer]:
    with RedisServer(USUAL, tmp_path_factory.mktemp("redis")) as running:
        yield running


@pytest.fixture(params=["memory", "sqlite", "redis"])
def url(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.setattr(connection, "_default", None)
    if request.param == "memory":
        return f"memory://{uuid4()}"
    if request.param == "sqlite":
        return f"sqlite://{tmp_path}/jobs.db"
    server: RedisServer = request.getfixturevalue("server")
    server.flush()
    return server.url


@pytest.fixture
async def store(url: str) -> AsyncIterator[BaseBackend]:
    opened = connect(url)
    yield opened
    await opened.close()


async def run(store: BaseBackend, result: bytes = b"42") -> None:
    [claim] = await store.claim("mail", 1, 60, "w")
    assert await apply(store, succeeded(claim, result)) == ["applied"]


def text(error: pytest.ExceptionInfo[TimeoutError], job: Job) -> str:
    return str(error.value).replace(job.id, "JOB")


@pytest.mark.parametrize("timeout", [0, 0.0, -1, SOON, "10ms", timedelta(milliseconds=10)])
async def test_a_job_that_has_ended_gives_its_result_however_short_the_time(
    store: BaseBackend, timeout: float | str | timedelta
) -> None:
    job = await answer.enqueue()
    await run(store)
    assert await job.result(timeout=timeout) == 42


async def test_a_time_that_is_none_is_refused_by_name(store: BaseBackend) -> None:
    job = await answer.enqueue()
    with pytest.raises(ValueError, match=r"timeout: expected seconds .*, got 'soon'"):
        await job.result(timeout="soon")


@pytest.mark.parametrize("timeout", [0, SOON])
async def test_a_job_that_failed_or_is_gone_says_so_however_short_the_time(
    store: BaseBackend, timeout: float
) -> None:
    job = await answer.enqueue()
    [claim] = await store.claim("mail", 1, 60, "w")
    await apply(store, failed(claim))
    with pytest.raises(JobFailed, match="is failed: E: boom"):
        await job.result(timeout=timeout)
    await job.remove()
    with pytest.raises(JobGone):
        await job.result(timeout=timeout)


async def test_a_time_out_says_that_nobody_serves_the_queue(store: BaseBackend) -> None:
    job = await answer.enqueue()
    with pytest.raises(TimeoutError) as error:
        await job.result(timeout=SOON)
    assert text(error, job) == (
        "job JOB (client.answer) in queue mail is waiting after 0.01 s: nobody serves the queue"
    )


async def test_a_time_out_says_in_which_state_the_job_is(store: BaseBackend) -> None:
    await store.beat("w", msgspec.json.encode({"queues": {"mail": {"concurrency": 1}}}), 60)
    job = await answer.enqueue()
    late = await answer.options(delay=1_000).enqueue()
    for each, state in ((job, "waiting"), (late, "delayed")):
        with pytest.raises(TimeoutError) as error:
            await each.result(timeout=0)
        assert text(error, each) == f"job JOB (client.answer) in queue mail is {state} after 0 s"
    await store.claim("mail", 1, 60, "w")
    with pytest.raises(TimeoutError, match=r"queue mail is active after 0\.01 s$"):
        await Job.from_ref(job.ref).result(timeout=SOON)


async def test_a_time_out_says_that_no_worker_knows_the_task(store: BaseBackend) -> None:
    await store.beat("w", b'{"queues": {"mail": {}}}', 60)
    job = await answer.enqueue()
    [claim] = await store.claim("mail", 1, 60, "w")
    await apply(store, parked(claim, "client.answer"))
    with pytest.raises(TimeoutError, match="is waiting after 0 s: no worker there knows its task"):
        await job.result(timeout=0)
    await store.beat("w", b'{"queues": {"mail": {}}, "tasks": ["client.answers"]}', 60)
    with pytest.raises(TimeoutError, match=r"its task \(did you mean client\.answers\?\)"):
        await job.result(timeout=0)


async def test_workers_of_another_release_do_not_hide_the_state(store: BaseBackend) -> None:
    await store.beat("w", b"no JSON", 60)
    await store.beat("x", b'{"queues": 5}', 60)
    job = await answer.enqueue()
    with pytest.raises(TimeoutError, match="is waiting after 0 s: nobody serves the queue"):
        await job.result(timeout=0)


def test_code_without_a_loop_asks_for_all_of_it(url: str) -> None:
    async def work(end: bool) -> None:
        store = connection.resolve(url)
        [claim] = await store.claim("mail", 1, 60, "w")
        await apply(store, succeeded(claim, b"42") if end else failed(claim))
        await store.close()

    connect(url)
    job = answer.enqueue_sync()
    assert job.state_sync() is State.WAITING
    with pytest.raises(TimeoutError, match="is waiting"):
        job.result_sync(timeout=SOON)
    assert job.cancel_sync()
    with pytest.raises(JobFailed, match="is cancelled"):
        job.result_sync()
    assert job.retry_sync()
    asyncio.run(work(end=False))
    with pytest.raises(JobFailed, match="is failed"):
        job.result_sync(timeout=5)
    assert job.retry_sync()
    asyncio.run(work(end=True))
    assert job.result_sync(timeout=60) == 42
    assert not job.cancel_sync()
    run_sync(connection.resolve(None).close())
