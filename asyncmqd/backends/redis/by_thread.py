"""Enqueuing by the caller's own thread, for code without an event loop.

The call is the same coroutine as in a loop. By a socket that blocks it waits for nothing else, so
that it comes to its end in one step, which is taken by hand: no other thread has to be woken, and
none has to wake the caller. One caller at a time has the connection. Whoever comes meanwhile goes
by the loop of `client/sync_calls.py`, where calls share round trips.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import select
import socket
from collections.abc import Callable, Coroutine, Sequence
from typing import Any, TypeVar
from weakref import WeakSet

from asyncmqd.backends.redis import dial
from asyncmqd.backends.redis.address import Address
from asyncmqd.backends.redis.calls import RunAll, Trip
from asyncmqd.backends.redis.connect import greeting
from asyncmqd.backends.redis.replies import LostConnection
from asyncmqd.backends.redis.scripts import Command, Late
from asyncmqd.backends.redis.single_server import Single
from asyncmqd.backends.redis.wire import Wire, packed
from asyncmqd.domain import clock, os_threads
from asyncmqd.domain.loop_tasks import BlockingLoop

Result = TypeVar("Result")

_AT_ONCE = 64 * 1024  # bytes
_EARLY = 0.001  # seconds by which a time limit may come too soon


class ByThread:
    """A connection to one server, and whoever has it."""

    def __init__(self, address: Address) -> None:
        self._address = address
        self._lock = os_threads.lock()
        self._link = _Direct(address)
        self._is_closing = False
        _all.add(self)

    def run(self, work: Callable[[RunAll], Coroutine[Any, Any, Result]]) -> Result | None:
        """What this comes to by the connection; None if somebody else has it. Raises StoreError."""
        lock = self._lock
        if not lock.acquire(blocking=False):
            return None
        try:
            return _driven(work(self._link.run_all))
        finally:
            lock.release()
            if self._is_closing:
                self.close()

    def close(self) -> None:
        """Close the connection; whoever has it does so afterwards. It may be used again."""
        self._is_closing = True
        lock = self._lock
        if lock.acquire(blocking=False):
            self._is_closing = False
            self._link.distrust()
            lock.release()

    def abandon(self) -> None:
        """In a forked child: the connection is the parent's, which goes on using it."""
        self._link.abandon()
        self._lock, self._link = os_threads.lock(), _Direct(self._address)


_all: WeakSet[ByThread] = WeakSet()


def _abandon_all() -> None:
    for each in list(_all):
        each.abandon()


os.register_at_fork(after_in_child=_abandon_all)


def _driven(work: Coroutine[Any, Any, Result]) -> Result:
    try:
        work.send(None)
    except StopIteration as done:
        return done.value  # type: ignore[no-any-return]
    work.close()
    raise AssertionError("expected nothing that waits for an event loop")


class _Limit:
    """Until when the call that is under way has to end."""

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self._end = 0.0

    def begin(self) -> None:
        self._end = clock.monotonic() + self._seconds

    def left(self) -> float:
        """Seconds. Raises TimeoutError if none are."""
        left = self._end - clock.monotonic()
        if left <= _EARLY:
            raise TimeoutError
        return left


class _Trip(Trip):
    """A call whose socket knows the time limit."""

    def __enter__(self) -> None:
        pass

    def __exit__(self, *_: object) -> None:
        pass


class _Direct(Single):
    """The link to one server, for one caller at a time."""

    def __init__(self, address: Address) -> None:
        limit, said = _Limit(address.timeout), greeting(address)
        super().__init__(address, lambda: _BlockingWire(address, said, limit), _listen)
        self._limit = limit

    def _trip(self) -> Trip:
        self._limit.begin()
        return _Trip(self._limits)


def _listen() -> Any:
    raise AssertionError("expected a link of an event loop")


class _BlockingWire(Wire):
    """A connection whose coroutines end in one step."""

    def __init__(self, address: Address, said: Sequence[Command], limit: _Limit) -> None:
        super().__init__(_connect, said)
        self._address = address
        self._limit = limit
        self._line: socket.socket | None = None

    @property
    def is_usable(self) -> bool:
        if self._line is None or not super().is_usable:
            return False
        poll = select.poll()
        poll.register(self._line, select.POLLIN)
        return not poll.poll(0)  # closed, or it has said something that nobody asked for

    async def open(self) -> None:
        """As that of an event loop. Raises TimeoutError, too."""
        try:
            await super().open()
        except LostConnection:
            self._limit.left()  # or it is because time is over
            raise

    async def exchange(self, commands: Sequence[Command | Late]) -> list[Any]:
        """Send commands; a reply or Refused for each. Raises LostConnection and TimeoutError."""
        if not commands:
            return []
        line = self._line
        assert line is not None, "not opened"
        try:
            with contextlib.suppress(ConnectionError):  # whoever turns somebody away has said why
                for each in packed(commands):
                    line.settimeout(self._limit.left())
                    line.sendall(each)
            return self._read(line, len(commands))
        except LostConnection:
            raise
        except OSError as error:
            self._limit.left()  # or it is because time is over
            raise LostConnection(f"the connection broke: {error}") from error

    def _read(self, line: socket.socket, wanted: int) -> list[Any]:
        replies: list[Any] = []
        while not self._take_up_to(wanted, replies):
            line.settimeout(self._limit.left())
            data = line.recv(_AT_ONCE)
            if not data:
                raise LostConnection("the server closed the connection")
            self._reader.feed(data)
        return replies

    def close(self) -> None:
        self._reason = self._reason or "it was closed"
        if self._line is not None:
            self._line.close()

    cut = close
    __del__ = close

    def connect(self) -> None:
        """By the ways of event loops: there is one for just that long. Raises OSError."""
        with asyncio.Runner(loop_factory=BlockingLoop) as runner:
            self._line = runner.run(self._dialled())

    async def _dialled(self) -> socket.socket:
        address = self._address
        async with asyncio.timeout(self._limit.left()):
            if address.path:
                return await dial.to_path(address.path)
            return await dial.to_host(*address.hosts[0])


async def _connect(wire: Any) -> None:
    wire.connect()  # no method of its own, which would keep it when nobody has it any more
