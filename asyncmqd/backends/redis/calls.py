"""What all ways to a store have in common: a call, its time limit, and a second try.

redis-py's own retries are off: a claim that is sent twice orphans jobs, and a slow script would run
as often as it is retried. Whoever gets a StoreError asks again, since every verb is idempotent.
"""

from __future__ import annotations

import abc
import asyncio
from collections.abc import Callable, Coroutine, Sequence
from typing import TYPE_CHECKING, Any

from asyncmqd.backends.base import StoreError
from asyncmqd.backends.call_withdrawal import departing
from asyncmqd.backends.redis.address import Address
from asyncmqd.backends.redis.errors import (
    broken,
    faults,
    has_refused,
    says_elsewhere,
    to_store_error,
)
from asyncmqd.backends.redis.replies import LostConnection, is_unknown_script
from asyncmqd.backends.redis.scripts import IN_FULL, WAIT, Argument, Command, Late, made
from asyncmqd.backends.redis.time_limits import Limited, TimeLimits

if TYPE_CHECKING:
    from redis.asyncio.connection import AbstractConnection

RunAll = Callable[..., Coroutine[Any, Any, list[Any]]]
"""`Link.run_all`, of one or another."""

_is_error = Exception.__instancecheck__  # `isinstance`, for `map` and `filter`


class Trip(Limited):
    """A call on its way: its time limit, and whether the server may have got any of it.

    `lost`: an earlier try may have done it, and its answer did not come.
    """

    sent = False
    lost = False
    given_up = False

    def give_up(self) -> None:
        """End it now, unless its own time is up already."""
        if not self.has_expired:
            self.given_up = True
            self.expire()


class Link(abc.ABC):
    """A bounded set of connections to a store. It connects at its first use."""

    clustered = False  # whether the keys of two queues may be on two nodes

    def __init__(self, address: Address) -> None:
        self._address = address
        self._free = asyncio.Semaphore(address.max_connections)
        self._limits = TimeLimits(address.timeout)
        self.on_distrust: Callable[[], None] = lambda: None
        """Called when the old connections turn out to lead nowhere, or to the wrong server."""

    def run(self, *commands: Command | Late, again: bool = False) -> Coroutine[Any, Any, list[Any]]:
        """The same as `run_all`."""
        return self.run_all(commands, again=again)

    async def run_all(
        self, commands: Sequence[Command | Late], *, again: bool = False
    ) -> list[Any]:
        """Send commands in one write; the reply to each. Raises StoreError if one of them fails.

        A script that a server does not have, because it is new or was told to forget, is sent in
        full; the other commands are not repeated. With `again` all are sent once more, by a fresh
        connection, if this one broke or led to a server that is not the one any more.
        """
        trip = self._trip()
        replies = await self._travel(trip, commands, again)
        for reply in filter(_is_error, replies):
            told = self.error(reply, sent=True, lost=trip.lost)
            raise told from told.__cause__
        return replies

    async def run_each(self, commands: Sequence[Command]) -> list[Any]:
        """The same for the calls of several callers: the reply to each, or its StoreError."""
        trip = self._trip()
        replies = await self._travel(trip, commands)
        for at, reply in enumerate(replies):
            if _is_error(reply):
                replies[at] = self.error(reply, sent=True, lost=trip.lost)
        return replies

    async def run_parts(self, command: Command, split: Callable[[Any], list[Any]]) -> list[Any]:
        """A script that does something for each of several callers: to each its reply or error.

        `split` takes the script's own reply apart. Raises StoreError if the script was not run, or
        if nobody knows.
        """
        [reply] = await self.run_all([command])
        replies = split(reply)
        errors = [*filter(_is_error, replies)]
        if any(map(says_elsewhere, errors)):
            self.distrust()
        if errors:
            return [self.error(each, sent=True) if _is_error(each) else each for each in replies]
        return replies

    def _trip(self) -> Trip:
        return Trip(self._limits)

    async def _travel(
        self, trip: Trip, commands: Sequence[Command | Late], again: bool = False
    ) -> list[Any]:
        if (departure := departing.get()) is not None:
            departure.has_begun = lambda: trip.sent
        try:
            with trip:
                await self._free.acquire()
                try:
                    return await self._send_all(trip, commands, again)
                finally:
                    self._free.release()
        except faults() as error:
            told = self.error(self._reason(trip, error), sent=trip.sent, lost=trip.lost)
            raise told from told.__cause__

    def _reason(self, trip: Trip, error: Exception) -> Exception:
        if trip.given_up:
            return LostConnection("given up, because another connection to the server was silent")
        if isinstance(error, TimeoutError) and trip.sent:
            self.distrust(silent=True)
        return error

    async def _send_all(
        self, trip: Trip, commands: Sequence[Command | Late], again: bool
    ) -> list[Any]:
        try:
            replies = await self._send(trip, commands)
            if not any(map(_is_error, replies)):
                return replies
            await self._send_unknown(trip, commands, replies)
        except broken() as error:
            if not again:
                raise
            trip.lost = trip.sent and not has_refused(error)
            return await self._send_all(trip, commands, again=False)
        elsewhere = [says_elsewhere(reply) for reply in replies]
        if any(elsewhere):
            self.distrust()
            if again:
                trip.lost = not all(elsewhere)  # it may have done some
                return await self._send_all(trip, commands, again=False)
        return replies

    async def _send_unknown(
        self, trip: Trip, commands: Sequence[Command | Late], replies: list[Any]
    ) -> None:
        """Send the scripts that the server does not have in full, and take those replies."""
        for texts in IN_FULL:
            unknown = [at for at, reply in enumerate(replies) if is_unknown_script(reply)]
            if not unknown:
                return
            # Replicas confirmed what came before those scripts: wait for them again.
            unknown += [at for at, command in enumerate(commands) if made(command)[0] == WAIT]
            again = await self._send(trip, texts([made(commands[at]) for at in unknown]))
            for at, reply in zip(unknown, again, strict=True):
                replies[at] = reply

    def error(self, error: Exception, *, sent: bool = False, lost: bool = False) -> StoreError:
        """What the contract calls this error; see `to_store_error`."""
        return to_store_error(self._address, error, sent=sent, lost=lost)

    @abc.abstractmethod
    async def _send(self, trip: Trip, commands: Sequence[Command | Late]) -> list[Any]:
        """One reply or exception for each command."""

    @abc.abstractmethod
    async def look(self) -> None:
        """See whether the server that it is connected to is still the one to write to.

        Raises StoreError if not; the next call looks for the one that is.
        """

    @abc.abstractmethod
    async def ask(self, *command: Argument) -> list[Any]:
        """The answer of each master to one command."""

    @abc.abstractmethod
    async def masters(self) -> dict[str, Callable[[], AbstractConnection]]:
        """How to make a connection of one's own to each master, by the master's name."""

    @abc.abstractmethod
    def distrust(self, *, silent: bool = False) -> None:
        """Use no old connection any more: what they lead to is dead, or no master.

        `silent`: an answer did not come, so that those under way will not come either.
        """

    @abc.abstractmethod
    async def close(self) -> None:
        """Close all connections; the link may be used again."""

    @abc.abstractmethod
    def abandon(self) -> None:
        """Close all sockets, once the event loop is closed."""
