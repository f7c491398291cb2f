"""One connection to a server: commands go out in one write, their replies come in the same order.

By hiredis, and without redis-py: docs/decisions/own-connections-to-redis.md says why.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterator, Sequence
from typing import Any

import hiredis

from asyncmqd.backends.redis.replies import NOTHING_YET, LostConnection, reader
from asyncmqd.backends.redis.scripts import Command, Late, made

Opening = Callable[[asyncio.Protocol], Awaitable[Any]]
"""Connects a protocol to the server."""

_pack: Callable[[Command], bytes] = hiredis.pack_command  # type: ignore[assignment]
_PIECE = 64 * 1024  # bytes that are packed before they are sent


class Wire(asyncio.Protocol):
    """A connection, which belongs to one caller at a time. It is opened once, and closed once."""

    def __init__(self, opening: Opening, greeting: Sequence[Command]) -> None:
        self._opening = opening
        self._greeting = greeting  # logs in
        self._transport: asyncio.Transport | None = None
        self._reader = reader()
        self._replies: list[Any] = []
        self._wanted = 0  # replies
        self._answered: asyncio.Future[list[Any]] | None = None  # to who waits for them
        self._writable = asyncio.Event()
        self._writable.set()
        self._reason = ""  # why it is closed

    @property
    def is_usable(self) -> bool:
        """Whether it is open, and has said nothing that nobody asked for."""
        return not self._reason and not self._reader.has_data()

    async def open(self) -> None:
        """Connect and log in. Raises LostConnection, and Refused if the server lets nobody in."""
        try:
            await self._opening(self)
        except (OSError, UnicodeError) as error:  # the latter of a host's name
            raise LostConnection(f"cannot connect: {error or type(error).__name__}") from error
        for reply in await self.exchange(self._greeting):
            if isinstance(reply, Exception):
                raise reply

    async def exchange(self, commands: Sequence[Command | Late]) -> list[Any]:
        """Send commands; a reply or Refused for each. Raises LostConnection."""
        if not commands:
            return []
        self._wanted = len(commands)
        answered: asyncio.Future[list[Any]] = asyncio.get_running_loop().create_future()
        self._answered = answered
        try:
            if not self.is_usable:
                self._take()  # what it has said by itself: it says so why it turns somebody away
                self._lose(self._reason)
            if not answered.done():
                await self._write(commands)
            return await answered
        finally:
            self._answered, self._replies = None, []  # which may be large
            if not answered.cancel() and not answered.cancelled():
                answered.exception()  # or it is logged that nobody has heard of it

    async def _write(self, commands: Sequence[Command | Late]) -> None:
        assert self._transport is not None, "not opened"
        if len(commands) == 1:
            self._transport.write(_pack(made(commands[0])))
            return
        for each in packed(commands):
            if not self._writable.is_set():
                await self._writable.wait()
            self._transport.write(each)

    def close(self) -> None:
        """Close it; nothing is waited for.

        What is not sent yet is dropped: a server that takes nothing would keep it here, and the
        socket with it, for as long as it does so.
        """
        self._reason = self._reason or "it was closed"
        if self._transport is not None:
            self._transport.abort()

    def cut(self) -> None:
        """Close the socket without its event loop, which is closed and cannot do it."""
        transport, self._transport = self._transport, None
        # uvloop has closed its sockets by itself, and shows something else.
        line = getattr(transport and transport.get_extra_info("socket"), "_sock", None)
        if line is not None:
            line.close()

    # ------------------------------------------------------------------ asyncio calls these

    def connection_made(self, transport: Any) -> None:  # uvloop's are of no class of asyncio's
        """It is connected."""
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        """The server has said something."""
        self._reader.feed(data)
        if self._answered is not None:
            self._take()

    def eof_received(self) -> None:
        """The server has closed its side: ours follows."""
        self._lose("the server closed the connection")

    def connection_lost(self, exc: Exception | None) -> None:
        """It is closed."""
        self._lose(f"the connection broke: {exc}" if exc else "the server closed the connection")

    def pause_writing(self) -> None:
        """The server takes less than it is sent."""
        self._writable.clear()

    def resume_writing(self) -> None:
        """It has taken what it was sent."""
        self._writable.set()

    # ------------------------------------------------------------------ replies

    def _take(self) -> None:
        """Take the replies that are there, and tell who waits once all are."""
        answered, replies = self._answered, self._replies
        if answered is None or answered.done():
            return
        try:
            if self._take_up_to(self._wanted, replies):
                answered.set_result(replies)
        except LostConnection as error:
            answered.set_exception(error)

    def _take_up_to(self, wanted: int, replies: list[Any]) -> bool:
        """Add those that are there; whether that is all. Raises LostConnection."""
        while len(replies) < wanted:
            reply = self._reader.gets()
            if reply is NOTHING_YET:
                return False
            if isinstance(reply, LostConnection):  # the server says why it closes
                raise reply
            replies.append(reply)
        return True

    def _lose(self, reason: str) -> None:
        """Fail who waits. An empty reason means that it is open."""
        if not reason:
            return
        self._reason = self._reason or reason
        self._writable.set()  # who waits there finds it closed
        if self._answered is not None and not self._answered.done():
            self._answered.set_exception(LostConnection(self._reason))


def packed(commands: Sequence[Command | Late]) -> Iterator[bytes]:
    """As they are sent: few in one piece, many in several, so that the server begins with the first
    while the others are being packed.
    """
    pieces, size = [], 0
    for command in commands:
        pieces.append(_pack(made(command)))
        size += len(pieces[-1])
        if size >= _PIECE:
            yield b"".join(pieces)
            pieces, size = [], 0
    if pieces:
        yield b"".join(pieces)
