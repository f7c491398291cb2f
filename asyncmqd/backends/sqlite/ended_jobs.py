"""Which jobs have ended, between the processes of a host: heard by those who wait for results.

Who commits the end of jobs sends their ids to the sockets of these alone: see `wakeups.py`.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import Callable
from pathlib import Path

import msgspec

from asyncmqd.backends.base import Waited
from asyncmqd.backends.ended_jobs import Heard
from asyncmqd.backends.sqlite.wake_directory import identity
from asyncmqd.backends.sqlite.wakeups import FULL, LOOK_EVERY, Listener, name_of_ear

SWEEP = 10.0  # seconds between looks at all jobs that are waited for: whoever commits may die first
LINGER = 30.0  # seconds that a process goes on to listen once it waits for nothing
_SIZE = 128 * 1024  # bytes; a message has up to 500 ids of 128 bytes

_message = msgspec.msgpack.Decoder(tuple[str, list[str]]).decode


class Endings(Listener):
    """Hears which jobs have ended, in one event loop."""

    def __init__(self, database: Path) -> None:
        super().__init__(database, name_of_ear())
        self._heard = Heard()
        self._next_sweep = 0.0  # loop time
        self._leaving: asyncio.TimerHandle | None = None

    async def wait_ended(
        self,
        waited: Waited,
        timeout: float,
        look: Callable[[], None] = lambda: None,
    ) -> dict[str, set[str]]:
        """See `BaseBackend.wait_ended`; `look` is as in `wait`."""
        loop = asyncio.get_running_loop()
        if self._leaving is not None:
            self._leaving.cancel()
        try:
            return await self._until(waited, loop.time() + timeout, look)
        finally:
            self._leaving = loop.call_later(LINGER, self.abandon)

    async def _until(
        self, waited: Waited, end: float, look: Callable[[], None]
    ) -> dict[str, set[str]]:
        loop = asyncio.get_running_loop()
        while True:
            self._see_to_the_socket(look)
            if loop.time() >= self._next_sweep:
                self._heard.miss()
                self._next_sweep = loop.time() + SWEEP
            if found := self._heard.take(waited):
                return found
            left = end - loop.time()
            if left <= 0:
                return {}
            await self._heard.sleep(min(left, LOOK_EVERY))

    def _see_to_the_socket(self, look: Callable[[], None]) -> None:
        if self._socket is not None:
            look()
            if identity(self._path) == self._identity:
                return
            self.abandon()  # the directory was removed, or its names
        self._listen()
        self._heard.miss()

    def abandon(self) -> None:
        """Stop listening."""
        if self._leaving is not None:
            self._leaving.cancel()
        super().abandon()

    def _receive(self, listener: socket.socket) -> None:
        received = 0
        with contextlib.suppress(BlockingIOError):
            for _ in range(FULL):
                message = listener.recv(_SIZE)
                received += 1
                # Of an older release, which sends a queue; or of somebody else in the group.
                with contextlib.suppress(ValueError, RecursionError):
                    self._heard.note(*_message(message))
        if received >= FULL:
            self._heard.miss()
