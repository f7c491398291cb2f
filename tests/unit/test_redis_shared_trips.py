"""Turns of several queues at one moment: in one write, and to each its own reply or error."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator

import pytest

from asyncmqd.backends.base import StoreError, Turn
from asyncmqd.backends.redis import RedisBackend
from asyncmqd.backends.redis.scripts import call, teach
from asyncmqd.backends.redis.shared_trips import MOST
from asyncmqd.domain.job import NewJob
from tests.eventually import eventually
from tests.servers import USUAL, RedisServer

QUEUES = [f"q{number}" for number in range(2 * MOST + 3)]
LEASE = 60.0


@pytest.fixture
def server(tmp_path) -> Iterator[RedisServer]:
    with RedisServer(USUAL, tmp_path) as running:
        yield running


@pytest.fixture
async def store(server: RedisServer) -> AsyncIterator[RedisBackend]:
    store = RedisBackend(server.url)
    for queue in QUEUES:
        await store.add(queue, [NewJob(id=f"of-{queue}", payload=b"{}")])
    yield store
    await store.close()


def reads(server: RedisServer) -> int:
    with server.client() as client:
        return int(client.info("stats")["total_reads_processed"])


def bytes_in(server: RedisServer) -> int:
    with server.client() as client:
        return int(client.info("stats")["total_net_input_bytes"])


def turns(store: RedisBackend) -> list[asyncio.Task[Turn]]:
    return [asyncio.create_task(store.turn(queue, [], 1, LEASE, "w")) for queue in QUEUES]


async def test_turns_of_one_moment_share_a_few_writes_and_keep_their_jobs(server, store):
    await store.turn("another", [], 1, LEASE, "w")  # the server knows the script from now on
    before = reads(server)
    found = await asyncio.gather(*turns(store))
    assert [[claim.id for claim in turn.claims] for turn in found] == [
        [f"of-{queue}"] for queue in QUEUES
    ]
    # The first goes alone, the others by sixteens; some are greetings of connections.
    assert reads(server) - before < len(QUEUES) / 2


async def test_an_error_is_of_the_queue_that_has_it(server, store):
    with server.client() as client:
        client.set(f"asyncmq:{{{QUEUES[5]}}}:layout", "99")
    found = await asyncio.gather(*turns(store), return_exceptions=True)
    failed = [
        queue for queue, each in zip(QUEUES, found, strict=True) if not isinstance(each, Turn)
    ]
    assert failed == [QUEUES[5]]
    assert isinstance(found[5], StoreError)


async def test_a_server_that_forgot_the_script_is_sent_it_once_a_write(server, store):
    await store.turn("another", [], 1, LEASE, "w")
    with server.client() as client:
        client.script_flush()
    before = bytes_in(server)
    found = await asyncio.gather(*turns(store))
    assert all(turn.claims for turn in found)
    text = len(str(teach(call("turn", ["asyncmq:{a}:"]))[1]))
    assert bytes_in(server) - before < 5 * text  # four writes


async def test_two_servers_behind_one_address_are_both_sent_the_script(store, tmp_path):
    """A proxy may keep the queues on several servers, which do not tell each other of scripts."""
    (tmp_path / "2").mkdir()
    with RedisServer(USUAL, tmp_path / "2") as second:
        other = RedisBackend(second.url)
        await other.add(QUEUES[2], [NewJob(id="of-2", payload=b"{}")])
        link, send = store._link, store._link._send

        async def split(trip, commands):
            theirs = [each for each in commands if f"{{{QUEUES[2]}}}" in str(each[3])]
            found = dict(zip(theirs, await other._link._send(trip, theirs), strict=True))
            rest = [each for each in commands if each not in found]
            found |= zip(rest, await send(trip, rest), strict=True)
            return [found[each] for each in commands]

        link._send = split
        found = await asyncio.gather(*turns(store))
        assert all(turn.claims for turn in found)
        await other.close()


async def test_a_lost_server_is_told_to_each(server, store):
    server.freeze()
    waiting = turns(store)
    await asyncio.sleep(0)
    server.kill()
    found = await asyncio.gather(*waiting, return_exceptions=True)
    assert all(isinstance(each, StoreError) for each in found)
    server.start()
    [again, *_] = await asyncio.gather(*turns(store))  # by new connections
    assert again.claims == []


async def test_one_that_is_cancelled_takes_nobody_along(store):
    waiting = turns(store)
    await asyncio.sleep(0)
    waiting[3].cancel()
    found = await asyncio.gather(*waiting, return_exceptions=True)
    assert isinstance(found.pop(3), asyncio.CancelledError)
    assert all(isinstance(each, Turn) and each.claims for each in found)


async def test_no_write_has_more_calls_than_that(store, monkeypatch):
    link = store._link
    sizes: list[int] = []
    run_each = link.run_each

    async def counted(commands):
        sizes.append(len(commands))
        return await run_each(commands)

    monkeypatch.setattr(link, "run_each", counted)
    await asyncio.gather(*turns(store))
    assert sizes == [MOST, MOST, len(QUEUES) - 1 - 2 * MOST]


async def test_the_end_of_a_write_ends_the_calls_in_it(server, store):
    server.freeze()
    waiting = turns(store)

    async def all_left() -> bool:
        return len(store._link._under_way) == 4

    await eventually(all_left)
    under_way = set(store._ways.here().shared_trips._tasks)
    assert len(under_way) == 3
    for each in under_way:
        each.cancel()
    server.thaw()
    first, *others = await asyncio.gather(*waiting, return_exceptions=True)
    assert isinstance(first, Turn)
    assert all(isinstance(each, asyncio.CancelledError) for each in others)
    assert all(each.cancelled() for each in under_way)
