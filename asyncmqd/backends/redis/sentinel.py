"""Sentinel: who the master is, and the announcement that it is another one."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from typing import Any

from redis.asyncio.client import Redis
from redis.asyncio.connection import AbstractConnection
from redis.asyncio.sentinel import MasterNotFoundError, Sentinel
from redis.exceptions import AuthenticationError, NoPermissionError

from asyncmqd.backends.redis.errors import faults
from asyncmqd.backends.redis.subscriber import Ear
from asyncmqd.domain.loop_tasks import begin

# By the first the sentinel that leads tells which replica it will make the master, a tenth of a
# second before it does; by the second that it has seen it done, up to a second later. The last
# comes from all of them, when the other replicas follow the new master.
SELECTED = "+selected-slave"
ANNOUNCEMENTS = (SELECTED, "+promoted-slave", "+switch-master")
PROMOTION = 2.0  # seconds that a promotion which was begun is waited for
_OPEN_LIMIT = 2.0  # seconds to connect to a sentinel and subscribe
_PAUSE = 1.0  # seconds until a sentinel that is gone is tried again


class Discovery(Sentinel):
    """Asks one sentinel after the other. redis-py itself names neither the sentinel that failed nor
    the reason, and learns of a promotion only when it is complete.
    """

    def connect_by(self, kind: type[AbstractConnection]) -> None:
        """Have connections of this kind to the sentinels."""
        for sentinel in self.sentinels:
            sentinel.connection_pool.connection_class = kind

    async def discover_master(self, service_name: str) -> tuple[str, int]:
        """The master's address. Raises MasterNotFoundError, or AuthenticationError."""
        failures: list[Exception | str] = []
        reasons = []
        for sentinel in list(self.sentinels):
            try:
                found = await _ask(sentinel, service_name)
            except faults() as error:
                failures.append(error)
                reasons.append(f"sentinel {_name(sentinel)}: {error or 'no answer in time'}")
                continue
            if found is not None:
                self.sentinels.remove(sentinel)  # the next time it is the first to be asked
                self.sentinels.insert(0, sentinel)
                return found
            failures.append("")
            reasons.append(f"sentinel {_name(sentinel)}: it knows no master {service_name!r}")
        text = f"no master found: {'; '.join(reasons)}"
        if all(isinstance(each, AuthenticationError | NoPermissionError) for each in failures):
            raise AuthenticationError(text)
        raise MasterNotFoundError(text)


async def _ask(sentinel: Redis, service: str) -> tuple[str, int] | None:
    command = "SENTINEL GET-MASTER-ADDR-BY-NAME"
    found = await sentinel.execute_command(command, service)  # type: ignore[no-untyped-call]
    return None if not found else (_text(found[0]), int(found[1]))


def _text(value: Any) -> str:
    return value.decode() if isinstance(value, bytes) else str(value)


def _name(sentinel: Redis) -> str:
    where = sentinel.connection_pool.connection_kwargs
    return f"{where['host']}:{where['port']}"


class Announcements:
    """Hears from every sentinel that a service's master is another one, or about to be.

    While a process is connected nothing else tells it: the old master goes on taking what it is
    sent until it is told that it is none any more, which takes ten seconds, and loses all of it. It
    does so before the promotion is announced, too: a second, in which Sentinel names the old one.
    """

    def __init__(
        self,
        sentinels: Sequence[Callable[[], AbstractConnection]],
        service: str,
        heard: Callable[[], None],
        patience: float = PROMOTION,
    ) -> None:
        self._sentinels = sentinels
        self._service = service.encode()
        self._heard = heard
        self._patience = patience  # seconds; a promotion may also come to nothing
        self._tasks: list[asyncio.Task[None]] = []
        self._settled = asyncio.Event()
        self._settled.set()
        self._timer: asyncio.TimerHandle | None = None

    async def settled(self) -> None:
        """Return once it is known who the master is: at once, but in a promotion."""
        await self._settled.wait()

    def follow(self) -> None:
        """Begin to listen, if that was not done yet."""
        if not self._tasks:
            self._tasks = [begin(self._follow(make)) for make in self._sentinels]

    async def close(self) -> None:
        """Stop listening."""
        self._settle()
        tasks, self._tasks = self._tasks, []
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _follow(self, make: Callable[[], AbstractConnection]) -> None:
        missed = False  # what was announced while nobody listened
        while True:
            ear = Ear(make(), self._note)
            try:
                async with asyncio.timeout(_OPEN_LIMIT):
                    await ear.open(*ANNOUNCEMENTS)
                if missed:
                    self._heard()
                await ear.ended()
            except faults():
                pass  # it is tried again, and others are heard
            finally:
                await ear.close()
            missed = True
            await asyncio.sleep(_PAUSE)

    def _note(self, channel: bytes, message: bytes | None) -> None:
        if message is None or self._service not in message.split():
            return
        if channel == SELECTED.encode():
            self._settle()
            self._settled.clear()
            loop = asyncio.get_running_loop()
            self._timer = loop.call_later(self._patience, self._settle)
        else:
            self._heard()
            self._settle()

    def _settle(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._settled.set()
