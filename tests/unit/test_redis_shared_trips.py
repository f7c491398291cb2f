"""Turns of several queues at one moment: one call of a script, and to each its own reply."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Iterator, Sequence

import pytest

from asyncmqd.backends.base import PAGE, StoreError, StoreRefused, Turn
from asyncmqd.backends.redis import RedisBackend
from asyncmqd.backends.redis.scripts import Command, call, teach
from asyncmqd.backends.redis.shared_trips import MOST, Common, Part, SharedTrips
from asyncmqd.domain.job import Claim, Failure, NewJob
from asyncmqd.domain.settle import Policy, Raised, Succeeded, settle
from tests.eventually import eventually
from tests.servers import KINDS, USUAL, RedisServer

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


@pytest.fixture
def sizes(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """How many turns each call has."""
    found: list[int] = []
    call = SharedTrips._call

    def counted(self: SharedTrips, common: Common, parts: Sequence[Part]) -> Command:
        found.append(len(parts))
        return call(self, common, parts)

    monkeypatch.setattr(SharedTrips, "_call", counted)
    return found


def calls(server: RedisServer) -> int:
    with server.client() as client:
        return int(client.info("commandstats")["cmdstat_evalsha"]["calls"])


def turns(store: RedisBackend) -> list[asyncio.Task[Turn]]:
    return [asyncio.create_task(store.turn(queue, [], 1, LEASE, "w")) for queue in QUEUES]


async def claimed(store: RedisBackend, queue: str) -> Claim:
    """A job that a worker has."""
    await store.add(queue, [NewJob(id=f"of-{queue}", payload=b"{}")])
    [claim] = (await store.turn(queue, [], 1, LEASE, "w")).claims
    return claim


def settling(store: RedisBackend, claims: dict[str, list[Claim]]) -> list[asyncio.Task[Turn]]:
    """Turns that tell of the ends of jobs, one of each queue."""
    ends = {
        queue: [settle(each, Succeeded(), Policy(), 0.0) for each in held]
        for queue, held in claims.items()
    }
    return [
        asyncio.create_task(store.turn(queue, changes, 0, LEASE, "w"))
        for queue, changes in ends.items()
    ]


async def test_turns_of_one_moment_share_a_few_calls_and_keep_their_jobs(server, store):
    await store.turn("another", [], 1, LEASE, "w")  # the server knows the script from now on
    before, called = reads(server), calls(server)
    found = await asyncio.gather(*turns(store))
    assert [[claim.id for claim in turn.claims] for turn in found] == [
        [f"of-{queue}"] for queue in QUEUES
    ]
    # The first goes alone, the others by sixteens; some are greetings of connections.
    assert reads(server) - before < len(QUEUES) / 2
    assert calls(server) - called == 4


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
    await store.counts(QUEUES)
    with server.client() as client:
        client.script_flush()
    before = bytes_in(server)
    found = await store.counts(QUEUES)
    assert all(counts.waiting for counts in found.values())
    text, calls = len(str(teach(call("counts", ["asyncmq:{a}:"]))[1])), 200 * len(QUEUES)
    assert bytes_in(server) - before < 2 * (text + calls)


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
        found = await store.counts(QUEUES)
        assert all(counts.waiting for counts in found.values())
        await other.close()


@pytest.mark.parametrize("kind", KINDS)
async def test_a_turn_that_fails_in_its_middle_leaves_nothing_to_others(kind, tmp_path):
    with RedisServer(kind, tmp_path) as server, contextlib.closing(server.client()) as client:
        store = RedisBackend(server.url)
        queues = QUEUES[:8]
        claims = {queue: [await claimed(store, queue)] for queue in queues}
        # Its job is no longer active when the server finds that it has no place to go to.
        client.set(f"asyncmq:{{{queues[4]}}}:completed", "no sorted set")
        found = await asyncio.gather(*settling(store, claims), return_exceptions=True)
        assert isinstance(found.pop(4), StoreRefused)
        assert [each.answers for each in found] == [["applied"]] * 7
        counts = await store.counts(queues[:4] + queues[5:])
        assert {each.completed for each in counts.values()} == {1}
        jobs = [key.decode() for key in client.keys("asyncmq:*:runs")]
        assert len(jobs) == 8, "each queue has the run of its own job"
        assert all(client.hlen(key) == 1 for key in jobs)
        # Nobody knows what became of it, so it is told again, and the store knows by its token.
        client.delete(f"asyncmq:{{{queues[4]}}}:completed")
        [again] = await asyncio.gather(*settling(store, {queues[4]: claims[queues[4]]}))
        assert again.answers == ["already"]
        await store.close()


async def test_what_one_queue_keeps_of_its_jobs_is_not_kept_by_the_next(server, store):
    claims = {queue: [await claimed(store, queue)] for queue in QUEUES[:4]}
    failed = Raised(OSError("x"), Failure("OSError", "x"))
    ends = {queue: settle(held[0], failed, Policy(), 0.0) for queue, held in claims.items()}
    turns = [store.turn(queue, [change], 0, LEASE, "w") for queue, change in ends.items()]
    assert [each.answers for each in await asyncio.gather(*turns)] == [["applied"]] * 4
    with server.client() as client:
        runs = [client.hlen(f"asyncmq:{{{queue}}}:runs") for queue in claims]
        sizes = {client.get(f"asyncmq:{{{queue}}}:bytes") for queue in claims}
    assert runs == [1] * 4
    assert len(sizes) == 1


async def test_who_has_no_right_to_one_queue_has_the_others(server, store):
    with server.client() as client:
        rules = [f"~asyncmq:{{{queue}}}:*" for queue in QUEUES if queue != QUEUES[7]]
        client.execute_command("ACL", "SETUSER", "some", "on", ">pw", "&*", "+@all", *rules)
    limited = RedisBackend(server.url.replace("://", "://some:pw@"))
    limited._connected = True  # it may not even look at the store
    found = await asyncio.gather(*turns(limited), return_exceptions=True)
    assert isinstance(found.pop(7), StoreRefused)
    assert all(isinstance(each, Turn) and each.claims for each in found)
    await limited.close()


async def test_a_master_that_became_a_replica_is_left(server, store):
    await store.turn("another", [], 1, LEASE, "w")
    with server.client() as client:
        client.replicaof("127.0.0.1", 1)
    generation = store._link._generation
    first, *others = turns(store)
    found = await asyncio.gather(first, *others, return_exceptions=True)
    assert all(isinstance(each, StoreError) for each in found)
    assert store._link._generation >= generation + 4, "each call has told of it"


async def test_looks_of_one_moment_share_a_few_calls(store, sizes):
    found = await asyncio.gather(*(store.outlook([queue]) for queue in QUEUES))
    assert [[*each] for each in found] == [[queue] for queue in QUEUES]
    assert all(look.waiting == 1 for each in found for look in each.values())
    assert sizes == [1, MOST, MOST, len(QUEUES) - 1 - 2 * MOST]


async def test_a_queue_that_cannot_be_looked_at_hides_no_other(server, store):
    with server.client() as client:
        client.set(f"asyncmq:{{{QUEUES[5]}}}:closed", "no sorted set")
    looks = [store.outlook([queue]) for queue in QUEUES]
    found = await asyncio.gather(*looks, return_exceptions=True)
    assert isinstance(found.pop(5), StoreRefused)
    assert all(isinstance(each, dict) for each in found)


async def test_what_a_lost_server_may_have_done_is_not_asked_again(server, store, sizes):
    await asyncio.gather(*(store.outlook([queue]) for queue in QUEUES))  # by all connections
    sizes.clear()
    server.freeze()
    looks = [asyncio.create_task(store.outlook([queue])) for queue in QUEUES]

    async def all_left() -> bool:
        return len(store._link._under_way) == 4

    await eventually(all_left)
    server.kill()
    found = await asyncio.gather(*looks, return_exceptions=True)
    assert all(isinstance(each, StoreError) for each in found)
    assert sum(sizes) == len(QUEUES)
    server.start()


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


async def test_no_call_has_more_turns_than_that(store, sizes):
    await asyncio.gather(*turns(store))
    assert sizes == [1, MOST, MOST, len(QUEUES) - 1 - 2 * MOST]


async def test_no_call_has_more_jobs_than_a_page_unless_one_queue_has(store, sizes):
    limits = [1, PAGE // 2, PAGE // 2, 1, PAGE, 1]
    await asyncio.gather(
        *(
            store.turn(queue, [], limit, LEASE, "w")
            for queue, limit in zip(QUEUES, limits, strict=False)
        )
    )
    assert sizes == [1, 2, 1, 1, 1]


async def test_turns_with_leases_of_their_own_go_in_calls_of_their_own(server, store, sizes):
    found = await asyncio.gather(
        *(
            store.turn(queue, [], 1, LEASE * (1 + number % 2), "w")
            for number, queue in enumerate(QUEUES[:4])
        )
    )
    assert sizes == [1, 1, 1, 1]
    assert all(turn.claims for turn in found)


async def test_the_end_of_a_write_ends_the_calls_in_it(server, store):
    server.freeze()
    waiting = turns(store)

    async def all_left() -> bool:
        return len(store._link._under_way) == 4

    await eventually(all_left)
    under_way = set(store._ways.here().turns._tasks)
    assert len(under_way) == 3
    for each in under_way:
        each.cancel()
    server.thaw()
    first, *others = await asyncio.gather(*waiting, return_exceptions=True)
    assert isinstance(first, Turn)
    assert all(isinstance(each, asyncio.CancelledError) for each in others)
    assert all(each.cancelled() for each in under_way)
