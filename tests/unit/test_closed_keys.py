"""Keys that are held back by their rate while the store's clock is set back.

How SQLite's clock goes back is in test_sqlite_clock.py.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from asyncmqd.backends.base import BaseBackend
from asyncmqd.backends.memory import InMemoryBackend
from asyncmqd.domain import clock
from asyncmqd.domain.job import NewJob
from asyncmqd.domain.shared_limits import KeyLimits, SharedLimits
from tests.eventually import LIMIT
from tests.servers import KINDS, RedisServer

QUEUE, LEASE, HOUR = "mail", 60.0, 3_600.0
SetBack = Callable[[], Awaitable[None]]


async def an_hour_of_memory(store: InMemoryBackend) -> None:
    store._now = lambda: clock.wall() - HOUR


async def an_hour_of(server: RedisServer) -> None:
    """The dates that the store keeps of keys, as a clock had written them that was ahead."""
    ahead, base = HOUR * 1e6, f"asyncmq:{{{QUEUE}}}:"
    with server.client() as client:
        for name in ("closed", "arrivals"):
            for member in client.zrange(base + name, 0, -1):
                client.zincrby(base + name, ahead, member)
        client.set(base + "closed_at", round(float(client.get(base + "closed_at")) + ahead))


async def play(store: BaseBackend, set_back: SetBack, started: int = 1) -> list[str]:
    """One job of a key in 20 ms, of three; when the clock is set back, one has started."""

    async def claim() -> Any:
        return await store.turn(QUEUE, (), 5, LEASE, "w")

    limits = SharedLimits(each_key=KeyLimits(rate_limit=50, burst=1))
    await store.declare_limits(QUEUE, limits, "d1")
    await store.add(QUEUE, [NewJob(id=id, payload=b"{}", key="a") for id in ("a1", "a2", "a3")])
    ids = [each.id for each in (await claim()).claims]
    assert len(ids) == started
    await set_back()
    async with asyncio.timeout(LIMIT):
        while len(ids) < 3:
            begin = await store.now()
            turn = await claim()
            assert len(turn.claims) <= 1, "no more than its rate allows"
            ids += [each.id for each in turn.claims]
            assert turn.opens_in is None or turn.opens_in <= 0.02 + 0.001
            while await store.now() < begin + 0.02:
                await store.wait([QUEUE], 0.005)
    return ids


async def test_a_key_in_memory_opens_when_its_rate_lets_it() -> None:
    store = InMemoryBackend()
    assert await play(store, lambda: an_hour_of_memory(store)) == ["a1", "a2", "a3"]


@pytest.mark.parametrize("kind", KINDS)
async def test_a_key_on_redis_opens_when_its_rate_lets_it(
    kind: str, tmp_path: Any, opened: Callable[[str], BaseBackend]
) -> None:
    with RedisServer(kind, tmp_path) as server:
        store = opened(server.url)
        assert await play(store, lambda: an_hour_of(server)) == ["a1", "a2", "a3"]
