"""What a sentinel announces: that a replica will be the master, and that it is."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from redis.asyncio.connection import UnixDomainSocketConnection

from asyncmqd.backends.redis.sentinel import ANNOUNCEMENTS, SELECTED, Announcements
from tests.eventually import eventually
from tests.servers import USUAL, RedisServer

OTHER, OURS = (f"slave 127.0.0.1:2 127.0.0.1 2 @ {name} 127.0.0.1 1" for name in ("other", "jobs"))
LONG = 60.0  # seconds


class Follower:
    """Who follows what a server says in the place of a sentinel, which says nothing for others."""

    def __init__(self, server: RedisServer) -> None:
        self.times = 0  # that the master was another one
        self._server = server

        def sentinel() -> UnixDomainSocketConnection:
            return UnixDomainSocketConnection(path=str(server.socket), protocol=2)

        self.announcements = Announcements([sentinel], "jobs", self._heard, LONG)

    def _heard(self) -> None:
        self.times += 1

    async def begin(self) -> None:
        """Follow, once it is subscribed."""
        self.announcements.follow()
        await eventually(self._is_subscribed)

    async def _is_subscribed(self) -> bool:
        with self._server.client() as client:
            return all(count for _, count in client.pubsub_numsub(*ANNOUNCEMENTS))

    async def waits(self) -> bool:
        """Whether a call has to wait now."""
        waiting = asyncio.ensure_future(self.announcements.settled())
        await asyncio.sleep(0)
        return not waiting.done() and waiting.cancel()

    def say(self, channel: str, message: str) -> None:
        with self._server.client() as client:
            assert client.publish(channel, message) == 1


@pytest.fixture
async def follower(tmp_path: Path) -> AsyncIterator[Follower]:
    with RedisServer(USUAL, tmp_path) as server:
        made = Follower(server)
        await made.begin()
        yield made
        await made.announcements.close()


async def test_calls_wait_from_the_choice_of_a_replica_to_its_promotion(follower: Follower):
    assert not await follower.waits()
    follower.say(SELECTED, OTHER)
    follower.say(SELECTED, OURS)
    await eventually(follower.waits)
    assert not follower.times, "who is chosen is no master yet"
    follower.say("+promoted-slave", OTHER)
    follower.say("+promoted-slave", OURS)
    await follower.announcements.settled()
    assert follower.times == 1


async def test_a_promotion_that_comes_to_nothing_is_not_waited_for():
    heard: list[None] = []
    announcements = Announcements([], "jobs", lambda: heard.append(None), patience=0.01)
    announcements._note(SELECTED.encode(), OURS.encode())
    waiting = asyncio.ensure_future(announcements.settled())
    await asyncio.sleep(0)
    assert not waiting.done()
    await waiting
    assert not heard
