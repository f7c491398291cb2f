"""Jobs that wait for one which a daemon of an older release has ended: it knows no blocked ones."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from asyncmqd.backends.redis import RedisBackend
from asyncmqd.domain.job import NewJob
from asyncmqd.domain.settle import Retention
from asyncmqd.domain.states import State
from tests.servers import USUAL, RedisServer

QUEUE, BASE = "mail", "asyncmq:{mail}:"


@pytest.fixture
def server(tmp_path) -> Iterator[RedisServer]:
    with RedisServer(USUAL, tmp_path) as running:
        yield running


async def state(store: RedisBackend, id: str) -> State | None:
    [found] = await store.get(QUEUE, [id])
    return found and found.state


@pytest.mark.parametrize("way", ["completed", "removed"])
async def test_what_waits_for_a_job_that_has_ended_comes_back(server: RedisServer, way: str):
    store = RedisBackend(server.url)
    await store.declare(QUEUE, {"nightly": b"{}"}, True)
    instant = await store.now() + 60
    for number, id in enumerate(("parent", "child")):
        job = NewJob(id=id, payload=b"{}")
        assert await store.fire(QUEUE, "nightly", instant + number, job, None, "queue")
    await store.claim(QUEUE, 1, 60.0, "old")
    assert await store.prune(QUEUE, Retention()) == 0
    assert await state(store, "child") is State.BLOCKED, "the other one runs"
    with server.client() as client:  # as the older release does it
        assert client.zrem(f"{BASE}{State.ACTIVE}", "parent")
        if way == "completed":
            client.zadd(f"{BASE}{State.COMPLETED}", {"parent": 1})
            client.zadd(f"{BASE}counted", {"parent": 1})
        else:
            client.delete(f"{BASE}job:parent")
    assert await store.prune(QUEUE, Retention()) == 0
    assert await state(store, "child") is State.WAITING
    with server.client() as client:
        assert not client.keys(f"{BASE}parents:*") + client.keys(f"{BASE}children:*")
    await store.close()
