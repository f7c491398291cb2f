"""A producer whose store does not answer: what it is told, when, and what it may do about it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from asyncmqd import Queue, connect, task
from asyncmqd.backends.base import BaseBackend, StoreError, StoreUncertain
from asyncmqd.backends.factory import open_backend
from asyncmqd.domain.job import NewJob
from tests.eventually import answered, eventually
from tests.faults.proxy import Proxy
from tests.servers import USUAL, RedisServer

QUEUE = "lost"
TIMEOUT = 0.5  # seconds


@task(queue=QUEUE, name="lost.plain")
async def plain() -> None: ...


@pytest.fixture
def server(tmp_path: Path) -> Iterator[RedisServer]:
    with RedisServer(USUAL, tmp_path, tcp=True) as running:
        yield running


@pytest.fixture
def proxy(server: RedisServer) -> Iterator[Proxy]:
    with Proxy(server.port) as between:
        yield between


async def opened(url: str) -> BaseBackend:
    """A connected store, on a server that knows the scripts which add one job, and several."""
    store = open_backend(url)
    jobs = [NewJob(id=id, payload=b"{}") for id in ("a", "b")]
    await answered(lambda: store.add("other", jobs[:1]))
    await answered(lambda: store.add("other", jobs))
    return store


@pytest.fixture
async def backend(proxy: Proxy) -> AsyncIterator[BaseBackend]:
    store = await opened(f"{proxy.url}?timeout={TIMEOUT}")
    yield store
    await store.close()


async def waiting(backend: BaseBackend) -> int:
    return (await answered(lambda: backend.counts([QUEUE])))[QUEUE].waiting


async def test_a_lost_reply_names_the_job_that_may_be_stored(proxy: Proxy, backend: BaseBackend):
    proxy.silence("down")  # the server gets it, and its answer goes nowhere
    with pytest.raises(StoreUncertain, match="may be stored: enqueue again with job_id=") as caught:
        await plain.options(backend=backend).enqueue()
    [id] = caught.value.job_ids
    again = await answered(plain.options(backend=backend, job_id=id).enqueue)
    assert (again.id, again.created, await waiting(backend)) == (id, False, 1)


async def test_the_same_job_may_be_sent_again(proxy: Proxy, backend: BaseBackend):
    """Its id was made before the first call."""
    jobs, queue = [plain.job(), plain.job()], Queue(QUEUE, backend)
    proxy.silence("down")
    with pytest.raises(StoreUncertain, match="2 jobs may be stored"):
        await queue.add_bulk(jobs)
    again = await answered(lambda: queue.add_bulk(jobs))
    assert [job.created for job in again] == [False, False]
    assert await waiting(backend) == 2


async def test_a_connection_that_breaks_before_the_reply_costs_nothing(server, proxy):
    """It is sent once more, under the same id."""
    store = await opened(proxy.url)
    proxy.silence("down")
    call = asyncio.create_task(plain.options(backend=store).enqueue())

    async def is_stored() -> bool:
        with server.client() as client:
            return bool(client.exists(f"asyncmq:{{{QUEUE}}}:waiting"))

    await eventually(is_stored)
    proxy.reset()
    await call
    assert await waiting(store) == 1
    await store.close()


async def test_the_limit_counts_from_the_call(server: RedisServer, backend: BaseBackend):
    """Also for one that waits behind hundreds of others, for a connection or for a round trip."""
    server.freeze()
    looks = [asyncio.create_task(backend.get(QUEUE, ["a"])) for _ in range(200)]
    await asyncio.sleep(0)
    calls = [asyncio.create_task(enqueued(backend)) for _ in range(3)]
    _, late = await asyncio.wait(calls, timeout=8 * TIMEOUT)
    server.thaw()
    assert not late
    for each in calls:
        assert isinstance(each.result(), StoreError)
    await asyncio.gather(*looks, return_exceptions=True)


async def enqueued(backend: BaseBackend) -> StoreError | None:
    try:
        await plain.options(backend=backend).enqueue()
    except StoreError as error:
        return error
    return None


def test_connect_says_how_long_a_call_may_take(proxy: Proxy, monkeypatch):
    monkeypatch.setattr("asyncmqd.client.connection._default", None)
    assert connect(proxy.url, timeout=0.25).timeout == 0.25
    assert connect(f"{proxy.url}?prefix=a", timeout=3).timeout == 3
    with pytest.raises(ValueError, match="timeout: expected seconds above 0, got '0'"):
        connect(proxy.url, timeout=0)
    assert connect(proxy.url, timeout="250ms").timeout == 0.25
    with pytest.raises(ValueError, match=r"timeout: expected seconds .*, got '2x'"):
        connect(proxy.url, timeout="2x")
    with pytest.raises(ValueError, match="timeout: expected the URL"):
        connect(timeout=1)


async def test_a_bulk_takes_no_job_of_another_queue(backend: BaseBackend):
    queue = Queue("a", backend)
    with pytest.raises(ValueError, match="queue: expected 'a' for all jobs, got 'z'"):
        await queue.add_bulk([plain.job(), plain.options(queue="z").job()])
    assert await backend.queues() == ["other"]
    jobs = await queue.add_bulk([plain.job(), plain.options(queue="a").job()])
    assert [job.queue for job in jobs] == ["a", "a"]
