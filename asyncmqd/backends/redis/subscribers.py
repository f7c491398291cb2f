"""One subscribed connection to each master, silent until something happens."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import TYPE_CHECKING

from asyncmqd.backends.redis.calls import Link
from asyncmqd.backends.redis.errors import faults, turns_away
from asyncmqd.backends.redis.subscriber import Ear

if TYPE_CHECKING:
    from redis.asyncio.connection import AbstractConnection


class Ears:
    """Hears what is said on a channel of its own.

    A script publishes on the node that holds its queue, and learns from that node alone whether
    anybody listens: hence a connection to each master of a cluster. Messages are lost while a
    connection is down.
    """

    look_every = 3.0  # seconds between two looks whether the server is still the one to listen to

    def __init__(self, link: Link, name: str, timeout: float) -> None:
        self._link = link
        self._timeout = timeout  # seconds that it may take to open all connections
        self.name = name  # of the channel
        self.shared: tuple[str, ...] = ()  # channels of all, which are heard as well
        self._event = asyncio.Event()
        self._ears: dict[str, Ear] = {}  # by master
        self._distrusted = False  # whether the ears lead to the wrong server
        self.refusal = ""  # why nobody may listen
        self._look_is_due = True
        self._timer: asyncio.TimerHandle | None = None

    async def close(self) -> None:
        """Stop listening."""
        ears, self._ears = self._ears, {}
        for ear in ears.values():
            await ear.close()

    async def end(self) -> None:
        """Stop listening, and looking."""
        if self._timer is not None:
            self._timer.cancel()
        await self.close()

    def abandon(self) -> None:
        """Close the sockets, once the event loop is closed."""
        for ear in self._ears.values():
            ear.abandon()

    def distrust(self) -> None:
        """The server turned out to be dead or the wrong one: listen again."""
        self._distrusted = True
        self._event.set()

    @property
    def certain_since(self) -> float:
        """Loop time before which nothing was said that is heard now."""
        return min((ear.certain_since for ear in self._ears.values()), default=float("-inf"))

    async def _listen(self) -> bool:
        """See that there is a live connection to each master; whether any was missing."""
        try:
            await self._look()
            masters = await self._link.masters()
            alive = {name for name, ear in self._ears.items() if ear.hears}
            if alive == masters.keys() and not self._distrusted:
                return False
            if self._ears:  # one broke, and its cause may have broken the others as well
                self._link.distrust()
                masters = await self._link.masters()
            await self.close()
            self._distrusted = False
            async with asyncio.timeout(self._timeout):
                await self._open(masters)
        except BaseException as error:
            await self.close()
            if isinstance(error, faults()):
                if not turns_away(error):
                    self._link.distrust()  # it may have named a master that is no longer one
                told = self._link.error(error)
                raise told from told.__cause__
            raise
        return True

    async def _look(self) -> None:
        """Now and then, while there is a server to listen to."""
        if not self._look_is_due:
            return
        self._look_is_due = False
        self._timer = asyncio.get_running_loop().call_later(self.look_every, self._remind)
        if self._ears:
            await self._link.look()

    def _remind(self) -> None:
        self._look_is_due = True
        self._event.set()

    async def _open(self, masters: dict[str, Callable[[], AbstractConnection]]) -> None:
        for name, make in masters.items():
            ear = self._ears[name] = Ear(make(), lambda _, message: self._note(message))
            await ear.open(self.name, *self.shared)
        self.refusal = ""

    def _note(self, message: bytes | None) -> None:
        """A message, or None when a connection has broken."""
        del message
        self._event.set()
