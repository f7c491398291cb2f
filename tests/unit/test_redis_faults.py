"""A Redis server that forgets, freezes, dies, refuses or is full."""

from __future__ import annotations

import asyncio
import os
import select
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import msgspec
import pytest

from asyncmqd.backends.base import Held, StoreError, StoreRefused
from asyncmqd.backends.redis import RedisBackend, blocking_clients, leases
from asyncmqd.backends.redis.address import parse as address_of
from asyncmqd.backends.redis.wire import Wire
from asyncmqd.domain.job import NewJob
from asyncmqd.domain.settle import Crashed, Policy, Released, Succeeded, settle
from asyncmqd.domain.states import State
from tests.added import are_new
from tests.eventually import eventually
from tests.servers import KINDS, USUAL, RedisServer

QUEUE = "mail"
LEASE = 60.0


def jobs(*ids: str) -> list[NewJob]:
    return [NewJob(id=id, payload=b"{}") for id in ids]


@pytest.fixture
def server(tmp_path) -> Iterator[RedisServer]:
    with RedisServer(USUAL, tmp_path, tcp=True, appendonly=True) as running:
        yield running


@pytest.fixture
def store(server: RedisServer, opened: Callable[[str], RedisBackend]) -> RedisBackend:
    return opened(server.url)


def _fork_has(descriptor: int) -> bool:
    pid = os.fork()
    if pid == 0:
        os._exit(Path(f"/proc/self/fd/{descriptor}").exists())
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) != 0


def test_a_forked_child_of_one_that_renews_nothing_says_nothing():
    program = (
        "import os; from asyncmqd.backends import RedisBackend\n"
        "RedisBackend('redis://127.0.0.1:1').extender()\n"
        "if pid := os.fork(): os.waitpid(pid, 0)\n"
        "else: os._exit(0)\n"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, check=True)
    assert done.stderr == b""


async def test_a_forked_child_lets_go_of_the_connection_that_renews(server, store):
    await store.add(QUEUE, jobs("a"))
    [claim] = await store.claim(QUEUE, 1, LEASE, "w")
    extend, held = store.extender(), [Held(QUEUE, claim.id, claim.token)]
    assert extend(held, LEASE) == [True]
    [connection] = blocking_clients.connections_of(extend._client)
    line = connection._sock.fileno()
    assert not _fork_has(line)
    with server.client() as client:
        before = client.info("stats")["total_connections_received"]
        assert extend(held, LEASE) == [True]
        assert client.info("stats")["total_connections_received"] == before


@contextmanager
def _in_use_by_a_thread(lock: Any) -> Iterator[None]:
    taken, done = threading.Event(), threading.Event()

    def use() -> None:
        with lock:
            taken.set()
            done.wait()

    thread = threading.Thread(target=use)
    thread.start()
    taken.wait()
    try:
        yield
    finally:
        done.set()
        thread.join()


def _ends(pid: int) -> bool:
    """Whether a child ends by itself."""
    descriptor = os.pidfd_open(pid)
    try:
        ended = bool(select.select([descriptor], [], [], 20)[0])
    finally:
        os.close(descriptor)
    if not ended:
        os.kill(pid, signal.SIGKILL)
    os.waitpid(pid, 0)
    return ended


@pytest.mark.parametrize("scheme", ["redis", "redis+sentinel"])
async def test_a_fork_while_a_thread_uses_the_connection_that_renews(server, scheme):
    """A daemon that starts a program waits for its fork, and so for what a fork waits for."""
    address = address_of(server.url if scheme == "redis" else f"{scheme}://127.0.0.1:1/name")
    extend = leases.LeaseClient(address)
    extend.prepare()
    extend._client = blocking_clients.client_of(address, 2.0)
    with _in_use_by_a_thread(extend._client.connection_pool._lock):
        if (pid := os.fork()) == 0:
            os._exit(0)
        assert _ends(pid)


@pytest.mark.parametrize("kind", KINDS)
async def test_forgotten_scripts_are_sent_again_and_nothing_else_is(kind, tmp_path, opened):
    with RedisServer(kind, tmp_path) as server, server.client() as client:
        store = opened(server.url)
        assert are_new(await store.add(QUEUE, jobs("a", "b", "c"))) == [True] * 3
        [claim] = await store.claim(QUEUE, 1, LEASE, "w")
        client.script_flush()
        turn = await store.turn(QUEUE, [settle(claim, Succeeded(), Policy(), 0)], 1, LEASE, "w")
        assert turn.answers == ["applied"]
        assert [each.id for each in turn.claims] == ["b"]
        counts = (await store.counts([QUEUE]))[QUEUE]
        assert (counts.waiting, counts.active, counts.completed) == (1, 1, 1)


async def test_a_turn_applies_before_it_claims_whatever_a_server_has_forgotten(server, store):
    """It knows what a claim needs and not what a change needs, if those are two scripts."""
    ids = [f"j{number:03}" for number in range(700)]  # more than a page
    await store.add(QUEUE, jobs(*ids))
    claims = await store.claim(QUEUE, len(ids), LEASE, "w")
    with server.client() as client:
        client.script_flush()
    assert await store.claim("other", 1, LEASE, "w") == []
    changes = [settle(claim, Released(), Policy(), 0) for claim in claims]
    turn = await store.turn(QUEUE, changes, len(ids), LEASE, "w")
    assert turn.answers == ["applied"] * len(ids)
    assert [claim.id for claim in turn.claims] == ids


async def test_the_lease_thread_survives_forgotten_scripts(server, store):
    await store.add(QUEUE, jobs("a"))
    [claim] = await store.claim(QUEUE, 1, LEASE, "w")
    extend = store.extender()
    with server.client() as client:
        client.script_flush()
    held = [Held(QUEUE, "a", claim.token), Held(QUEUE, "a", 7), Held("other", "a", 1)]
    assert await asyncio.to_thread(extend, held, LEASE) == [True, False, False]
    server.restart()
    with suppress(StoreError):  # its connection is dead, which it finds out now
        await asyncio.to_thread(extend, held, LEASE)
    assert await asyncio.to_thread(extend, held, LEASE) == [True, False, False]


async def test_a_cancelled_call_leaves_its_reply_to_nobody(server, opened, monkeypatch):
    sent = asyncio.Event()
    write = Wire._write

    async def write_and_tell(wire, commands):
        await write(wire, commands)
        sent.set()

    store = opened(f"{server.url}?max_connections=1")
    await store.add(QUEUE, jobs("a"))
    server.freeze()
    monkeypatch.setattr(Wire, "_write", write_and_tell)
    call = asyncio.create_task(store.queues())
    async with asyncio.timeout(10):
        await sent.wait()  # the server has the request, and cannot answer
    call.cancel()
    with suppress(asyncio.CancelledError):
        await call
    server.thaw()
    assert (await store.counts([QUEUE]))[QUEUE].waiting == 1
    assert await store.queues() == [QUEUE]


async def test_a_frozen_server_is_an_error_in_time(server, opened):
    store = opened(f"{server.url}?timeout=0.2")
    await store.connect()
    server.freeze()
    with pytest.raises(StoreError, match=r"no answer within 0\.2 s"):
        await store.now()
    server.thaw()
    assert await store.now() > 0


async def test_calls_whose_limits_end_in_one_turn_of_the_loop_are_all_errors_of_the_store(
    server, opened, monkeypatch
):
    """As on a busy machine: the first to go gave up the others, whose limits had ended as well."""
    sent = asyncio.Semaphore(0)
    write = Wire._write

    async def write_and_tell(wire, commands):
        await write(wire, commands)
        sent.release()

    limit = 0.2
    store = opened(f"{server.url}?timeout={limit}")
    await store.connect()
    server.freeze()
    monkeypatch.setattr(Wire, "_write", write_and_tell)
    calls = [asyncio.create_task(store.now()) for _ in range(3)]
    for _ in calls:
        await asyncio.wait_for(sent.acquire(), 10)
    time.sleep(limit)  # noqa: ASYNC251 - the loop is what comes late
    errors = await asyncio.gather(*calls, return_exceptions=True)
    assert [str(each) for each in errors if not isinstance(each, StoreError)] == []
    server.thaw()
    assert await store.now() > 0


async def test_the_lease_thread_does_not_wait_for_a_frozen_server(server, opened, monkeypatch):
    monkeypatch.setattr(leases, "TIMEOUT", 0.2)
    store = opened(server.tcp_url)
    extend = store.extender()
    server.freeze()
    with pytest.raises(StoreError):
        await asyncio.to_thread(extend, [Held(QUEUE, "a", 1)], LEASE)
    server.thaw()
    assert await asyncio.to_thread(extend, [Held(QUEUE, "a", 1)], LEASE) == [False]


async def test_a_dead_server_is_an_error_until_it_is_back(server, store):
    await store.add(QUEUE, jobs("a"))
    server.kill()
    with pytest.raises(StoreError) as caught:
        await store.claim(QUEUE, 1, LEASE, "w")
    assert not isinstance(caught.value, StoreRefused)
    server.start()
    assert [each.id for each in await store.claim(QUEUE, 1, LEASE, "w")] == ["a"]


async def test_connections_that_a_restart_closed_are_replaced_unseen(server, store):
    await asyncio.gather(*(store.now() for _ in range(5)))
    server.restart()
    for _ in range(3):
        await asyncio.sleep(0)  # the loop gets to see what has happened to its sockets
    for _ in range(6):
        assert await store.now() > 0


async def test_connections_are_bounded(server, opened):
    store = opened(f"{server.tcp_url}?max_connections=3&timeout=60")
    await asyncio.gather(*(store.add(f"q{n}", jobs("a")) for n in range(50)))
    with server.client() as client:
        mine = [each for each in client.client_list(_type="normal") if each["addr"][0] == "1"]
    assert len(mine) == 3
    assert len(await store.queues()) == 50


async def test_credentials_that_are_wrong_or_missing_are_refused(tmp_path, opened):
    with RedisServer(USUAL, tmp_path, tcp=True, options={"requirepass": "hunter2"}) as server:
        path = server.url.removeprefix("unix://")
        over_tcp = server.tcp_url.replace("://", "://:hunter3@")
        wrong = [f"unix://:hunter3@{path}", f"unix://nobody:hunter2@{path}", over_tcp]
        for url in (server.url, server.tcp_url, *wrong):
            with pytest.raises(StoreRefused) as caught:
                await opened(url).connect()
            assert "hunter" not in str(caught.value)
        await opened(f"unix://:hunter2@{path}").connect()


async def test_a_password_that_the_server_does_not_ask_for_is_refused(server, opened):
    with pytest.raises(StoreRefused, match="without any password"):
        await opened(server.tcp_url.replace("://", "://:hunter2@")).connect()


@pytest.mark.parametrize("kind", KINDS)
async def test_a_user_with_rights_to_the_prefix_alone_is_enough(kind, tmp_path, opened):
    options = {
        "user app": "on >pw ~app:* resetchannels &app:* +@all -@admin -@dangerous +info",
        "user blind": "on >pw ~other:* +@all",
    }
    with RedisServer(kind, tmp_path, options=options) as server:
        path = server.url.removeprefix("unix://")
        store = opened(f"unix://app:pw@{path}?prefix=app")
        await store.wait([QUEUE], 0)
        await store.add(QUEUE, jobs("a"))
        [claim] = await store.claim(QUEUE, 5, LEASE, "w")
        held = [Held(QUEUE, "a", claim.token)]
        assert await asyncio.to_thread(store.extender(), held, LEASE) == [True]
        assert await store.apply(QUEUE, [settle(claim, Succeeded(b"1"), Policy(), 0)]) == [
            "applied"
        ]
        await store.beat("w", b"{}", 10)
        await store.add(QUEUE, jobs("b"))
        assert await store.wait([QUEUE], 10) == {QUEUE}
        await store.warnings()
        with pytest.raises(StoreRefused):
            await opened(f"unix://blind:pw@{path}?prefix=app").connect()


async def test_a_newer_or_foreign_layout_is_refused(server, opened):
    with server.client() as client:
        client.set("new:layout", 99)
        client.set("odd:layout", "hello")
        client.hset("hash:layout", "a", 1)
    for prefix in ("new", "odd", "hash"):
        with pytest.raises(StoreRefused):
            await opened(f"{server.url}?prefix={prefix}").add(QUEUE, jobs("a"))


async def test_two_prefixes_are_two_stores(server, opened):
    one, other = opened(f"{server.url}?prefix=one"), opened(f"{server.url}?prefix=other")
    await one.add(QUEUE, jobs("a"))
    assert await other.queues() == []
    assert await other.claim(QUEUE, 1, LEASE, "w") == []


async def test_a_replica_is_an_error_and_not_a_refusal(server, tmp_path, opened):
    (tmp_path / "replica").mkdir()
    options = {"replicaof": f"127.0.0.1 {server.port}"}
    with RedisServer(USUAL, tmp_path / "replica", options=options) as replica:
        with pytest.raises(StoreError) as caught:
            await opened(replica.url).add(QUEUE, jobs("a"))
        assert not isinstance(caught.value, StoreRefused)


async def test_a_full_server_refuses_new_jobs_and_still_gives_out_old_ones(tmp_path, opened):
    with RedisServer(USUAL, tmp_path) as server, server.client() as client:
        store = opened(server.url)
        await store.add(QUEUE, jobs("a"))
        client.config_set("maxmemory", "1kb")
        with pytest.raises(StoreError, match="maxmemory"):
            await store.add(QUEUE, jobs("b"))
        client.config_set("maxmemory", "0")
        assert (await store.counts([QUEUE]))[QUEUE].waiting == 1


@pytest.mark.parametrize("kind", KINDS)
async def test_a_connection_that_is_refused_costs_none_that_is_there(kind, tmp_path, opened):
    """Others may wait for the places of those that are given up."""
    with RedisServer(kind, tmp_path) as server, server.client() as client:

        async def connected() -> set[str]:
            return {each["id"] for each in client.client_list()}

        async def waits() -> bool:
            return await connected() > before

        store = opened(server.url)
        await store.counts([QUEUE])
        before = await connected()
        waiting = asyncio.create_task(store.wait({QUEUE}, 60.0))
        await eventually(waits)
        before = await connected()
        client.config_set("maxclients", len(before))
        calls = (store.counts([QUEUE]) for _ in range(5))
        told = await asyncio.gather(*calls, return_exceptions=True)
        assert 0 < sum(isinstance(each, StoreError) for each in told) < 5
        await store.add(QUEUE, jobs("a"))
        assert await waiting == {QUEUE}
        assert await connected() == before


@pytest.mark.parametrize("kind", KINDS)
async def test_who_comes_to_a_full_server_can_look_and_make_room(kind, tmp_path, opened):
    with RedisServer(kind, tmp_path) as server, server.client() as client:
        await opened(server.url).add(QUEUE, jobs("a", "b", "c"))
        client.config_set("maxmemory", "1kb")
        store = opened(server.url)
        assert (await store.counts([QUEUE]))[QUEUE].waiting == 3
        assert await store.queues() == [QUEUE]
        assert [each.id for each in await store.list(QUEUE, State.WAITING)] == ["a", "b", "c"]
        assert await store.workers() == await store.schedules(QUEUE) == []
        assert await store.remove(QUEUE, ["a"]) == [True]
        assert await store.purge(QUEUE, State.WAITING) == 2
        assert await store.durability_warning() == ""
        client.flushall()
        with pytest.raises(StoreError, match="maxmemory"):  # what it has no layout of is no store
            await opened(server.url).queues()


@pytest.mark.parametrize("kind", KINDS)
async def test_a_server_that_may_delete_jobs_is_refused_unless_the_url_allows_it(
    kind, tmp_path, opened
):
    limits = {"maxmemory": "100mb", "maxmemory-policy": "allkeys-lru"}
    with RedisServer(kind, tmp_path, options=limits) as server, server.client() as client:
        with pytest.raises(StoreRefused, match=r"allkeys-lru: .* noeviction, or .*allow_eviction"):
            await opened(server.url).add(QUEUE, jobs("a"))
        allowed = opened(f"{server.url}?allow_eviction=true")
        await allowed.add(QUEUE, jobs("a"))
        assert any("allkeys-lru" in each for each in await allowed.warnings())
        assert await allowed.durability_warning() == ""
        client.config_set("maxmemory-policy", "volatile-lru")
        store = opened(server.url)
        await store.add(QUEUE, jobs("b"))
        client.config_set("maxmemory-policy", "allkeys-random")
        assert "allkeys-random" in await store.durability_warning()
        client.config_set("maxmemory", "0")
        assert await store.durability_warning() == ""


@pytest.mark.parametrize("policy", ["noeviction", "volatile-lru", "volatile-random"])
async def test_policies_that_spare_jobs_do(policy, tmp_path, opened):
    limits = {"maxmemory": "4mb", "maxmemory-policy": policy}
    with RedisServer("valkey9", tmp_path, options=limits) as server:
        store = opened(server.url)
        added = await fill(store)
        assert 0 < len(added) < 10_000
        assert all(await store.get(QUEUE, added))


async def fill(store: RedisBackend) -> list[str]:
    """Add jobs until the server is full; those that it took."""
    added: list[str] = []
    with suppress(StoreError):
        for number in range(10_000):
            await store.add(QUEUE, [NewJob(id=f"j{number}", payload=b"x" * 1_000)])
            added.append(f"j{number}")
    return added


async def test_without_the_right_to_ask_it_is_not_known(tmp_path, opened):
    options = {
        "user app": "on >pw ~* &* +@all -info",
        "maxmemory": "100mb",
        "maxmemory-policy": "allkeys-lru",
    }
    with RedisServer(USUAL, tmp_path, options=options) as server:
        store = opened(server.url.replace("://", "://app:pw@"))
        await store.add(QUEUE, jobs("a"))
        assert "INFO" in (await store.warnings())[0]


async def test_warnings(server, store):
    assert await store.warnings() == []
    with server.client() as client:
        client.config_set("maxmemory-policy", "allkeys-lru")
        client.config_set("appendonly", "no")
    policy, persistence = await store.warnings()
    assert "allkeys-lru" in policy
    assert "appendonly" in persistence


async def test_a_payload_that_the_server_lost_is_an_empty_one(server, store):
    await store.add(QUEUE, jobs("a"))
    with server.client() as client:
        assert client.delete(f"asyncmq:{{{QUEUE}}}:job:a") == 1
    [claim] = await store.claim(QUEUE, 1, LEASE, "w")
    assert (claim.payload, claim.token) == (b"", 1)
    assert await store.apply(QUEUE, [settle(claim, Succeeded(), Policy(), 0)]) == ["applied"]


async def test_a_claim_of_which_the_server_lost_all_but_its_place_is_recovered(server, store):
    await store.add(QUEUE, jobs("a"))
    await store.claim(QUEUE, 1, 0.0, "w")
    with server.client() as client:
        assert client.delete(f"asyncmq:{{{QUEUE}}}:runs") == 1
    [claim] = (await store.expired(QUEUE)).claims
    assert claim.token == 0
    crashed = settle(claim, Crashed("its lease ended"), Policy(), 0)
    assert await store.apply(QUEUE, [crashed]) == ["applied"]
    assert [each.id for each in await store.claim(QUEUE, 1, LEASE, "w")] == ["a"]


async def test_a_waiting_job_takes_at_most_400_bytes(server, store):
    count = 20_000
    with server.client() as client:
        before = client.info("memory")["used_memory"]
        for start in range(0, count, 1000):
            page = [f"{number:022}" for number in range(start, start + 1000)]
            await store.add(QUEUE, [NewJob(id=id, payload=b"x" * 100) for id in page])
        after = client.info("memory")["used_memory"]
    assert (after - before) / count <= 400


async def test_the_claims_of_a_big_worker_are_all_found(server, store):
    ids = [f"j{number}" for number in range(1_200)]
    await store.add(QUEUE, jobs(*ids))
    assert len(await store.claim(QUEUE, 1_200, LEASE, "host/1")) == 1_200
    await eventually(lambda: _is_active(store, 1_200))
    assert sorted(each.id for each in await store.held(QUEUE, "host/")) == sorted(ids)
    assert await store.held(QUEUE, "host/2") == []


async def _is_active(store: RedisBackend, count: int) -> bool:
    return (await store.counts([QUEUE]))[QUEUE].active == count


async def test_silent_processes_leave_nothing_in_the_store(server, store):
    await store.beat("silent", b"", 0.0)
    await store.beat("living", b"", LEASE)
    with server.client() as client:
        assert client.hkeys("asyncmq:workers") == [b"living"]


async def test_a_spoilt_run_costs_no_job(server, store):
    """It is read after the jobs were taken from their line, and Redis takes nothing back."""
    await store.add(QUEUE, jobs("a", "b", "c"))
    with server.client() as client:
        sound = msgspec.msgpack.encode([4, 0, 3, 0, "", 2, 0, 0])
        runs = {"a": b"\xc1", "b": b"\x01", "c": sound}
        client.hset(f"asyncmq:{{{QUEUE}}}:runs", mapping=runs)
    claims = await store.claim(QUEUE, 10, LEASE, "w")
    assert [(claim.id, claim.token, claim.failures) for claim in claims] == [
        ("a", 1, 0),
        ("b", 1, 0),
        ("c", 5, 2),
    ]
