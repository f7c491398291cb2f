"""How connections are made: names with several addresses, full backlogs, and what refuses them."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import os
import socket
import threading
import time
from collections.abc import Callable, Coroutine, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import pytest
import uvloop

from asyncmqd.backends.base import Held, StoreError, StoreUncertain
from asyncmqd.backends.redis import RedisBackend, dial, lookups
from asyncmqd.client.pending import CallOptions, add_one_sync, pending
from asyncmqd.domain.job import NewJob
from tests.cluster import Cluster
from tests.servers import USUAL, RedisServer, silent_server

QUEUE = "mail"
RUNNERS = pytest.mark.parametrize("runner", [asyncio.run, uvloop.run])
Runner = Callable[[Coroutine[Any, Any, Any]], Any]


def _on(url: str, what: Callable[[RedisBackend], Coroutine[Any, Any, Any]]) -> Any:
    """Do this with a store of one's own."""

    async def do() -> Any:
        store = RedisBackend(url)
        try:
            return await what(store)
        finally:
            await store.close()

    return do()


async def _add(store: RedisBackend) -> None:
    await store.add(QUEUE, [NewJob(id="a", payload=b"{}")])


async def _hear(store: RedisBackend) -> None:
    assert await store.wait([QUEUE], 10) == {QUEUE}


def _add_without_a_loop(store: RedisBackend) -> None:
    add_one_sync(store, QUEUE, pending("t", [], {}, CallOptions()))


def _extend(store: RedisBackend) -> None:
    extender = store.extender()
    assert extender is not None
    assert extender([Held(QUEUE, "a", 1)], 60) == [False]


# ------------------------------------------------------------------ addresses


@contextmanager
def _silent(port: int, *addresses: str) -> Iterator[None]:
    """Nobody answers there: who connects is heard of no more."""
    with ExitStack() as stack:
        for address in addresses:
            stack.enter_context(silent_server(address, port))
        yield


@pytest.fixture
def several(monkeypatch: pytest.MonkeyPatch) -> None:
    """The name `several` leads to two addresses where nobody answers, one that refuses, ours."""
    addresses = dial.addresses

    async def found(host: str, port: int) -> list[lookups.Found]:
        if host != "several":
            return await addresses(host, port)
        numbers = "127.0.0.2", "127.0.0.3", "127.0.0.4", "127.0.0.1"
        return [each for number in numbers for each in await addresses(number, port)]

    monkeypatch.setattr(dial, "addresses", found)
    monkeypatch.setattr(dial, "STAGGER", 0.02)


@RUNNERS
@pytest.mark.parametrize("what", [_add, _hear])
def test_an_address_that_is_silent_does_not_hide_the_others(
    tmp_path: Path, several: None, runner: Runner, what: Any
) -> None:
    with ExitStack() as stack:
        server = stack.enter_context(RedisServer(USUAL, tmp_path, tcp=True))
        stack.enter_context(_silent(server.port, "127.0.0.2", "127.0.0.3"))
        runner(_on(f"redis://several:{server.port}", what))
        _add_without_a_loop(RedisBackend(f"redis://several:{server.port}"))


async def test_the_same_of_a_master_that_sentinel_names_and_of_sentinel(
    tmp_path: Path, several: None
) -> None:
    with ExitStack() as stack:
        (tmp_path / "m").mkdir()
        (tmp_path / "s").mkdir()
        master = stack.enter_context(RedisServer(USUAL, tmp_path / "m", tcp=True))
        options = {"sentinel monitor": f"jobs 127.0.0.1 {master.port} 1"}
        told = stack.enter_context(
            RedisServer(USUAL, tmp_path / "s", tcp=True, options=options, arguments=["--sentinel"])
        )
        stack.enter_context(_silent(told.port, "127.0.0.2", "127.0.0.3"))
        url = f"redis+sentinel://several:{told.port}/jobs"
        await _on(url, _add)
        await _on(url, _hear)


async def test_the_same_of_a_cluster(tmp_path: Path, several: None) -> None:
    with Cluster(USUAL, tmp_path) as cluster:
        port = cluster.nodes[0].port
        with _silent(port, "127.0.0.2", "127.0.0.3"):
            url = f"redis+cluster://several:{port}"
            await _on(url, _add)
            await _on(url, _hear)


@RUNNERS
def test_if_no_address_takes_it_all_are_named(runner: Runner, several: None) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    with pytest.raises(StoreError, match=r"cannot connect.*127\.0\.0\.2.*127\.0\.0\.1"):
        runner(_on(f"redis://several:{port}", _add))


@RUNNERS
def test_an_attempt_that_is_cancelled_or_too_late_leaves_no_socket(
    runner: Runner, several: None
) -> None:
    def descriptors() -> int:
        return len(os.listdir("/proc/self/fd"))

    async def cancel_at_each_step() -> None:
        gc.collect()  # what former tests left open would be closed meanwhile
        with socket.create_server(("127.0.0.1", 0), backlog=128) as listener:
            port = listener.getsockname()[1]
            seen = []
            for _ in range(3):
                for steps in range(40):
                    attempt = asyncio.ensure_future(dial.to_host("several", port))
                    for _ in range(steps):
                        await asyncio.sleep(0)
                    attempt.cancel()
                    for line in await asyncio.gather(attempt, return_exceptions=True):
                        if isinstance(line, socket.socket):
                            line.close()
                for _ in range(100):
                    await asyncio.sleep(0)
                seen.append(descriptors())
            assert len({*seen}) == 1

    runner(cancel_at_each_step())


def test_every_connection_notices_that_it_leads_nowhere(tmp_path: Path) -> None:
    """And sends at once."""

    def look(line: Any) -> None:
        assert line.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE)
        assert line.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)
        assert line.getsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE) == 30

    async def in_a_loop(store: RedisBackend) -> None:
        await _hear(store)
        [wire] = store._link._idle
        [ear] = store._wakeups._ears.values()
        for transport in (wire._transport, ear._connection._writer):
            look(transport.get_extra_info("socket"))

    with RedisServer(USUAL, tmp_path, tcp=True) as server:
        asyncio.run(_on(server.tcp_url, in_a_loop))
        uvloop.run(_on(server.tcp_url, in_a_loop))
        store = RedisBackend(server.tcp_url)
        for _ in range(2):
            _add_without_a_loop(store)
        [wire] = store._own_connection()._link._idle
        look(wire._line)


# ------------------------------------------------------------------ names


@pytest.fixture
def slow(monkeypatch: pytest.MonkeyPatch) -> Iterator[threading.Event]:
    """The name server says nothing of `slow` until this is set."""
    look_up = socket.getaddrinfo
    says = threading.Event()

    def found(host: Any, port: Any, *args: Any, **options: Any) -> Any:
        if host != "slow":
            return look_up(host, port, *args, **options)
        if options.get("flags"):
            raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")
        says.wait()
        return look_up("127.0.0.1", port, *args, **options)

    monkeypatch.setattr(socket, "getaddrinfo", found)
    yield says
    says.set()


def _lookups() -> int:
    return sum(each.name == "asyncmqd-names" for each in threading.enumerate())


@RUNNERS
def test_a_slow_name_server_holds_one_thread_of_ours_and_none_of_others(
    runner: Runner, slow: threading.Event, tmp_path: Path
) -> None:
    async def try_often(url: str) -> None:
        store = RedisBackend(url)
        for _ in range(3):
            calls = (store.counts([f"q{number}"]) for number in range(10))
            told = await asyncio.gather(*calls, return_exceptions=True)
            assert {type(each) for each in told} == {StoreError}
        assert _lookups() == 1
        for _ in range(40):  # more than asyncio has threads
            await asyncio.to_thread(int)
        await store.close()

    with RedisServer(USUAL, tmp_path, tcp=True) as server:
        url = f"redis://slow:{server.port}"
        runner(try_often(f"{url}?timeout=0.1"))  # its end waits for no look-up
        assert _lookups() == 1

        async def go_on() -> None:
            call = asyncio.ensure_future(_on(url, _add))
            await asyncio.sleep(0)
            slow.set()
            await call

        runner(go_on())


def test_a_forked_child_looks_up_by_itself(slow: threading.Event) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]

        async def give_up() -> None:
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(dial.to_host("slow", port), 0.05)

        asyncio.run(give_up())
        pid = os.fork()
        if pid == 0:
            slow.set()
            with contextlib.suppress(BaseException):
                asyncio.run(dial.to_host("slow", port)).close()
                os._exit(0)
            os._exit(1)
        assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0


class Stop(Exception):
    """What the handler of a signal raises."""


@pytest.fixture
def listening(slow: threading.Event) -> Iterator[Callable[[], None]]:
    """Connects by the name `slow`, which is looked up at once."""
    slow.set()
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]

        async def connect() -> None:
            async with asyncio.timeout(10):
                (await dial.to_host("slow", port)).close()

        yield lambda: asyncio.run(connect())


def test_a_handler_that_raises_before_a_look_up_has_its_thread_leaves_no_name_unknown(
    listening: Callable[[], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted(*_: Any) -> None:
        raise Stop

    with monkeypatch.context() as at_first:
        at_first.setattr(lookups.os_threads, "start", interrupted)
        with pytest.raises(Stop):
            listening()
    listening()


class Interrupted(dict[Any, Any]):
    """The look-ups that are under way. `handler` is called once, while one is being added."""

    def __init__(self, handler: Callable[[], None]) -> None:
        super().__init__()
        self.handler: Callable[[], None] | None = handler

    def setdefault(self, *arguments: Any) -> Any:
        found = super().setdefault(*arguments)
        handler, self.handler = self.handler, None
        if handler is not None:
            handler()
        return found


@pytest.mark.parametrize("moment", ["added", "begun"])
def test_a_handler_may_wait_for_another_thread_that_connects_by_the_name(
    listening: Callable[[], None], monkeypatch: pytest.MonkeyPatch, moment: str
) -> None:
    """As `enqueue_sync` does there: its thread must not wait for the one that was stopped."""
    start = lookups.os_threads.start
    others: list[bool] = []

    def handler() -> None:
        with monkeypatch.context() as meanwhile:
            meanwhile.setattr(lookups.os_threads, "start", start)
            other = threading.Thread(target=listening, daemon=True)
            other.start()
            other.join(20)
            others.append(other.is_alive())

    def interrupted(*arguments: Any) -> None:
        handler()
        start(*arguments)

    if moment == "added":
        monkeypatch.setattr(lookups, "_under_way", Interrupted(handler))
    else:
        monkeypatch.setattr(lookups.os_threads, "start", interrupted)
    listening()
    assert others == [False]


async def test_a_name_that_leads_nowhere_is_told_at_once() -> None:
    with pytest.raises(StoreError, match="cannot connect"):
        await _on("redis://no-such-host.invalid", _add)


# ------------------------------------------------------------------ unix sockets


@contextmanager
def _full(server: RedisServer) -> Iterator[None]:
    """A server that lets nobody in just now, and has as many waiting as there may be."""
    server.freeze()
    with ExitStack() as stack:
        with contextlib.suppress(BlockingIOError):
            while True:
                each = stack.enter_context(socket.socket(socket.AF_UNIX))
                each.setblocking(False)
                each.connect(str(server.socket))
        yield
        server.thaw()


@pytest.fixture
def small(tmp_path: Path) -> Iterator[RedisServer]:
    with RedisServer(USUAL, tmp_path, options={"tcp-backlog": "2"}) as running:
        yield running


@RUNNERS
@pytest.mark.parametrize("what", [_add, _hear])
def test_a_full_backlog_is_waited_for(small: RedisServer, runner: Runner, what: Any) -> None:
    async def go_on() -> None:
        with _full(small):
            call = asyncio.ensure_future(_on(f"{small.url}?timeout=20", what))
            for _ in range(200):
                await asyncio.sleep(0)
            assert not call.done()
        await call

    runner(go_on())


@RUNNERS
def test_who_begins_to_listen_waits_for_a_full_backlog_too(
    small: RedisServer, runner: Runner
) -> None:
    async def go_on() -> None:
        store = RedisBackend(f"{small.url}?timeout=20")
        await store.connect()
        with _full(small):
            heard = asyncio.ensure_future(_hear(store))
            for _ in range(200):
                await asyncio.sleep(0)
            assert not heard.done()
        await heard
        await store.close()

    runner(go_on())


@RUNNERS
def test_what_a_full_backlog_never_let_in_is_not_in_doubt(
    small: RedisServer, runner: Runner
) -> None:
    with _full(small):
        with pytest.raises(StoreError) as told:
            runner(_on(f"{small.url}?timeout=0.2", _add))
        assert not isinstance(told.value, StoreUncertain)
        with pytest.raises(StoreError) as told:
            _add_without_a_loop(RedisBackend(f"{small.url}?timeout=0.2"))
        assert not isinstance(told.value, StoreUncertain)


def test_who_renews_leases_waits_for_a_full_backlog_too(small: RedisServer) -> None:
    with _full(small):
        began = time.monotonic()
        with pytest.raises(BlockingIOError):
            dial.to_path_in_a_thread(str(small.socket), 0.3)
        assert time.monotonic() - began >= 0.29
    _extend(RedisBackend(small.url))


# ------------------------------------------------------------------ refused


async def test_whoever_is_turned_away_at_the_first_look_has_stored_nothing() -> None:
    async def turn_away(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.close()

    async with await asyncio.start_server(turn_away, "127.0.0.1", 0) as server:
        port = server.sockets[0].getsockname()[1]
        with pytest.raises(StoreError) as told:
            await _on(f"redis://127.0.0.1:{port}", _add)
    assert not isinstance(told.value, StoreUncertain)


async def test_a_first_call_that_is_sent_and_not_answered_is_in_doubt(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One limit is for the look and the call: it may end when the server has done the call."""
    with RedisServer(USUAL, tmp_path) as server:
        store = RedisBackend(f"{server.url}?timeout=0.5")
        look = store._look

        async def look_and_freeze() -> None:
            await look()
            server.freeze()

        monkeypatch.setattr(store, "_look", look_and_freeze)
        with pytest.raises(StoreUncertain):
            await _add(store)
        server.thaw()
        await store.close()
