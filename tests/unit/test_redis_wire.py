"""A connection of ours to Redis: replies in pieces, and those that nobody asked for."""

from __future__ import annotations

import asyncio
import os
import socket
import subprocess
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress

import pytest
import uvloop

from asyncmqd.backends.base import StoreUncertain
from asyncmqd.backends.redis.address import parse
from asyncmqd.backends.redis.calls import Link, Trip
from asyncmqd.backends.redis.connect import link_to, open_tcp
from asyncmqd.backends.redis.scripts import Command
from asyncmqd.backends.redis.wire import Wire
from tests.servers import USUAL, RedisServer

PING = ("PING",)
Serve = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


@asynccontextmanager
async def _linked(serve: Serve) -> AsyncIterator[tuple[Link, list[int]]]:
    """A link to a server that does so for each connection, and how many there were."""
    connections: list[int] = []
    ended: list[asyncio.Future[None]] = []

    async def begin(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        connections.append(1)
        ended.append(asyncio.get_running_loop().create_future())
        mine = ended[-1]
        await serve(reader, writer)
        writer.close()
        mine.set_result(None)

    async with await asyncio.start_server(begin, "127.0.0.1", 0) as server:
        port = server.sockets[0].getsockname()[1]
        link = link_to(parse(f"redis://127.0.0.1:{port}?timeout=10"))
        try:
            yield link, connections
        finally:
            await link.close()
            await asyncio.gather(*ended)


async def test_a_reply_may_come_byte_by_byte_and_more_than_one_at_once() -> None:
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while await reader.read(65_536):
            for byte in b"*2\r\n$3\r\nabc\r\n:5\r\n":
                writer.write(bytes([byte]))
                await writer.drain()
                await asyncio.sleep(0)
            writer.write(b"-ERR no such thing\r\n+PONG\r\n")

    async with _linked(serve) as (link, connections):
        with pytest.raises(Exception, match="no such thing"):
            await link.run(PING, PING, PING)
        replies = await link._send(Trip(link._limits), [PING, PING, PING])
        assert [replies[0], str(replies[1]), replies[2]] == [[b"abc", 5], "no such thing", b"PONG"]
        assert len(connections) == 1


async def test_what_nobody_asked_for_is_no_reply_to_the_next() -> None:
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while await reader.read(65_536):
            writer.write(b"+PONG\r\n+another\r\n")

    async with _linked(serve) as (link, connections):
        for _ in range(3):
            assert await link.run(PING) == [b"PONG"]
        assert len(connections) == 3


async def test_who_answers_in_another_language_may_have_done_it() -> None:
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(65_536)
        writer.write(b"HTTP/1.1 400 Bad Request\r\n\r\n")
        await reader.read()

    async with _linked(serve) as (link, _):
        with pytest.raises(StoreUncertain):
            await link.run(PING)


async def test_a_large_call_is_made_no_faster_than_the_server_takes_it() -> None:
    count, size = 64, 512 * 1024
    made = 0
    may_read = asyncio.Event()

    def command() -> Command:
        nonlocal made
        made += 1
        return "SET", "a", b"x" * size

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await may_read.wait()
        got = 0
        while got < count * size:
            got += len(await reader.read(size))
        writer.write(b"+OK\r\n" * count)
        await reader.read()

    async with _linked(serve) as (link, _):
        call = asyncio.ensure_future(link.run(*[command] * count))
        before = -1
        while made != before or not made:  # until it waits for the server
            before = made
            for _ in range(100):
                await asyncio.sleep(0)
        may_read.set()
        assert before < count
        assert await call == [b"OK"] * count


async def test_a_call_cut_short_leaves_nothing_to_a_server_that_takes_nothing() -> None:
    """The socket is closed at once, and what was not sent yet is kept no longer."""
    begun, may_read, lost = asyncio.Event(), asyncio.Event(), asyncio.Event()
    got = 0

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal got
        await reader.readexactly(1)
        begun.set()
        await may_read.wait()
        with suppress(ConnectionResetError):
            while piece := await reader.read(1024 * 1024):
                got += len(piece)
        lost.set()

    size = 64 * 1024 * 1024  # more than the kernel takes
    async with _linked(serve) as (link, _):
        call = asyncio.ensure_future(link.run(("SET", "a", b"x" * size)))
        await begun.wait()
        call.cancel()
        await asyncio.gather(call, return_exceptions=True)
        may_read.set()
        await lost.wait()
        assert got < size


@pytest.mark.parametrize("runner", [asyncio.run, uvloop.run])
def test_an_opening_that_is_cancelled_leaves_no_socket(runner) -> None:
    """Whatever it waits for just then."""

    def descriptors() -> int:
        """Without /dev/null, which uvloop opens for itself with its first connection."""
        links = [f"/proc/self/fd/{each}" for each in os.listdir("/proc/self/fd")]
        return sum(os.path.lexists(each) and os.readlink(each) != os.devnull for each in links)

    async def cancelled(wire: Wire, steps: int) -> None:
        opening = asyncio.ensure_future(wire.open())
        for _ in range(steps):
            await asyncio.sleep(0)
        opening.cancel()
        await asyncio.gather(opening, return_exceptions=True)
        wire.close()

    async def cancel_at_each_step() -> None:
        # Whoever connects is in the backlog of the listener, and gets no reply.
        with socket.create_server(("127.0.0.1", 0), backlog=128) as listener:
            port = listener.getsockname()[1]
            seen = []
            for _ in range(3):
                for steps in range(16):
                    wire = Wire(lambda wire: open_tcp(wire, "127.0.0.1", port), [PING])
                    await cancelled(wire, steps)
                for _ in range(100):  # turns of the loop, which closes what it was told to close
                    await asyncio.sleep(0)
                seen.append(descriptors())
            assert len({*seen}) == 1

    runner(cancel_at_each_step())


def test_a_producer_imports_neither_redis_py_nor_other_stores(tmp_path) -> None:
    """They would cost it half of its start, and a third of its memory."""
    program = (
        "import asyncio, sys, asyncmqd\n"
        "@asyncmqd.task(name='t')\n"
        "async def t(): pass\n"
        "asyncmqd.connect(sys.argv[1])\n"
        "asyncio.run(t.enqueue())\n"
        "print('asyncmqd.backends.redis.by_thread' in sys.modules)\n"
        "t.enqueue_sync()\n"
        "unused = 'asyncmqd.backends.memory', 'asyncmqd.client.result_waits'\n"
        "print([m for m in sys.modules if m.split('.')[0] == 'redis' or m in unused])"
    )
    with RedisServer(USUAL, tmp_path) as server:
        done = subprocess.run(
            [sys.executable, "-c", program, server.url], capture_output=True, text=True, check=True
        )
    assert done.stdout.split() == ["False", "[]"]
