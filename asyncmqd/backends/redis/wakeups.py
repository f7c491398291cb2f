"""Wake-ups: one subscribed connection to each master, silent until something happens."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Collection

from redis.asyncio.connection import AbstractConnection

from asyncmqd.backends.redis.connect import COMMAND_TIMEOUT, FAULTS, Link

HEARTBEAT = 12.0  # seconds of silence after which the server is asked whether it is still there


class Wakeups:
    """Hears, on a channel of its own, which queues may have work.

    Messages are lost while a connection is down, so after each (re)connection all queues count as
    woken. A script publishes on the node that holds its queue, and learns from that node alone
    whether anybody listens: hence a connection to each master of a cluster.
    """

    def __init__(self, link: Link, channel: str, queue_of: Callable[[bytes], str]) -> None:
        self._link = link
        self._channel = channel
        self._queue_of = queue_of
        self._woken: set[str] = set()
        self._event = asyncio.Event()
        self._readers: dict[str, asyncio.Task[None]] = {}  # by master

    @property
    def channel(self) -> str:
        """The channel, or nothing while nobody listens to it."""
        return self._channel if self._readers else ""

    async def wait(self, queues: Collection[str], timeout: float) -> set[str]:
        """See `BaseBackend.wait`."""
        if await self._listen():
            return set(queues)
        try:
            async with asyncio.timeout(timeout):
                while not self._woken & set(queues):
                    self._event.clear()
                    await self._event.wait()
                    if await self._listen():
                        return set(queues)
        except TimeoutError:
            return set()
        woken = self._woken & set(queues)
        self._woken -= woken
        return woken

    async def close(self) -> None:
        """Stop listening."""
        readers, self._readers = self._readers, {}
        for reader in readers.values():
            reader.cancel()
        await asyncio.gather(*readers.values(), return_exceptions=True)

    async def _listen(self) -> bool:
        """See that there is a live connection to each master; whether any was missing."""
        try:
            masters = await self._link.masters()
            alive = {name for name, reader in self._readers.items() if not reader.done()}
            if alive == masters.keys():
                return False
            await self.close()
            async with asyncio.timeout(COMMAND_TIMEOUT):
                for name, make in masters.items():
                    self._readers[name] = await self._subscribe(make())
        except BaseException as error:
            await self.close()
            if isinstance(error, FAULTS):
                raise self._link.error(error) from error
            raise
        return True

    async def _subscribe(self, connection: AbstractConnection) -> asyncio.Task[None]:
        try:
            await connection.connect()
            await connection.send_command("SUBSCRIBE", self._channel)
            await connection.read_response()
        except BaseException:
            await connection.disconnect(nowait=True)
            raise
        return asyncio.create_task(self._read(connection))

    async def _read(self, connection: AbstractConnection) -> None:
        """Note wake-ups until the connection breaks, or the server is silent for two heartbeats."""
        try:
            asked = False
            while True:
                message = await connection.read_response(
                    timeout=HEARTBEAT, disconnect_on_error=False
                )
                if message is not None:
                    asked = False
                    self._note(message)
                elif asked:
                    return
                else:
                    asked = True
                    await connection.send_command("PING")
        finally:
            await connection.disconnect(nowait=True)
            self._event.set()

    def _note(self, message: list[bytes]) -> None:
        if message[0] == b"message":  # the other kind is the answer to a PING
            self._woken.add(self._queue_of(message[2]))
            self._event.set()
