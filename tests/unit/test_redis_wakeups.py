"""Who is woken in Redis, when, and what idleness costs."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import ExitStack, asynccontextmanager, contextmanager
from pathlib import Path

import pytest
import redis
import uvloop
from redis.asyncio.connection import AbstractConnection

from asyncmqd.backends.base import StoreError
from asyncmqd.backends.redis import RedisBackend, ended_jobs, subscriber, subscribers
from asyncmqd.client.pending import CallOptions, add_all, pending
from asyncmqd.domain.job import NewJob
from asyncmqd.domain.queue_options import QueueOptions
from asyncmqd.domain.settle import Policy, Unknown, settle
from asyncmqd.runtime.worker import Worker
from tests.cluster import Cluster
from tests.contract.jobs import parked
from tests.eventually import answered, eventually
from tests.runtime.conftest import Bench
from tests.servers import KINDS, USUAL, RedisServer

QUEUE = "mail"
LEASE = 60.0
LONG = 20.0  # seconds; a test that waits for so long has failed


def jobs(*ids: str) -> list[NewJob]:
    return [NewJob(id=id, payload=b"{}") for id in ids]


@pytest.fixture
def server(tmp_path) -> Iterator[RedisServer]:
    with RedisServer(USUAL, tmp_path) as running:
        yield running


@pytest.fixture
def idle(server: RedisServer, opened: Callable[[str], RedisBackend]) -> Callable:
    """Opens stores that listen, and that asked in vain for jobs of the queue."""

    async def one(options: str = "") -> RedisBackend:
        store = opened(server.url + options)
        assert await store.wait([QUEUE], 0.0) == {QUEUE}
        assert await store.claim(QUEUE, 5, LEASE, "w") == []
        return store

    return one


@pytest.fixture
async def producer(server: RedisServer) -> AsyncIterator[RedisBackend]:
    store = RedisBackend(server.url)
    await store.connect()
    yield store
    await store.close()


async def woken(*stores: RedisBackend, server: RedisServer) -> list[bool]:
    """Which of the stores have heard of the queue: each gets one more message, and says what was
    there before it. They must be all that listen."""
    with server.client() as client:
        for channel in client.pubsub_channels():
            client.publish(channel, "asyncmq:{last}:")
    heard = []
    for store in stores:
        known = set()
        while "last" not in known:
            known |= await store.wait([QUEUE, "last"], LONG)
        heard.append(QUEUE in known)
    return heard


async def test_one_job_wakes_one_of_many(server, idle, producer):
    stores = [await idle() for _ in range(3)]
    await producer.add(QUEUE, jobs("a"))
    assert sum(await woken(*stores, server=server)) == 1
    await producer.add(QUEUE, jobs("b"))
    await producer.add(QUEUE, jobs("c"))
    assert sum(await woken(*stores, server=server)) == 2


async def test_a_claim_that_leaves_work_behind_wakes_the_next(server, idle, producer):
    one, other = await idle(), await idle()
    await producer.add(QUEUE, jobs("a", "b"))
    heard = await woken(one, other, server=server)
    first, second = (one, other) if heard[0] else (other, one)
    assert len(await first.claim(QUEUE, 1, LEASE, "w")) == 1
    assert await woken(first, second, server=server) == [False, True]


async def test_whoever_is_full_is_not_woken(server, idle, producer):
    one, other = await idle(), await idle()
    await producer.add(QUEUE, jobs("a"))
    heard = await woken(one, other, server=server)
    quicker = other if heard[0] else one  # it was not called, and takes the job all the same
    assert len(await quicker.claim(QUEUE, 1, LEASE, "w")) == 1
    await producer.add(QUEUE, jobs("b"))
    assert await woken(one, other, server=server) == [False, False]


class Two:
    """Two workers of one process, for one job each. The task "held" runs until it may end."""

    def __init__(self, store: RedisBackend) -> None:
        self.began, self.may_end = ({each: asyncio.Event() for each in "abc"} for _ in range(2))
        self._bench = Bench()
        self._bench.backend = store
        self._bench.task(self.held)

    async def held(self, name: str) -> None:
        self.began[name].set()
        await self.may_end[name].wait()

    async def add(self, store: RedisBackend, name: str) -> None:
        await add_all(store, "q", [pending("held", [name], {}, CallOptions())])

    async def runs(self, name: str) -> None:
        await asyncio.wait_for(self.began[name].wait(), LONG)

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        async with self._bench.context() as context:
            workers = [Worker("q", context, QueueOptions(concurrency=1)) for _ in range(2)]
            running = [asyncio.create_task(each.run()) for each in workers]
            yield
            for each in running:
                each.cancel()
            await asyncio.wait(running)


async def test_a_full_worker_signs_off_no_other_one_of_its_process(server, opened, producer):
    """It takes a job for which another process was woken, while a worker beside it waits."""
    store, other = opened(server.url), opened(server.url)
    two, waiters = Two(store), "asyncmq:{q}:waiters"
    with server.client() as client:

        async def waits():
            return client.sismember(waiters, store._wakeups.channel)

        async with two.running():
            await eventually(waits)
            await two.add(producer, "a")
            await two.runs("a")
            await eventually(waits)
            await other.wait(["q"], 0.0)
            assert await other.claim("q", 1, LEASE, "other") == []
            client.smove(waiters, "aside", store._wakeups.channel)
            await two.add(producer, "b")
            client.smove("aside", waiters, store._wakeups.channel)
            two.may_end["a"].set()
            await two.runs("b")
            await eventually(waits)
            await two.add(producer, "c")
            await two.runs("c")
            for each in two.may_end.values():
                each.set()


async def test_the_dead_are_passed_over(server, idle, producer):
    dead = [await idle() for _ in range(5)]
    living = await idle()
    for each in dead:
        await each.close()
    await producer.add(QUEUE, jobs("a"))
    assert await living.wait([QUEUE], LONG) == {QUEUE}


async def test_a_resumed_queue_wakes_everybody(server, idle, producer):
    stores = [await idle() for _ in range(3)]
    await producer.pause(QUEUE, True)
    await producer.pause(QUEUE, False)
    assert await woken(*stores, server=server) == [True] * 3


async def test_a_parked_job_is_told_to_everybody(server, idle, producer):
    await producer.add(QUEUE, jobs("a"))
    [claim] = await producer.claim(QUEUE, 1, LEASE, "w")
    stores = [await idle() for _ in range(3)]
    assert await producer.apply(QUEUE, [settle(claim, Unknown("t"), Policy(), 0)]) == ["applied"]
    assert await woken(*stores, server=server) == [True] * 3


async def test_after_a_lost_connection_all_queues_are_looked_at(server, idle):
    store = await idle()
    waiting = asyncio.create_task(store.wait([QUEUE, "other"], LONG))
    await asyncio.sleep(0)
    with server.client() as client:
        client.client_kill_filter(_type="pubsub")
    assert await waiting == {QUEUE, "other"}
    assert await store.wait([QUEUE], 0.01) == set()


async def test_a_dead_server_ends_the_wait_and_is_found_again(server, idle):
    store = await idle()
    waiting = asyncio.create_task(store.wait([QUEUE], LONG))
    await asyncio.sleep(0)
    server.kill()
    with pytest.raises(StoreError):
        await waiting
    server.start()
    assert await store.wait([QUEUE], LONG) == {QUEUE}


async def test_a_silent_connection_is_noticed(server, idle, monkeypatch):
    monkeypatch.setattr(subscriber, "HEARTBEAT", 0.1)
    store = await answered(lambda: idle("?timeout=0.1"))
    server.freeze()  # as a cut cable would: nothing is closed, nothing is answered
    with pytest.raises(StoreError):
        await store.wait([QUEUE], LONG)
    server.thaw()
    assert await answered(lambda: store.wait([QUEUE], LONG)) == {QUEUE}


async def test_an_answering_server_is_not_left(server, idle, monkeypatch):
    """However often it is asked. Each second look ends at once, as if it had said nothing."""
    read, waits = AbstractConnection.read_response, itertools.cycle([0, LONG])

    async def read_or_hear_nothing(self, *args, timeout=None, **options):
        if timeout == subscriber.HEARTBEAT:
            timeout = next(waits)
        return await read(self, *args, timeout=timeout, **options)

    async def asked_often():
        return client.info("commandstats").get("cmdstat_ping", {"calls": 0})["calls"] >= 50

    monkeypatch.setattr(AbstractConnection, "read_response", read_or_hear_nothing)
    store = await idle()
    with server.client() as client:
        before = client.info("stats")["total_connections_received"]
        waiting = asyncio.create_task(store.wait([QUEUE], LONG))
        await eventually(asked_often)
        assert not waiting.done()
        assert client.info("stats")["total_connections_received"] == before
        waiting.cancel()


@pytest.mark.parametrize("end", ["assigned", "woken", "full", "retired", "gone"])
async def test_nothing_is_left_of_who_waits_no_more(server, opened, producer, end):
    """What it had signed up with would stay for ever if its process is killed later."""
    store = opened(server.url)
    store.take_assigned(lambda _: None)
    await store.wait([QUEUE], 0.0)
    assert (await store.turn(QUEUE, (), 1, LEASE, "w", None, 7)).claims == []
    offers, waiters = store._base(QUEUE) + "offers", store._base(QUEUE) + "waiters"
    with server.client() as client:
        assert client.hlen(offers) == client.scard(waiters) == 1
        if end == "retired":
            await store.retire(QUEUE)
        elif end == "full":
            client.smove(waiters, "aside", store._wakeups.channel)  # or it would be woken
            await producer.add(QUEUE, jobs("a", "b"))
            client.smove("aside", waiters, store._wakeups.channel)
            assert len((await store.turn(QUEUE, (), 1, LEASE, "w", None, 8)).claims) == 1
        else:
            if end == "gone":
                await store.close()
            await producer.add(QUEUE, jobs("a", "b") if end == "woken" else jobs("a"))
        assert client.exists(offers, waiters) == 0


@pytest.mark.parametrize("kind", KINDS)
async def test_who_listens_to_a_server_that_was_demoted_gets_no_job(
    tmp_path, opened, monkeypatch, kind
):
    """It hears what the new master publishes, though that counts only who listens to itself: it
    would run a job of which the next worker gets the same token."""
    monkeypatch.setattr(subscribers.Ears, "look_every", LONG)  # it has not noticed
    with ExitStack() as stack:
        old, new = (stack.enter_context(_master(kind, tmp_path / name)) for name in ("o", "n"))
        store, heard = opened(old.tcp_url), []
        store.take_assigned(heard.append)
        await store.wait([QUEUE], 0.0)
        await store.turn(QUEUE, (), 1, LEASE, "w", None, 7)
        first, second = stack.enter_context(old.client()), stack.enter_context(new.client())
        second.replicaof("127.0.0.1", old.port)
        await eventually(lambda: _has(second, "waiters"))
        second.replicaof("NO", "ONE")
        first.replicaof("127.0.0.1", new.port)
        await eventually(lambda: _is_linked(first))
        await opened(new.tcp_url).add(QUEUE, jobs("a"))
        second.publish(store._wakeups.channel, "asyncmq:{last}:")
        while "last" not in await store.wait([QUEUE, "last"], LONG):
            pass
        assert heard == []
        assert not second.exists("asyncmq:{mail}:offers", "asyncmq:{mail}:waiters")


@contextmanager
def monitor(server: RedisServer) -> Iterator[redis.Redis]:
    """One that listens to all channels."""
    with server.client() as client, client.pubsub() as listener:
        listener.psubscribe("*")
        assert listener.get_message(timeout=LONG)["type"] == "psubscribe"
        yield client


async def until_nobody_listens(*clients: redis.Redis) -> None:
    await eventually(
        lambda: asyncio.to_thread(lambda: not any(each.pubsub_channels() for each in clients))
    )


async def test_who_listens_to_all_channels_does_not_stand_for_one_that_is_gone(
    server, opened, producer
):
    gone = opened(server.url)
    gone.take_assigned(lambda _: None)
    await gone.wait([QUEUE], 0.0)
    await gone.turn(QUEUE, (), 1, LEASE, "gone", None, 7)
    with monitor(server) as client:
        await gone.close()
        await until_nobody_listens(client)
        await producer.add(QUEUE, jobs("a"))
        assert [claim.id for claim in await producer.claim(QUEUE, 5, LEASE, "w")] == ["a"]


@pytest.mark.parametrize("kind", [*KINDS, "cluster"])
async def test_who_listens_to_all_channels_takes_no_wake_up_of_others(tmp_path, opened, kind):
    """Else each one that is gone would cost a job its wake-up, for as long as somebody monitors."""
    with ExitStack() as stack:
        if kind == "cluster":
            store = stack.enter_context(Cluster(USUAL, tmp_path))
            servers, url = store.masters, store.url
        else:
            servers = [stack.enter_context(RedisServer(kind, tmp_path))]
            url = servers[0].url
        clients = [stack.enter_context(monitor(each)) for each in servers]
        for _ in range(3):
            gone = opened(url)
            await gone.wait([QUEUE], 0.0)
            assert await gone.claim(QUEUE, 1, LEASE, "gone") == []
            await gone.close()
        await until_nobody_listens(*clients)
        assert [each for client in clients for each in client.keys("*:waiters")]
        await opened(url).add(QUEUE, jobs("a"))
        assert not [each for client in clients for each in client.keys("*:waiters")]


def _master(kind: str, place: Path) -> RedisServer:
    place.mkdir()
    return RedisServer(kind, place, tcp=True, options={"repl-diskless-sync-delay": "0"})


async def _has(client: redis.Redis, key: str) -> bool:
    return bool(client.exists(f"asyncmq:{{{QUEUE}}}:{key}"))


async def _is_linked(client: redis.Redis) -> bool:
    return client.info("replication").get("master_link_status") == "up"


async def test_waiting_for_fifty_queues_sends_nothing(server, idle):
    store = await idle()
    names = [f"q{number}" for number in range(50)]
    with server.client() as client:
        client.config_resetstat()
        assert await store.wait(names, 1.0) == set()
        sent = set(client.info("commandstats")) - {"cmdstat_info", "cmdstat_config|resetstat"}
        assert sent == set()
        assert len(client.client_list(_type="pubsub")) == 1


async def test_a_cancelled_wait_loses_no_wake_up(server, idle, producer):
    store = await idle()
    waiting = asyncio.create_task(store.wait([QUEUE], LONG))
    await asyncio.sleep(0)
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting
    await producer.add(QUEUE, jobs("a"))
    assert await store.wait([QUEUE], LONG) == {QUEUE}


def test_it_works_on_uvloop(server):
    async def scenario() -> set[str]:
        store, other = RedisBackend(server.url), RedisBackend(server.url)
        try:
            await store.wait([QUEUE], LONG)
            await store.claim(QUEUE, 1, LEASE, "w")
            waiting = asyncio.create_task(store.wait([QUEUE], LONG))
            await other.add(QUEUE, jobs("a"))
            return await waiting
        finally:
            await store.close()
            await other.close()

    assert uvloop.run(scenario()) == {QUEUE}


# ---------------------------------------------------------------------- who waits for results


@pytest.fixture
async def waiter(server: RedisServer) -> AsyncIterator[RedisBackend]:
    """A store that waits for a thousand jobs, none of which has ended."""
    store = RedisBackend(server.url)
    await store.add(QUEUE, jobs(*WAITED))
    assert await store.wait_ended({QUEUE: WAITED}, 0.0) == {}
    yield store
    await store.close()


WAITED = {f"job{number}" for number in range(1_000)}


def processed(server: RedisServer) -> int:
    with server.client() as client:
        return client.info("stats")["total_commands_processed"]


async def test_a_thousand_waits_cost_less_than_a_command_a_second(server, waiter, monkeypatch):
    """A look at all of them, at the least, every 15 seconds; a ping each 4 of silence."""
    waiter._ways.here().endings._next_sweep = 0.0
    before = processed(server)
    assert await waiter.wait_ended({QUEUE: WAITED}, 0.0) == {}
    # Less what INFO and its connection are: two.
    look = processed(server) - before - 2
    assert (
        look / ended_jobs.SWEEP + 1 / subscriber.HEARTBEAT + 1 / ended_jobs.Endings.look_every < 1
    )


async def test_after_a_lost_connection_what_ended_meanwhile_is_found(server, waiter, producer):
    waiting = asyncio.create_task(waiter.wait_ended({QUEUE: WAITED}, LONG))
    await asyncio.sleep(0)
    with server.client() as client:
        client.client_kill_filter(_type="pubsub")
        client.delete(f"asyncmq:{{{QUEUE}}}:hearers")  # nobody is told
    await producer.remove(QUEUE, ["job7"])
    assert await waiting == {QUEUE: {"job7"}}
    await producer.remove(QUEUE, ["job8"])
    assert await waiter.wait_ended({QUEUE: WAITED - {"job7"}}, LONG) == {QUEUE: {"job8"}}


async def test_who_listens_to_all_channels_keeps_none_of_the_dead_among_those_who_are_told(
    server, waiter, opened
):
    with monitor(server) as client:
        await waiter.close()
        await until_nobody_listens(client)
        other = opened(server.url)
        await other.wait_ended({QUEUE: {"job7"}}, 0.0)
        names = [each.decode() for each in client.smembers(f"asyncmq:{{{QUEUE}}}:hearers")]
        assert names == [other._ways.here().endings.name]


async def test_what_somebody_else_publishes_is_passed_over(server, waiter, producer):
    with server.client() as client:
        for data in (b"", b"\xa1\xff", b"\x92\xa1m\x91\xa1\xff", b"\x91" * 5_000):
            assert client.publish(waiter._ways.here().endings.name, data) == 1
        connections = client.info("stats")["total_connections_received"]
        await producer.remove(QUEUE, ["job7"])
        assert await waiter.wait_ended({QUEUE: WAITED}, LONG) == {QUEUE: {"job7"}}
        assert client.info("stats")["total_connections_received"] == connections


async def test_a_server_that_forgot_whom_to_tell_is_told_anew(
    server, waiter, producer, monkeypatch
):
    monkeypatch.setattr(ended_jobs, "SWEEP", 0.05)
    waiter._ways.here().endings._next_sweep = 0.0
    with server.client() as client:
        client.flushall()
    async with asyncio.timeout(LONG):
        assert await waiter.wait_ended({QUEUE: WAITED}, LONG) == {QUEUE: WAITED}
        await producer.add(QUEUE, jobs("later"))
        await waiter.wait_ended({QUEUE: {"later"}}, 0.1)
    with server.client() as client:
        assert client.scard(f"asyncmq:{{{QUEUE}}}:hearers") == 1


async def test_a_look_at_jobs_knows_that_a_parked_one_has_not_ended(waiter, producer):
    await producer.add("letters", jobs("a"))
    [claim] = await producer.claim("letters", 1, LEASE, "w")
    assert await producer.apply("letters", [parked(claim, "mod.f")]) == ["applied"]
    assert await waiter.wait_ended({"letters": {"a"}}, 0.0) == {}


async def test_where_nobody_waits_nothing_is_told(server, producer, monkeypatch):
    monkeypatch.setattr(ended_jobs, "LINGER", 0.01)
    store = RedisBackend(server.url)
    await store.add(QUEUE, jobs("a", "b"))
    await store.wait_ended({QUEUE: {"a"}}, 0.0)
    with server.client() as client:
        await eventually(lambda: asyncio.to_thread(lambda: not client.pubsub_channels()))
        await producer.remove(QUEUE, ["a"])
        assert not client.exists(f"asyncmq:{{{QUEUE}}}:hearers"), "struck out at the first end"
        before = client.info("commandstats").get("cmdstat_publish", {}).get("calls", 0)
        await producer.remove(QUEUE, ["b"])
        assert client.info("commandstats").get("cmdstat_publish", {}).get("calls", 0) == before
    await store.close()
