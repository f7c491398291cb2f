"""Wake-ups: which queues may have work."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Collection

from asyncmqd.backends.base import ASSIGNED, RECALLED, WATCHED, Assigned, StoreRefused, Take
from asyncmqd.backends.redis import signing_up
from asyncmqd.backends.redis.calls import Link
from asyncmqd.backends.redis.subscribers import Ears
from asyncmqd.domain import clock

_TO_ALL: dict[bytes | None, str] = {each.encode(): each for each in (RECALLED, WATCHED)}


def channel_of_recalls(prefix: str) -> str:
    """All who run jobs listen there. It is one for all queues, because a recall is rare,
    and so is the first who watches."""
    return f"{prefix}:recalled"


class Wakeups(Ears):
    """Hears which queues may have work; after each (re)connection all of them count as woken."""

    def __init__(
        self, link: Link, prefix: str, queue_of: Callable[[bytes], str], timeout: float
    ) -> None:
        super().__init__(link, f"{prefix}:wake:{clock.nonce()}", timeout)
        self._queue_of = queue_of
        self._woken: set[str] = set()
        self.take: Take | None = None  # called with jobs that are assigned to workers here
        self._most = 0  # bytes of a job's string that they want
        self.shared = (channel_of_recalls(prefix),)

    @property
    def channel(self) -> str:
        """The channel, or nothing while nobody listens to it."""
        return self.name if self._ears else ""

    def sign_up(self, worker: str, lease: float, number: int, most: int) -> bytes:
        """What turn.lua is told of a worker for whom a job may be claimed; nothing if none may."""
        self._most = most
        hears = self._ears and self.take is not None
        return signing_up.sign_up(worker, lease, number) if hears else b""

    async def wait(self, queues: Collection[str], timeout: float) -> set[str]:
        """See `BaseBackend.wait`. Who may not listen looks now and then."""
        try:
            return await self._wait(queues, timeout)
        except StoreRefused as error:
            self.refusal = str(error)
            await asyncio.sleep(min(timeout, self.look_every))
            return set(queues) - {ASSIGNED}  # nobody could sign up

    async def _wait(self, queues: Collection[str], timeout: float) -> set[str]:
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

    def _note(self, message: bytes | None) -> None:
        if message in _TO_ALL:
            self._woken.add(_TO_ALL[message])
        elif message is not None and message[:1] == signing_up.MARK:
            self._hand_out(message)
        elif message is not None:
            self._woken.add(self._queue_of(message))
        self._event.set()

    def _hand_out(self, message: bytes) -> None:
        try:
            told = signing_up.read(message)
            claim = signing_up.claim_of(told, self._queue_of(told.base), self._most)
        except signing_up.FAULTS:  # from somebody else; or look, to be sure
            self._woken.add(ASSIGNED)
            return
        if self.take is not None:
            self.take(Assigned(claim, told.sign_up, self.certain_since))
