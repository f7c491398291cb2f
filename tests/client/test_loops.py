"""Producers with more than one event loop: one after the other, at the same time, and none."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from uuid import uuid4

import pytest

from asyncmqd import Job, Queue, State, connect, run_worker, task
from asyncmqd.backends.factory import open_backend
from asyncmqd.client import connection
from tests.scale import scaled
from tests.servers import USUAL, RedisServer

STORES = ("memory", "sqlite", "redis")
LOOPS = scaled(300, 10_000)
# The store in memory keeps the jobs, 0.7 kB each, and SQLite's cache of pages fills up to 8 MiB.
SLACK = {"descriptors": 10, "threads": 2, "loops": 6, "memory": scaled(8, 16) * 1024 * 1024}


@task(queue="loops", name="loops.add")
async def add(a: int) -> None: ...


@pytest.fixture(autouse=True)
def no_default(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connection, "_default", None)


@pytest.fixture(params=STORES)
def url(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    if request.param == "memory":
        yield f"memory://{uuid4()}"
    elif request.param == "sqlite":
        yield f"sqlite://{tmp_path}/jobs.db"
    else:
        with RedisServer(USUAL, tmp_path) as server:
            yield server.url


def test_loops_one_after_the_other_leave_nothing_behind(url: str, seen) -> None:
    """As asyncio.run, asgiref, Flask and Django under WSGI make them, and threads of their own."""
    command = [sys.executable, "-m", "tests.client.many_loops", url, str(LOOPS)]
    first, last = json.loads(subprocess.run(command, stdout=subprocess.PIPE, check=True).stdout)
    more = {what: last[what] - first[what] for what in SLACK}
    seen(f"{LOOPS} loops, {url.partition(':')[0]}: {last}, {more} more than after half of them")
    assert {what: more[what] for what in SLACK if more[what] > SLACK[what]} == {}


def test_a_job_may_be_asked_for_in_any_loop(url: str) -> None:
    connect(url)
    jobs = [add.enqueue_sync(1), asyncio.run(enqueued(2)), asyncio.run(enqueued(3))]
    for job in jobs:
        assert [asyncio.run(job.state()) for _ in range(2)] == [State.WAITING] * 2
    assert asyncio.run(jobs[0].cancel())
    add.enqueue_sync(4)
    assert asyncio.run(Queue("loops").counts()).waiting == 3


async def enqueued(number: int) -> Job:
    return await add.enqueue(number)


@pytest.mark.parametrize("named", [False, True], ids=["default", "given"])
def test_an_instance_serves_all_loops_and_threads(url: str, named: bool) -> None:
    """One that an application made itself, too."""
    backend = open_backend(url)
    if not named:
        connect(backend)
    mine = add.options(backend=backend) if named else add

    async def main() -> int:
        await mine.enqueue(1)
        await asyncio.to_thread(mine.enqueue_sync, 2)
        await asyncio.to_thread(asyncio.run, alone())
        await mine.enqueue(4)
        return (await Queue("loops", backend=backend).counts()).waiting

    async def alone() -> None:
        await mine.enqueue(3)

    assert asyncio.run(main()) == 4
    assert asyncio.run(main()) == 8


def test_three_threads_that_enqueue_and_look(url: str) -> None:
    connect(url)
    errors: list[BaseException] = []

    def thread() -> None:
        try:
            for number in range(scaled(20, 100)):
                job = add.enqueue_sync(number)
                assert asyncio.run(job.state()) is State.WAITING
        except BaseException as error:
            errors.append(error)

    threads = [threading.Thread(target=thread) for _ in range(3)]
    for each in threads:
        each.start()
    for each in threads:
        each.join()
    assert errors == []


def test_workers_in_two_loops_may_share_an_instance(url: str) -> None:
    backend = open_backend(url)
    stop = threading.Event()

    async def serve() -> None:
        running = asyncio.create_task(run_worker("loops", backend))
        await asyncio.to_thread(stop.wait)
        running.cancel()
        await asyncio.wait([running])

    threads = [threading.Thread(target=asyncio.run, args=(serve(),)) for _ in range(2)]
    for each in threads:
        each.start()
    try:
        for number in range(10):
            job = add.options(backend=backend).enqueue_sync(number)
            assert asyncio.run(job.result(timeout=30)) is None
    finally:
        stop.set()
        for each in threads:
            each.join()


def test_stores_by_the_dozen_are_let_go_of(tmp_path: Path) -> None:
    """As tests of applications have them, each with a file of its own."""

    def threads() -> int:
        return sum(each.name.startswith("asyncmqd-sqlite") for each in threading.enumerate())

    async def add_to(path: Path) -> None:
        await add.options(backend=f"sqlite://{path}").enqueue(1)

    for number in range(30):
        asyncio.run(add_to(tmp_path / f"{number}.db"))
    assert threads() <= 3 * connection.MOST_WITH_THREADS
