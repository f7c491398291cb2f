"""`enqueue_sync` by the caller's own thread, over a socket that blocks."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest

from asyncmqd.backends.base import StoreError, StoreUncertain
from asyncmqd.backends.redis import RedisBackend, by_thread
from asyncmqd.backends.redis.address import parse
from asyncmqd.backends.redis.by_thread import ByThread
from asyncmqd.client import pending
from asyncmqd.client.pending import CallOptions, add_one_sync
from asyncmqd.client.pending import pending as job_of
from asyncmqd.domain.codec import PayloadTooLarge
from asyncmqd.domain.failpoints import ARMED
from tests.servers import USUAL, RedisServer, silent_server

QUEUE = "mail"
PING = ("PING",)


@pytest.fixture
def server(tmp_path: Path) -> Iterator[RedisServer]:
    with RedisServer(USUAL, tmp_path, tcp=True, appendonly=True) as running:
        yield running


@pytest.fixture(params=["url", "tcp_url"])
def store(request: pytest.FixtureRequest, server: RedisServer) -> RedisBackend:
    """One that was looked at: the first call of a store is a loop's."""
    found = RedisBackend(f"{getattr(server, request.param)}?timeout=1")
    _enqueue(found, "first")
    return found


@pytest.fixture
def no_loop(monkeypatch: pytest.MonkeyPatch, store: RedisBackend) -> None:
    def refuse(work: Any, _: Any) -> None:
        work.close()
        raise AssertionError("expected the caller's own thread to do it")

    monkeypatch.setattr(pending, "run_sync", refuse)


def _enqueue(store: RedisBackend, id: str, size: int = 0) -> str:
    job = job_of("t", ["x" * size], {}, CallOptions(job_id=id))
    return add_one_sync(store, QUEUE, job).id


def _stored(server: RedisServer) -> int:
    async def count() -> int:
        look = RedisBackend(server.url)
        found = (await look.counts([QUEUE]))[QUEUE].waiting
        await look.close()
        return found

    return asyncio.run(count())


def test_no_other_thread_is_asked(server: RedisServer, store: RedisBackend, no_loop: None) -> None:
    for number in range(20):
        assert _enqueue(store, f"{number}", 40_000 * (number % 3)) == f"{number}"
    assert _enqueue(store, "0") == "0", "it existed"
    assert _stored(server) == 21
    with server.client() as client:
        client.script_flush()
    _enqueue(store, "after")


def test_a_connection_that_was_closed_or_a_server_that_is_new_is_connected_to_again(
    server: RedisServer, store: RedisBackend, no_loop: None
) -> None:
    with server.client() as client:
        client.client_kill_filter(_type="normal", skipme=True)
    _enqueue(store, "a")
    server.restart()
    _enqueue(store, "b")
    server.kill()
    with pytest.raises(StoreError, match="cannot connect") as told:
        _enqueue(store, "c")
    assert not isinstance(told.value, StoreUncertain)
    server.start()
    _enqueue(store, "c")
    assert _stored(server) == 4


def test_a_server_that_says_nothing_leaves_a_doubt_after_the_time_limit(
    server: RedisServer, store: RedisBackend, no_loop: None
) -> None:
    server.freeze()
    began = time.monotonic()
    with pytest.raises(StoreUncertain, match=r"no answer within 1 s; job a may be stored") as told:
        _enqueue(store, "a")
    assert 0.9 < time.monotonic() - began < 10
    assert told.value.job_ids == ("a",)
    with pytest.raises(StoreUncertain, match="no answer within 1 s"):
        store._own_connection().run(lambda run: run([PING]))
    server.thaw()
    _enqueue(store, "a")
    assert _stored(server) == 2


def test_a_server_that_lets_nobody_in_leaves_none() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))  # and does not listen
        own = ByThread(parse(f"redis://127.0.0.1:{taken.getsockname()[1]}"))
        with pytest.raises(StoreError, match="cannot connect"):
            own.run(lambda run: run([PING]))
    with silent_server() as port:
        own = ByThread(parse(f"redis://127.0.0.1:{port}?timeout=0.3"))
        with pytest.raises(StoreError, match=r"no answer within 0\.3 s") as told:
            own.run(lambda run: run([PING], again=True))
        assert not isinstance(told.value, StoreUncertain)


def test_who_finds_a_replica_looks_for_the_master_again(
    server: RedisServer, store: RedisBackend, no_loop: None
) -> None:
    with server.client() as client:
        client.replicaof("127.0.0.1", 1)
        with pytest.raises(StoreError, match=r"(?i)replica") as told:
            _enqueue(store, "a")
        assert not isinstance(told.value, StoreUncertain)
        assert store._own_connection()._link._idle == [], "the name may lead elsewhere by now"
        client.replicaof("no", "one")
    _enqueue(store, "a")


def test_a_full_server_lets_nobody_else_in_and_says_so(
    server: RedisServer, store: RedisBackend, no_loop: None
) -> None:
    store._own_connection().close()
    with server.client() as client:
        client.config_set("maxclients", len(client.client_list()))
        with pytest.raises(StoreError, match="max number of clients") as told:
            _enqueue(store, "a")
        assert not isinstance(told.value, StoreUncertain)
        client.config_set("maxclients", 100)
    _enqueue(store, "a")


def test_whoever_comes_meanwhile_goes_by_the_loop(server: RedisServer, store: RedisBackend) -> None:
    def in_a_thread() -> None:
        thread = threading.Thread(target=lambda: ids.append(_enqueue(store, "beside")))
        thread.start()
        thread.join()

    ids: list[str] = []
    ARMED["adding"] = lambda: ARMED.pop("adding", None) and in_a_thread()
    try:
        ids.append(_enqueue(store, "a"))
    finally:
        ARMED.clear()
    assert ids == ["beside", "a"]
    threads = [
        threading.Thread(target=lambda n=n: [_enqueue(store, f"{n}-{m}") for m in range(50)])
        for n in range(8)
    ]
    for each in threads:
        each.start()
    for each in threads:
        each.join()
    assert _stored(server) == 403


def test_a_signal_whose_handler_enqueues_or_raises(
    server: RedisServer, store: RedisBackend
) -> None:
    class Stop(Exception):
        pass

    def once(deed: Callable[[], object]) -> None:
        """Do it when the next call is half-way."""
        ARMED["adding"] = lambda: ARMED.pop("adding", None) and os.kill(os.getpid(), signal.SIGUSR2)
        signal.signal(signal.SIGUSR2, lambda *_: deed())

    def stop() -> None:
        raise Stop

    before = signal.getsignal(signal.SIGUSR2)
    try:
        once(lambda: _enqueue(store, "handler"))
        assert _enqueue(store, "a") == "a"
        once(stop)
        with pytest.raises(Stop):
            _enqueue(store, "b")
    finally:
        ARMED.clear()
        signal.signal(signal.SIGUSR2, before)
    assert _enqueue(store, "b") == "b"
    assert _stored(server) == 4


def test_a_handler_that_raises_while_the_reply_is_waited_for(
    server: RedisServer, store: RedisBackend, no_loop: None
) -> None:
    """What the next call reads is its own reply."""

    class Stop(Exception):
        pass

    def stop(*_: object) -> None:
        raise Stop

    before = signal.signal(signal.SIGALRM, stop)
    try:
        server.freeze()
        signal.setitimer(signal.ITIMER_REAL, 0.2)
        with pytest.raises(Stop):
            _enqueue(store, "a")
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
        server.thaw()
    for id in "abc":
        assert _enqueue(store, id) == id


def test_a_handler_that_enqueues_while_it_connects(
    server: RedisServer, store: RedisBackend, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An event loop connects, but none that the handler could hold up."""
    ids: list[str] = []

    async def interrupted(self: Any) -> socket.socket:
        monkeypatch.undo()
        signal.raise_signal(signal.SIGUSR2)
        return await self._dialled()

    store._own_connection().close()
    monkeypatch.setattr(by_thread._BlockingWire, "_dialled", interrupted)
    before = signal.signal(signal.SIGUSR2, lambda *_: ids.append(_enqueue(store, "handler")))
    try:
        ids.append(_enqueue(store, "a"))
    finally:
        signal.signal(signal.SIGUSR2, before)
    assert ids == ["handler", "a"]
    assert _stored(server) == 3


def _connections_to(port: int) -> set[int]:
    """The descriptors of them. Others of this process come and go with threads of other tests."""
    all_ = psutil.Process().net_connections("tcp")
    return {each.fd for each in all_ if each.raddr and each.raddr.port == port}


def test_a_handler_that_raises_while_it_connects() -> None:
    """No socket is left of what was begun, and the thread has the event loop that it had."""

    class Stop(Exception):
        pass

    def stop(*_: object) -> None:
        raise Stop

    mine = asyncio.new_event_loop()
    asyncio.set_event_loop(mine)
    before = signal.signal(signal.SIGALRM, stop)
    try:
        with silent_server() as port:
            own = ByThread(parse(f"redis://127.0.0.1:{port}"))
            there = _connections_to(port)
            signal.setitimer(signal.ITIMER_REAL, 0.2)
            with pytest.raises(Stop) as told:
                own.run(lambda run: run([PING], again=True))
            assert _connections_to(port) == there
            assert told.traceback  # which would keep it
        assert asyncio.get_event_loop() is mine
    finally:
        signal.signal(signal.SIGALRM, before)
        asyncio.set_event_loop(None)
        mine.close()


def test_a_forked_child_has_a_connection_of_its_own(
    server: RedisServer, store: RedisBackend, no_loop: None
) -> None:
    lock = store._own_connection()._lock
    lock.acquire()  # as if another thread had it at the fork
    pid = os.fork()
    if pid == 0:
        try:
            ok = all(_enqueue(store, f"c{n}") == f"c{n}" for n in range(100))
            os._exit(0 if ok else 1)
        except BaseException:
            os._exit(2)
    lock.release()
    assert all(_enqueue(store, f"p{n}") == f"p{n}" for n in range(100))
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
    assert _stored(server) == 201


def test_a_loop_is_refused_and_a_job_that_is_too_large_is_told(
    store: RedisBackend, no_loop: None
) -> None:
    async def in_a_loop() -> None:
        _enqueue(store, "a")

    with pytest.raises(RuntimeError, match="would block the event loop"):
        asyncio.run(in_a_loop())
    with pytest.raises(PayloadTooLarge):
        _enqueue(store, "a", 10_000_000)
    _enqueue(store, "a")


def test_a_store_that_is_closed_or_dropped_has_no_connection(
    server: RedisServer, store: RedisBackend
) -> None:
    def connected() -> int:
        with server.client() as client:
            return len(client.client_list()) - 1

    def until_connected(count: int) -> None:
        """The server hears of an end when it looks."""
        while connected() != count:
            pass

    _enqueue(store, "a")
    before = connected()
    store._own_connection().close()
    until_connected(before - 1)
    _enqueue(store, "b")
    assert connected() == before
    asyncio.run(store.close())
    until_connected(before - 1)
    _enqueue(store, "c")  # looks again, by the loop
    _enqueue(store, "d")
    assert connected() == before
    own = ByThread(parse(server.url))
    assert own.run(lambda run: run([PING])) == [b"PONG"]
    assert connected() == before + 1
    del own
    until_connected(before)


def test_what_is_closed_while_somebody_has_it_is_closed_after_that(store: RedisBackend) -> None:
    own = store._own_connection()
    ARMED["adding"] = own.close
    try:
        _enqueue(store, "a")
    finally:
        ARMED.clear()
    assert own._link._idle == []
    for id in "bc":
        _enqueue(store, id)
    assert len(own._link._idle) == 1, "it is used again"


async def test_what_nobody_asked_for_is_no_reply_to_the_next() -> None:
    connections = 0

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal connections
        connections += 1
        while await reader.read(65_536):
            for byte in b"+PONG\r\n+another\r\n":
                writer.write(bytes([byte]))
                await writer.drain()
        writer.close()

    async with await asyncio.start_server(serve, "127.0.0.1", 0) as listener:
        own = ByThread(parse(f"redis://127.0.0.1:{listener.sockets[0].getsockname()[1]}"))
        for _ in range(3):
            assert await asyncio.to_thread(own.run, lambda run: run([PING])) == [b"PONG"]
        await asyncio.to_thread(own.close)
    assert connections == 3


async def test_who_answers_in_another_language_may_have_done_it() -> None:
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(65_536)
        writer.write(b"HTTP/1.1 400 Bad Request\r\n\r\n")
        writer.close()

    async with await asyncio.start_server(serve, "127.0.0.1", 0) as listener:
        own = ByThread(parse(f"redis://127.0.0.1:{listener.sockets[0].getsockname()[1]}"))
        with pytest.raises(StoreUncertain):
            await asyncio.to_thread(own.run, lambda run: run([PING]))


def test_a_call_of_a_signal_that_comes_while_the_module_is_imported_goes_by_a_loop(
    server: RedisServer, store: RedisBackend, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As by a half of a module, nothing can be imported then."""
    with monkeypatch.context() as meanwhile:
        meanwhile.setitem(sys.modules, by_thread.__name__, None)
        assert _enqueue(store, "a") == "a"
        assert store._by_thread is None
    _enqueue(store, "b")
    assert store._by_thread is not None
    assert _stored(server) == 3
