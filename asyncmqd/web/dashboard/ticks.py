"""GET /live: tells browsers what state the store is in, as server-sent events.

A page carries the state that it was made of, and a stream begins with the present one: a browser
that is behind always hears of it, whatever has happened between page and stream.

One look a second serves all streams, and costs no more than counts of jobs. The events of
/api/v1/events would name each job to each browser, which would then ask for the page all the same.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncGenerator, Callable
from hashlib import sha256

import msgspec

from asyncmqd.backends.base import BaseBackend
from asyncmqd.domain import clock
from asyncmqd.domain.loop_tasks import begin
from asyncmqd.web.api import CannotDo
from asyncmqd.web.dashboard.visit import Source
from asyncmqd.web.server import Stream
from asyncmqd.web.sse import CONTENT_TYPE, HEADERS, HEARTBEAT, MOST_STREAMS, retry_line

LOOK_EVERY = 1.0
PATIENCE = 0.2  # seconds that a page waits for the state: without it, the page is behind
_SPREAD = 0.5  # seconds over which the browsers hear of a change: jobs are not to wait for all
_A_SECOND = 16  # browsers that are told of changes, at most: each asks for its page again


class Ticks:
    """The streams of one daemon. `forget` hears of a change before any browser does."""

    def __init__(self, source: Source, forget: Callable[[], None]) -> None:
        self._source = source
        self._forget = forget
        self._streams = 0
        self._state = b""  # empty: nobody has looked
        self._changes = 0  # how many were seen
        self._changed = asyncio.Event()  # a new one after each change
        self._at = float("-inf")  # when the last look was begun, by the monotonic clock
        self._turn = asyncio.Lock()  # one looks at a time
        self._looking: asyncio.Task[None] | None = None

    async def state(self) -> str:
        """The state that a page which is begun now is made of; empty: not known."""
        if self._looking is None or not self._changes:
            try:
                async with asyncio.timeout(PATIENCE), self._turn:
                    if clock.monotonic() - self._at >= LOOK_EVERY:
                        await self._look()
            except TimeoutError:
                return ""
        return self._state.decode()

    def open(self, may_go_on: Callable[[], bool]) -> Stream:
        """The answer. `may_go_on` is asked before each part. Raises CannotDo."""
        if self._streams >= MOST_STREAMS:
            raise CannotDo(f"there are {MOST_STREAMS} streams already", 503)
        return Stream(self._parts(may_go_on), CONTENT_TYPE, HEADERS)

    async def _parts(self, may_go_on: Callable[[], bool]) -> AsyncGenerator[bytes, None]:
        self._streams += 1
        if self._looking is None:
            self._looking = begin(self._go_on())
        told = 0
        try:
            yield retry_line()
            while True:
                # While a slow client took the last part, more may have changed.
                if told == self._changes:
                    await self._change(spread=told > 0)
                if not may_go_on():
                    return
                if told == self._changes:
                    yield b":\n\n"
                    continue
                event = b"" if told else b"event: state\n"
                told = self._changes
                yield b"%bdata: %b\n\n" % (event, self._state)
        finally:
            self._streams -= 1
            if not self._streams and self._looking is not None:
                self._looking.cancel()
                self._looking = None

    async def _change(self, *, spread: bool) -> None:
        """Wait for the next one, but not longer than a stream may be silent."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(HEARTBEAT):
                await self._changed.wait()
            await asyncio.sleep(clock.draw() * _SPREAD * spread)

    async def _go_on(self) -> None:
        while True:
            before = self._changes
            async with self._turn:
                await self._look()
            pause = max(1.0, self._streams / _A_SECOND) if self._changes > before else 1.0
            await asyncio.sleep(pause * LOOK_EVERY)

    async def _look(self) -> None:
        begun = clock.monotonic()
        try:
            now = await self._source.read(_state)
        except CannotDo as refusal:
            now = str(refusal).encode()
        self._at = begun
        state = sha256(now).hexdigest()[:16].encode()
        if state != self._state:
            self._state = state
            self._changes += 1
            self._forget()
            self._changed.set()
            self._changed = asyncio.Event()


async def _state(store: BaseBackend) -> bytes:
    """Different if jobs have moved, or a queue was paused."""
    return msgspec.msgpack.encode(await store.counts(await store.queues()))
