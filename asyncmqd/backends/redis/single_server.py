"""The way to one server, or to the one that Sentinel calls the master."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from asyncmqd.backends.redis import scripts
from asyncmqd.backends.redis.address import Address
from asyncmqd.backends.redis.calls import Link, Trip
from asyncmqd.backends.redis.errors import is_lost, says_elsewhere, turns_away
from asyncmqd.backends.redis.scripts import Argument, Command, Late
from asyncmqd.backends.redis.wire import Wire

if TYPE_CHECKING:
    from redis.asyncio.connection import AbstractConnection

    from asyncmqd.backends.redis.sentinel import Announcements, Discovery


class Single(Link):
    """One server, or the master that Sentinel names."""

    def __init__(
        self,
        address: Address,
        wire: Callable[[], Wire],
        subscribing: Callable[[], Callable[[], AbstractConnection]],
    ) -> None:
        super().__init__(address)
        self._wire = wire
        self._subscribing = subscribing  # how connections are made that listen
        self._idle: list[Wire] = []
        self._under_way: set[Trip] = set()
        self._generation = 0  # of connections: those of an older one are used no more

    async def _send(self, trip: Trip, commands: Sequence[Command | Late]) -> list[Any]:
        wire, generation, fresh = self._idle_one(), self._generation, False
        self._under_way.add(trip)
        try:
            if wire is None:
                wire = self._wire()
                await wire.open()
                fresh = True
            trip.sent = True
            replies = await wire.exchange(commands)
        except BaseException as error:
            # A reply to what was cut short must never be read as the reply to something else.
            if wire is not None:
                wire.close()
            # A server that has enough connections refuses a new one and says why, or the reason is
            # lost: what was written had the connection reset. The others are as good as before.
            alone = turns_away(error) or fresh
            if is_lost(error) and not alone:
                self.distrust()  # the others lead to the same dead or demoted server
            raise
        finally:
            self._under_way.discard(trip)
        if generation == self._generation:
            self._idle.append(wire)
        else:
            wire.close()
        return replies

    def _idle_one(self) -> Wire | None:
        """One that is still connected: the server may have closed it meanwhile."""
        while self._idle:
            wire = self._idle.pop()
            if wire.is_usable:
                return wire
            wire.close()
        return None

    async def look(self) -> None:
        # Any server but a master refuses a write even if it has nothing to write. To ask for its
        # role would take one more permission.
        key = f"{self._address.prefix}:layout"
        [reply] = await self._travel(self._trip(), [("SETNX", key, scripts.LAYOUT)])
        if says_elsewhere(reply):
            told = self.error(reply)
            raise told from told.__cause__

    async def ask(self, *command: Argument) -> list[Any]:
        return await self.run(command)

    async def masters(self) -> dict[str, Callable[[], AbstractConnection]]:
        return {"": self._subscribing()}

    def distrust(self, *, silent: bool = False) -> None:
        self._generation += 1
        self._close_idle()
        if silent:
            for trip in self._under_way:
                trip.give_up()
        self.on_distrust()

    async def close(self) -> None:
        self._limits.close()
        self._close_idle()

    def abandon(self) -> None:
        for wire in self._idle:
            wire.cut()

    def _close_idle(self) -> None:
        while self._idle:
            self._idle.pop().close()


class Watched(Single):
    """The master that Sentinel names, left as soon as Sentinel names another."""

    def __init__(
        self,
        address: Address,
        wire: Callable[[], Wire],
        subscribing: Callable[[], Callable[[], AbstractConnection]],
        discovery: Discovery,
        announcements: Callable[[Callable[[], None]], Announcements],
    ) -> None:
        super().__init__(address, wire, subscribing)
        self._discovery = discovery
        self._announcements = announcements(self.distrust)

    async def _send(self, trip: Trip, commands: Sequence[Command | Late]) -> list[Any]:
        self._announcements.follow()
        await self._announcements.settled()
        return await super()._send(trip, commands)

    async def close(self) -> None:
        await self._announcements.close()
        await super().close()
        await self._discovery.aclose()
