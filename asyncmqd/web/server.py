"""An HTTP/1.1 server in the daemon's own loop: h11 reads and writes, here are the connections.

It takes no signals, wakes nobody while nobody asks, and ends at once: why no larger server is
used is in docs/decisions/http-server.md.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import AsyncGenerator, Awaitable, Callable
from typing import NamedTuple

import h11

from asyncmqd.domain.loop_tasks import begin, retrieve_error

FIRST_LIMIT = 5.0  # seconds that a new connection has for its first request
IDLE_LIMIT = 75.0  # seconds that a connection has for each later one
SEND_LIMIT = 10.0  # seconds that a client has to take an answer
# Connections at the same time: 50 event streams and 200 that say nothing leave room for who asks.
MOST_CLIENTS = 300
HEAD_LIMIT = 16 * 1024  # bytes of a request without its body
BODY_LIMIT = 64 * 1024  # bytes
_READ = 64 * 1024  # bytes at once


class Request(NamedTuple):
    """What a client asks for."""

    method: str
    path: str
    headers: dict[str, str]  # by names in small letters; of several of one name, the last
    peer: str  # the address of the other end; empty: a Unix socket
    query: str = ""  # what stands behind the question mark
    body: bytes = b""


class Response(NamedTuple):
    """The answer."""

    status: int
    body: bytes
    type: str = "text/plain; charset=utf-8"
    headers: tuple[tuple[str, str], ...] = ()


class Stream(NamedTuple):
    """An answer that goes on until the client goes away, or its parts end."""

    parts: AsyncGenerator[bytes, None]
    type: str
    headers: tuple[tuple[str, str], ...] = ()
    status: int = 200


Handler = Callable[[Request], Awaitable[Response | Stream]]


class Server:
    """Answers by `handle`; if that raises, by status 500, and `on_error` hears of it."""

    def __init__(self, handle: Handler, on_error: Callable[[Exception], None]) -> None:
        self._handle = handle
        self._on_error = on_error
        self._server: asyncio.Server | None = None
        self._clients: dict[asyncio.Task[None], _Client] = {}  # the oldest first

    async def start(self, listener: socket.socket) -> None:
        """Answer at a socket that is bound."""
        if listener.family == socket.AF_UNIX:
            self._server = await asyncio.start_unix_server(self._serve, sock=listener)
        else:
            self._server = await asyncio.start_server(self._serve, sock=listener)

    async def stop(self) -> None:
        """Answer no more; whoever waits for an answer is cut off."""
        if self._server is not None:
            self._server.close()
        clients = list(self._clients)
        for task in clients:
            task.cancel()
        await asyncio.gather(*clients, return_exceptions=True)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        client = self._clients[task] = _Client(reader, writer)
        try:
            if len(self._clients) <= MOST_CLIENTS or self._cut_off_idle(task):
                await self._converse(client)
        except (OSError, EOFError, TimeoutError, h11.LocalProtocolError):
            return  # it went away, or took too long
        except asyncio.CancelledError:
            return  # by us: asyncio would log it as an error of its own
        finally:
            del self._clients[task]
            writer.close()

    def _cut_off_idle(self, newest: asyncio.Task[None]) -> bool:
        """End the oldest connection that waits for no answer; whether there is one."""
        for task, client in self._clients.items():
            if task is not newest and not client.is_answered and not task.cancelling():
                task.cancel()
                return True
        return False

    async def _converse(self, client: _Client) -> None:
        limit = FIRST_LIMIT
        while True:
            try:
                async with asyncio.timeout(limit):
                    request = await client.receive()
            except h11.RemoteProtocolError as error:
                await client.send(Response(error.error_status_hint, f"{error}\n".encode()))
                return
            if request is None:
                return
            client.is_answered = True
            response = await self._answer(request)
            if isinstance(response, Stream):
                await client.stream(response, head_only=request.method == "HEAD")
                return
            await client.send(response, head_only=request.method == "HEAD")
            client.is_answered = False
            if not client.may_go_on():
                return
            limit = IDLE_LIMIT

    async def _answer(self, request: Request) -> Response | Stream:
        try:
            return await self._handle(request)
        except Exception as error:  # noqa: BLE001 - the daemon goes on, whatever is asked of it
            self._on_error(error)
            return Response(500, b"an error of the daemon: its log has it\n")


class _Client:
    """One connection."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.is_answered = False  # an answer is being made, or sent
        self._reader = reader
        self._writer = writer
        self._connection = h11.Connection(h11.SERVER, max_incomplete_event_size=HEAD_LIMIT)
        peer = writer.get_extra_info("peername")
        self._peer = str(peer[0]) if isinstance(peer, tuple) else ""

    async def receive(self) -> Request | None:
        """The next request; None: there is none. Raises h11.RemoteProtocolError."""
        request, body = None, bytearray()
        while True:
            event = self._connection.next_event()
            if event is h11.NEED_DATA:
                await self._read()
            elif isinstance(event, h11.Request):
                request = self._request(event)
            elif isinstance(event, h11.Data):
                body += event.data
                if len(body) > BODY_LIMIT:
                    raise h11.RemoteProtocolError("the body is too long", error_status_hint=413)
            elif isinstance(event, h11.EndOfMessage):
                return request and request._replace(body=bytes(body))
            else:  # it closed the connection
                return None

    async def _read(self) -> None:
        if self._connection.they_are_waiting_for_100_continue:
            go_on = h11.InformationalResponse(status_code=100, headers=[])
            self._write(self._connection.send(go_on))
        self._connection.receive_data(await self._reader.read(_READ))

    def _request(self, event: h11.Request) -> Request:
        headers = {name.decode("latin-1"): value.decode("latin-1") for name, value in event.headers}
        path, _, query = event.target.decode("latin-1").partition("?")
        return Request(event.method.decode("latin-1"), path, headers, self._peer, query)

    async def send(self, response: Response, *, head_only: bool = False) -> None:
        """Send an answer, and wait until the client takes it."""
        if self._connection.our_state not in {h11.IDLE, h11.SEND_RESPONSE}:
            return
        send = self._connection.send
        self._send_head(response, ("Content-Length", str(len(response.body))))
        if not head_only:
            self._write(send(h11.Data(data=response.body)))
        self._write(send(h11.EndOfMessage()))
        await self._taken()

    def _send_head(self, response: Response | Stream, *headers: tuple[str, str]) -> None:
        all = [
            ("Content-Type", response.type),
            *headers,
            ("X-Content-Type-Options", "nosniff"),
            *response.headers,
        ]
        if not any(name == "Cache-Control" for name, _ in response.headers):
            all.append(("Cache-Control", "no-store"))
        self._write(self._connection.send(h11.Response(status_code=response.status, headers=all)))

    async def stream(self, stream: Stream, *, head_only: bool = False) -> None:
        """Send part after part, the head with the first: by then the stream has begun.

        Nothing more is read: whatever comes now ends it.
        """
        async with contextlib.aclosing(stream.parts):
            gone = begin(self._reader.read(1))
            sent = begin(self._send_parts(stream, head_only=head_only))
            sent.add_done_callback(retrieve_error)
            try:
                await asyncio.wait((sent, gone), return_when=asyncio.FIRST_COMPLETED)
                if sent.done():
                    sent.result()
            finally:
                gone.cancel()
                sent.cancel()
                await asyncio.wait({sent})

    async def _send_parts(self, stream: Stream, *, head_only: bool) -> None:
        part = None if head_only else await anext(stream.parts, None)
        self._send_head(stream, ("Connection", "close"))
        while part is not None:
            self._write(self._connection.send(h11.Data(data=part)))
            await self._taken()
            part = await anext(stream.parts, None)
        self._write(self._connection.send(h11.EndOfMessage()))

    async def _taken(self) -> None:
        """The client takes what was written, but for what a transport keeps anyway."""
        transport = self._writer.transport
        if transport.get_write_buffer_size() > transport.get_write_buffer_limits()[0]:
            async with asyncio.timeout(SEND_LIMIT):
                await self._writer.drain()

    def _write(self, data: bytes | None) -> None:
        if data:
            self._writer.write(data)

    def may_go_on(self) -> bool:
        """Whether another request may come over the same connection."""
        with contextlib.suppress(h11.LocalProtocolError):
            self._connection.start_next_cycle()
            return True
        return False
