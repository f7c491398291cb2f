"""The HTTP server: what clients do, well and badly, over real sockets."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator

import pytest

from asyncmqd.config.http import Http
from asyncmqd.web import server as module
from asyncmqd.web.authorization import Access
from asyncmqd.web.server import Request, Response, Server
from tests.eventually import eventually


async def echo(request: Request) -> Response:
    if request.path == "/breaks":
        raise KeyError("breaks")
    if request.path == "/never":
        await asyncio.Event().wait()
    return Response(200, f"{request.method} {request.path}".encode())


class Served:
    def __init__(self, server: Server, port: int, errors: list[Exception]) -> None:
        self.server, self.port, self.errors = server, port, errors
        self.writers: list[asyncio.StreamWriter] = []

    async def open(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        reader, writer = await asyncio.open_connection("127.0.0.1", self.port)
        self.writers.append(writer)
        return reader, writer

    async def exchange(self, data: bytes) -> bytes:
        """Send, and read until the server closes the connection."""
        reader, writer = await self.open()
        writer.write(data)
        return await reader.read()


@pytest.fixture
async def served() -> AsyncIterator[Served]:
    listener = socket.socket()
    listener.bind(("127.0.0.1", 0))
    errors: list[Exception] = []
    server = Server(echo, errors.append)
    served = Served(server, listener.getsockname()[1], errors)
    await server.start(listener)
    yield served
    await server.stop()
    for writer in served.writers:
        writer.close()


LAST = b"Host: a\r\nConnection: close\r\n\r\n"


async def test_requests_follow_one_another_over_one_connection(served: Served) -> None:
    first = b"GET /a?x=1 HTTP/1.1\r\nHost: a\r\n\r\n"
    answer = await served.exchange(first + b"GET /b HTTP/1.1\r\n" + LAST)
    assert [part for part in (b"GET /a", b"GET /b") if part in answer] == [b"GET /a", b"GET /b"]
    assert answer.count(b"HTTP/1.1 200") == 2


async def test_head_has_no_body(served: Served) -> None:
    answer = await served.exchange(b"HEAD /a HTTP/1.1\r\n" + LAST)
    assert answer.endswith(b"\r\n\r\n")
    assert b"content-length: 7" in answer.lower()


async def test_an_error_of_ours_is_an_answer_and_is_told(served: Served) -> None:
    both = b"GET /breaks HTTP/1.1\r\nHost: a\r\n\r\nGET /a HTTP/1.1\r\n" + LAST
    answer = await served.exchange(both)
    assert [part in answer for part in (b" 500 ", b"KeyError", b"GET /a")] == [True, False, True]
    assert [type(each) for each in served.errors] == [KeyError]


@pytest.mark.parametrize(
    ("sent", "status"),
    [
        (b"nonsense\r\n\r\n", b"400"),
        (b"GET /a HTTP/1.1\r\n\r\n", b"400"),  # no Host
        (b"GET /a HTTP/1.1\r\nHost: a\r\nX: " + b"x" * 40_000, b"431"),
        (b"POST /a HTTP/1.1\r\nHost: a\r\nContent-Length: 100000\r\n\r\n" + b"x" * 100_000, b"413"),
        (
            b"POST /a HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\nContent-Length: 4\r\n\r\nabc",
            b"400",
        ),
        (b"GET /a HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: odd\r\n\r\n", b"501"),
    ],
    ids=["nonsense", "no host", "long header", "long body", "two lengths", "odd encoding"],
)
async def test_what_is_no_request_is_refused(served: Served, sent: bytes, status: bytes) -> None:
    assert (await served.exchange(sent)).startswith(b"HTTP/1.1 " + status)


async def test_a_connection_that_asks_nothing_is_closed(
    served: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "FIRST_LIMIT", 0.05)
    assert await served.exchange(b"") == b""
    assert await served.exchange(b"GET /a HT") == b""


async def test_one_that_does_nothing_gives_way_to_another(
    served: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "MOST_CLIENTS", 2)
    readers = [(await served.open())[0] for _ in range(2)]
    assert b" 200 " in await served.exchange(b"GET /a HTTP/1.1\r\n" + LAST)
    assert await readers[0].read() == b""


async def test_a_stop_waits_for_nobody(served: Served) -> None:
    reader, writer = await served.open()
    writer.write(b"GET /never HTTP/1.1\r\nHost: a\r\n\r\n")
    idle, _ = await served.open()
    await asyncio.sleep(0.05)
    await served.server.stop()
    assert await reader.read() == await idle.read() == b""


async def test_an_idle_server_has_no_timer(served: Served) -> None:
    assert b" 200 " in await served.exchange(b"GET /a HTTP/1.1\r\n" + LAST)

    async def is_alone() -> bool:
        return not served.server._clients

    await eventually(is_alone)
    timers = asyncio.get_running_loop()._scheduled  # type: ignore[attr-defined]
    assert [each for each in timers if not each.cancelled()] == []


# ---------------------------------------------------------------------- who asks


def asked(peer: str = "127.0.0.1", **headers: str) -> Request:
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return Request("GET", "/", named, peer)


@pytest.mark.parametrize(
    ("keys", "host", "known"),
    [
        ({"listen": "127.0.0.1:9"}, "127.0.0.1:9", True),
        ({"listen": "127.0.0.1:9"}, "LOCALHOST", True),
        ({"listen": "[::1]:9"}, "[::1]:9", True),
        ({"listen": "127.0.0.1:9"}, "evil.example.org:9", False),
        ({"listen": "127.0.0.1:9"}, "", False),
        ({"listen": "127.0.0.1:9", "allowed_hosts": ("q.example.org",)}, "q.example.org", True),
        ({"listen": "0.0.0.0:9", "allowed_hosts": ("q.example.org",)}, "10.0.0.1:9", False),
        ({"listen": "0.0.0.0:9"}, "10.0.0.1:9", True),
        ({"listen": "unix:/run/x"}, "whatever", True),
    ],
)
def test_the_names_that_are_answered(keys: dict[str, object], host: str, known: bool) -> None:
    assert Access(Http(**keys)).knows_host(asked(host=host)) is known  # type: ignore[arg-type]


def test_only_a_trusted_proxy_says_who_asks() -> None:
    access = Access(Http(listen="127.0.0.1:9", trusted_proxies=("10.0.0.0/8",)))
    said = "6.6.6.6, 203.0.113.7, 10.0.0.2"
    assert access.client(asked("10.0.0.1", x_forwarded_for=said)) == "203.0.113.7"
    assert access.client(asked("203.0.113.9", x_forwarded_for=said)) == "203.0.113.9"
    assert access.client(asked("10.0.0.1")) == "10.0.0.1"
