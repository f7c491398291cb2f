"""The way to one server, or to the one that Sentinel calls the master."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import hiredis
from redis._parsers.hiredis import NOT_ENOUGH_DATA
from redis.asyncio.connection import AbstractConnection
from redis.exceptions import ConnectionError as LostConnection

from asyncmqd.backends.redis import scripts
from asyncmqd.backends.redis.address import Address
from asyncmqd.backends.redis.calls import Link, Trip
from asyncmqd.backends.redis.errors import says_elsewhere, turns_away
from asyncmqd.backends.redis.scripts import Argument, Command, Late, made
from asyncmqd.backends.redis.sentinel import PROMOTION, Announcements, Discovery
from asyncmqd.backends.redis.subscriber import connect, cut

_pack: Callable[[Command], bytes] = hiredis.pack_command  # type: ignore[assignment]
_PIECE = 64 * 1024  # bytes that are packed before they are sent


class Single(Link):
    """One server, or the master that Sentinel names."""

    def __init__(self, address: Address, connect: Callable[[], AbstractConnection]) -> None:
        super().__init__(address)
        self._connect = connect
        self._idle: list[AbstractConnection] = []
        self._discarded: list[AbstractConnection] = []
        self._under_way: set[Trip] = set()
        self._generation = 0  # of connections: those of an older one are used no more

    async def _send(self, trip: Trip, commands: Sequence[Command | Late]) -> list[Any]:
        # Not redis-py's pipeline: it costs three times the CPU of the round trip itself.
        if self._discarded:
            await self._disconnect_discarded()
        connection = self._idle.pop() if self._idle else self._connect()
        generation, fresh = self._generation, False
        self._under_way.add(trip)
        try:
            fresh = await _is_fresh(connection)
            trip.sent = True
            replies = await _exchange(connection, commands)
        except BaseException as error:
            # A reply to what was cut short must never be read as the reply to something else.
            await connection.disconnect(nowait=True)
            # A server that has enough connections refuses a new one and says why, or the reason is
            # lost: what was written had the connection reset. The others are as good as before.
            alone = turns_away(error) or fresh
            if isinstance(error, LostConnection) and not alone:
                self.distrust()  # the others lead to the same dead or demoted server
            raise
        finally:
            self._under_way.discard(trip)
        (self._idle if generation == self._generation else self._discarded).append(connection)
        return replies

    async def look(self) -> None:
        # Any server but a master refuses a write even if it has nothing to write. To ask for its
        # role would take one more permission.
        key = f"{self._address.prefix}:layout"
        [reply] = await self._travel(Trip(), [("SETNX", key, scripts.LAYOUT)])
        if says_elsewhere(reply):
            told = self.error(reply)
            raise told from told.__cause__

    async def ask(self, *command: Argument) -> list[Any]:
        return await self.run(command)

    async def masters(self) -> dict[str, Callable[[], AbstractConnection]]:
        return {"": self._connect}

    def distrust(self, *, silent: bool = False) -> None:
        self._generation += 1
        self._discarded += self._idle
        self._idle.clear()
        if silent:
            for trip in self._under_way:
                trip.give_up()
        self.on_distrust()

    async def close(self) -> None:
        self._discarded += self._idle
        self._idle.clear()
        await self._disconnect_discarded()

    def abandon(self) -> None:
        for connection in self._idle + self._discarded:
            cut(connection)

    async def _disconnect_discarded(self) -> None:
        while self._discarded:
            await self._discarded.pop().disconnect(nowait=True)


class Watched(Single):
    """The master that Sentinel names, left as soon as Sentinel names another."""

    def __init__(
        self,
        address: Address,
        connect: Callable[[], AbstractConnection],
        discovery: Discovery,
        sentinels: Sequence[Callable[[], AbstractConnection]],
    ) -> None:
        super().__init__(address, connect)
        self._discovery = discovery
        patience = min(PROMOTION, address.timeout / 2)  # and then the call itself takes its time
        self._announcements = Announcements(sentinels, address.service, self.distrust, patience)

    async def _send(self, trip: Trip, commands: Sequence[Command | Late]) -> list[Any]:
        self._announcements.follow()
        await self._announcements.settled()
        return await super()._send(trip, commands)

    async def close(self) -> None:
        await self._announcements.close()
        await super().close()
        await self._discovery.aclose()


def _packed(commands: Sequence[Command | Late]) -> Iterator[bytes]:
    """As they are sent: few in one piece, many in several, so that the server begins with the first
    while the others are being packed.
    """
    if len(commands) == 1:
        yield _pack(made(commands[0]))
        return
    pieces, size = [], 0
    for command in commands:
        pieces.append(_pack(made(command)))
        size += len(pieces[-1])
        if size >= _PIECE:
            yield b"".join(pieces)
            pieces, size = [], 0
    if pieces:
        yield b"".join(pieces)


async def _is_fresh(connection: AbstractConnection) -> bool:
    """Connect, also when the server has closed the connection meanwhile; whether it had to."""
    if connection.is_connected:
        if not await connection.can_read():
            return False
        await connection.disconnect(nowait=True)
    await connect(connection)
    return True


async def _exchange(
    connection: AbstractConnection, commands: Sequence[Command | Late]
) -> list[Any]:
    """Send the commands; a reply or a ResponseError for each. Raises LostConnection.

    By what redis-py's connection is made of. Its own methods take six coroutines for each reply,
    and a third of all that a call costs.
    """
    stream, writer = connection._reader, connection._writer  # noqa: SLF001
    reader: hiredis.Reader = connection._parser._reader  # type: ignore[attr-defined]  # noqa: SLF001
    if stream is None or writer is None:
        raise LostConnection("the connection was closed")
    replies: list[Any] = []
    try:
        begun = False
        for packed in _packed(commands):
            if begun:  # the last one is waited for by its reply
                await writer.drain()
            writer.write(packed)
            begun = True
        while len(replies) < len(commands):
            reply = reader.gets()
            if reply is NOT_ENOUGH_DATA:
                reader.feed(await _data(stream))
            elif isinstance(reply, LostConnection):  # the server says why it closes
                raise reply
            else:
                replies.append(reply)
    except OSError as error:
        raise LostConnection(f"the connection broke: {error}") from error
    return replies


async def _data(stream: asyncio.StreamReader) -> bytes:
    data = await stream.read(_PIECE)
    if not data:
        raise LostConnection("the server closed the connection")
    return data
