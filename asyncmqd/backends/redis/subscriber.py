"""A subscribed connection that tells what it hears, and that it has broken."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import TYPE_CHECKING

from asyncmqd.domain.loop_tasks import begin

if TYPE_CHECKING:
    from redis.asyncio.connection import AbstractConnection

HEARTBEAT = 4.0  # seconds of silence after which the server is asked whether it is still there


async def connect(connection: AbstractConnection) -> None:
    """Connect and log in."""
    await connection.connect()  # type: ignore[no-untyped-call]


def cut(connection: AbstractConnection) -> None:
    """Close the socket without its event loop, which is closed and cannot do it."""
    writer = connection._writer  # noqa: SLF001 - it has no other way to its socket
    connection._reader = connection._writer = None  # noqa: SLF001
    # uvloop has closed its sockets by itself, and shows something else.
    socket = getattr(writer and writer.get_extra_info("socket"), "_sock", None)
    if socket is not None:
        socket.close()


class Ear:
    """It tells `note` each channel and message, or None for the message when it has broken."""

    def __init__(
        self, connection: AbstractConnection, note: Callable[[bytes, bytes | None], None]
    ) -> None:
        self._connection = connection
        self._note = note
        self._reader: asyncio.Task[None] | None = None
        # Loop time before which nothing was said that is heard now: the server's answers to what
        # was sent then came before it.
        self.certain_since = 0.0

    @property
    def hears(self) -> bool:
        """Whether the connection is alive, as far as is known."""
        return self._reader is not None and not self._reader.done()

    async def open(self, *channels: str) -> None:
        """Subscribe, and begin to read. Raises what redis-py does."""
        await connect(self._connection)
        self.certain_since = asyncio.get_running_loop().time()
        await self._connection.send_command("SUBSCRIBE", *channels)
        for _ in channels:
            await self._connection.read_response()
        self._reader = begin(self._read())
        self._reader.add_done_callback(lambda _: self._note(b"", None))

    async def ended(self) -> None:
        """Return once it has broken."""
        if self._reader is not None:
            await asyncio.wait([self._reader])

    async def close(self) -> None:
        """Stop reading and disconnect."""
        if self._reader is not None:
            self._reader.cancel()
            await asyncio.gather(self._reader, return_exceptions=True)
        await self._connection.disconnect(nowait=True)

    def abandon(self) -> None:
        """Close the socket, once the event loop is closed."""
        cut(self._connection)

    async def _read(self) -> None:
        """Until the connection breaks, or the server is silent for two heartbeats."""
        loop = asyncio.get_running_loop()
        asked_at: float | None = None  # loop time of the PING that is not answered yet
        while True:
            message = await self._connection.read_response(
                timeout=HEARTBEAT, disconnect_on_error=False
            )
            if message is None and asked_at is not None:
                return
            if message is not None and message[0] == b"message":
                self._note(message[1], message[2])
            elif message is not None and asked_at is not None:  # the answer to a PING
                self.certain_since, asked_at = asked_at, None
            is_old = message is None or loop.time() - self.certain_since >= HEARTBEAT
            if is_old and asked_at is None:
                asked_at = loop.time()
                await self._connection.send_command("PING")
