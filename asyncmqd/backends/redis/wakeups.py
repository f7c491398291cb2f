"""Wake-ups: one subscribed connection to each master, silent until something happens."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Collection

from redis.asyncio.connection import AbstractConnection

from asyncmqd.backends.redis.connect import COMMAND_TIMEOUT, FAULTS, Link, connect

HEARTBEAT = 4.0  # seconds of silence after which the server is asked whether it is still there


class Wakeups:
    """Hears, on a channel of its own, which queues may have work.

    Messages are lost while a connection is down, so after each (re)connection all queues count as
    woken. A script publishes on the node that holds its queue, and learns from that node alone
    whether anybody listens: hence a connection to each master of a cluster.
    """

    def __init__(self, link: Link, name: str, queue_of: Callable[[bytes], str]) -> None:
        self._link = link
        self.name = name  # of the channel
        self._queue_of = queue_of
        self._woken: set[str] = set()
        self._event = asyncio.Event()
        self._ears: dict[str, _Ear] = {}  # by master

    @property
    def channel(self) -> str:
        """The channel, or nothing while nobody listens to it."""
        return self.name if self._ears else ""

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
        ears, self._ears = self._ears, {}
        for ear in ears.values():
            await ear.close()

    async def _listen(self) -> bool:
        """See that there is a live connection to each master; whether any was missing."""
        try:
            masters = await self._link.masters()
            alive = {name for name, ear in self._ears.items() if ear.hears}
            if alive == masters.keys():
                return False
            if self._ears:  # one broke, and what broke it may have hit the others too
                await self._link.distrust()
                masters = await self._link.masters()
            await self.close()
            async with asyncio.timeout(COMMAND_TIMEOUT):
                for name, make in masters.items():
                    ear = self._ears[name] = _Ear(make(), self._note)
                    await ear.open(self.name)
        except BaseException as error:
            await self.close()
            if isinstance(error, FAULTS):
                await self._link.distrust()  # it may have named a master that is none any more
                told = self._link.error(error)
                raise told from told.__cause__
            raise
        return True

    def _note(self, base: bytes | None) -> None:
        if base is not None:
            self._woken.add(self._queue_of(base))
        self._event.set()


class _Ear:
    """One subscribed connection. It tells `note` the message, or None when it has broken."""

    def __init__(
        self, connection: AbstractConnection, note: Callable[[bytes | None], None]
    ) -> None:
        self._connection = connection
        self._note = note
        self._reader: asyncio.Task[None] | None = None

    @property
    def hears(self) -> bool:
        """Whether the connection is alive, as far as is known."""
        return self._reader is not None and not self._reader.done()

    async def open(self, channel: str) -> None:
        """Subscribe, and begin to read."""
        await connect(self._connection)
        await self._connection.send_command("SUBSCRIBE", channel)
        await self._connection.read_response()
        self._reader = asyncio.create_task(self._read())
        self._reader.add_done_callback(lambda _: self._note(None))

    async def close(self) -> None:
        """Stop reading and disconnect."""
        if self._reader is not None:
            self._reader.cancel()
            await asyncio.gather(self._reader, return_exceptions=True)
        await self._connection.disconnect(nowait=True)

    async def _read(self) -> None:
        """Until the connection breaks, or the server is silent for two heartbeats."""
        asked = False
        while True:
            message = await self._connection.read_response(
                timeout=HEARTBEAT, disconnect_on_error=False
            )
            if message is not None:
                asked = False
                if message[0] == b"message":  # the other kind is the answer to a PING
                    self._note(message[2])
            elif asked:
                return
            else:
                asked = True
                await self._connection.send_command("PING")
