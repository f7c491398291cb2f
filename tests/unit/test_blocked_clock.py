"""Jobs that wait for another while the store's clock is set back.

How SQLite's clock goes back is in test_sqlite_clock.py.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from asyncmqd.backends.base import BaseBackend
from asyncmqd.backends.memory import InMemoryBackend
from asyncmqd.domain import clock
from asyncmqd.domain.change import Change
from asyncmqd.domain.job import NewJob
from tests.servers import KINDS, RedisServer

QUEUE, LEASE, HOUR = "mail", 60.0, 3_600.0
SetBack = Callable[[], Awaitable[None]]


async def an_hour_of_memory(store: InMemoryBackend) -> None:
    store._now = lambda: clock.wall() - HOUR


async def an_hour_of(server: RedisServer) -> None:
    """What the store has of a blocked job, as if its clock had been ahead when it came."""
    ahead, base = round(HOUR * 1e6), f"asyncmq:{{{QUEUE}}}:"
    with server.client() as client:
        [(id, _)] = client.zrange(base + "blocked", 0, -1, withscores=True)
        client.zincrby(base + "blocked", ahead, id)
        added = int(client.getrange(f"{base}job:{id.decode()}", 0, 15))
        client.setrange(f"{base}job:{id.decode()}", 0, f"{added + ahead:016d}")


async def play(store: BaseBackend, set_back: SetBack, delay: float) -> tuple[str, float]:
    """The state of a successor whose holder has ended, and in how many seconds it is due."""

    def named(id: str) -> NewJob:
        again = {"unique": "11" * 32, "on_conflict": "again"}
        return NewJob(id=id, payload=b"{}", delay=delay if id == "b" else 0.0, **again)

    await store.add(QUEUE, [named("a")])
    [claim] = (await store.turn(QUEUE, (), 5, LEASE, "w")).claims
    await store.add(QUEUE, [named("b")])
    await set_back()
    ended = Change(queue=QUEUE, id="a", token=claim.token, edge="succeed", result=b"1")
    assert await store.apply(QUEUE, [ended]) == ["applied"]
    [record] = await store.get(QUEUE, ["b"])
    assert record is not None
    now = await store.now()
    return str(record.state), (record.due or now) - now


async def test_in_memory_it_comes_back_at_once_or_after_its_delay() -> None:
    store = InMemoryBackend()
    assert await play(store, lambda: an_hour_of_memory(store), 0.0) == ("waiting", 0.0)
    store = InMemoryBackend()
    state, due = await play(store, lambda: an_hour_of_memory(store), 5.0)
    assert (state, 0 < due <= 5.0) == ("delayed", True)


@pytest.mark.parametrize("kind", KINDS)
async def test_on_redis_it_comes_back_at_once_or_after_its_delay(
    kind: str, tmp_path: Any, opened: Callable[[str], BaseBackend]
) -> None:
    with RedisServer(kind, tmp_path) as server:
        store = opened(server.url)
        assert await play(store, lambda: an_hour_of(server), 0.0) == ("waiting", 0.0)
        server.flush()
        state, due = await play(store, lambda: an_hour_of(server), 5.0)
        assert (state, 0 < due <= 5.0) == ("delayed", True)
