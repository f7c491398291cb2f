"""GET /api/v1/events: events of all daemons as server-sent events.

All streams that have seen the same share one look at the store, and what is sent to those that want
the same of it. The more they are, the longer is the pause to the next look; starts and completions
for which there is no room then are counted. A stream that fell behind, since its client is slow or
resumes, looks for itself until it is there, and is sent all: nothing is kept for it here.
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import AsyncGenerator, Callable, Iterator, Sequence
from typing import NamedTuple
from urllib.parse import parse_qs

import msgspec

from asyncmqd.admin.concealed import HIDDEN
from asyncmqd.backends.base import BaseBackend, StoreError
from asyncmqd.client.events import LOOK_EVERY, Reader, gap, is_about
from asyncmqd.domain.clock import utc_now
from asyncmqd.domain.events import (
    MISSED,
    OFTEN,
    Event,
    EventPage,
    Head,
    Position,
    decode,
    decode_head,
    encode,
)
from asyncmqd.domain.loop_tasks import begin, retrieve_error
from asyncmqd.web.api import CannotDo
from asyncmqd.web.server import Request, Stream
from asyncmqd.web.sse import CONTENT_TYPE, HEADERS, HEARTBEAT, MOST_STREAMS, retry_line

_AGAIN = 2.0  # seconds before the next try at a store that failed
_HEAD_LIMIT = 1.0  # seconds that a client waits for the head of an answer if the store is slow
_TOGETHER = 5  # streams that write in one turn of the loop: jobs are not to wait for all
_PAUSE = 0.01  # seconds before the next look, for each stream that has to be told of the last one
_SENT = 12_500  # of `OFTEN` that all streams together are sent of one look


class Wanted(NamedTuple):
    """What a client wants to see."""

    queue: str | None
    names: tuple[str, ...]
    after: Position | None

    @classmethod
    def of(cls, request: Request) -> Wanted:
        """From the query, and the header that a browser sends when it comes back."""
        try:
            query = parse_qs(request.query, keep_blank_values=True, errors="strict")
        except ValueError as error:
            raise CannotDo(f"the query: {error}", 400) from None
        if unknown := query.keys() - {"queue", "event", "after"}:
            raise CannotDo(f"expected queue, event and after, got {min(unknown)!r}", 400)
        after = request.headers.get("last-event-id") or query.get("after", [""])[-1]
        try:
            position = Position.of(after) if after else None
        except ValueError as error:
            raise CannotDo(f"after: {error}", 400) from None
        queue = query.get("queue", [None])[-1]
        return cls(queue, tuple(query.get("event", ("",))), position)

    def has(self, head: Head) -> bool:
        """Whether the client has to see it."""
        return is_about(head, self.queue, self.names)


class _Line:
    """An event as the store has it. What is sent of it is made once, and only if it is sent."""

    __slots__ = ("_line", "_sent", "head", "position")

    def __init__(self, head: Head, position: Position, line: bytes) -> None:
        self.head = head
        self.position = position
        self._line = line
        self._sent: bytes | None = None

    def sent(self, *, hides: bool) -> bytes:
        """What is sent; nothing if nobody can read it."""
        if self._sent is None:
            event = decode(self._line, self.position)
            if event is not None and hides:
                event = _concealed(event)
            self._sent = b"" if event is None else _sent(event)
        return self._sent


class _Page:
    """What one look has found. `room`: how many of `OFTEN` are sent of it, less all others."""

    def __init__(self, page: EventPage, room: float, *, hides: bool) -> None:
        gaps = [(Position.of(each.position), encode(each)) for each in gap(page)]
        heads = ((decode_head(line), at, line) for at, line in (*gaps, *page.events))
        self.lines = [_Line(head, at, line) for head, at, line in heads if head is not None]
        self.end = page.position
        self._room = room
        self._hides = hides
        self._parts: dict[tuple[str | None, tuple[str, ...]], bytes] = {}

    def part(self, wanted: Wanted) -> bytes:
        """What is sent to who wants this, which is often the same for many."""
        key = wanted.queue, wanted.names
        if key not in self._parts:
            self._parts[key] = b"".join(self._told(wanted))
        return self._parts[key]

    def _told(self, wanted: Wanted) -> Iterator[bytes]:
        mine = [each for each in self.lines if wanted.has(each.head)]
        room = self._room - sum(each.head.event not in OFTEN for each in mine)
        passed: list[_Line] = []
        for each in mine:
            if each.head.event in OFTEN:
                if room <= 0:
                    passed.append(each)
                    continue
                room -= 1
            yield _missed(passed)
            passed.clear()
            yield each.sent(hides=self._hides)
        yield _missed(passed)


class EventStreams:
    """The streams of one daemon. `hides`: the texts of errors stay here."""

    def __init__(self, store: BaseBackend, *, hides: bool = False) -> None:
        self._store = store
        self._hides = hides
        self._streams = 0
        self._turns = asyncio.Semaphore(_TOGETHER)
        self._newest: Reader | None = None  # of those that have seen all
        self._tells = False  # once there were events that all had to be told of
        self._look: asyncio.Task[_Page] | None = None

    def open(self, request: Request, may_go_on: Callable[[], bool]) -> Stream:
        """The answer to a request. `may_go_on` is asked before each part. Raises CannotDo."""
        wanted = Wanted.of(request)
        if self._streams >= MOST_STREAMS:
            raise CannotDo(f"there are {MOST_STREAMS} streams already", 503)
        return Stream(self._parts(wanted, may_go_on), CONTENT_TYPE, HEADERS)

    async def _parts(
        self, wanted: Wanted, may_go_on: Callable[[], bool]
    ) -> AsyncGenerator[bytes, None]:
        self._streams += 1
        own = Reader(self._store, wanted.after)
        try:
            await _begun(own)
            yield retry_line()  # with the head: who has it is told what happens from then on
            async for part in self._follow(own, wanted):
                if not may_go_on():
                    return
                yield part or b":\n\n"
        finally:
            self._streams -= 1
            if not self._streams:
                self.stop()

    def stop(self) -> None:
        """Look at the store no more."""
        if self._look is not None:
            self._look.cancel()
        self._look = self._newest = None
        self._tells = False

    async def _follow(self, own: Reader, wanted: Wanted) -> AsyncGenerator[bytes | None, None]:
        """What to send; None: nothing for a while."""
        loop = asyncio.get_running_loop()
        sent = loop.time()
        look: asyncio.Task[_Page] | None = None
        try:
            while True:
                look = look or self._begin(own)
                await asyncio.wait({look}, timeout=sent + HEARTBEAT - loop.time())
                part = b""
                if look.done():
                    done, look = look, None
                    try:
                        part = await self._part(done.result(), own, wanted)
                    except StoreError:
                        yield b": the store does not answer\n\n"
                        await asyncio.sleep(_AGAIN)
                if part or loop.time() - sent >= HEARTBEAT:
                    yield part or None
                    sent = loop.time()
        finally:
            if look is not None and look is not self._look:
                look.cancel()

    async def _part(self, page: _Page, own: Reader, wanted: Wanted) -> bytes:
        """What to send of what was found."""
        async with self._turns:
            own.resume(page.end)
            part = page.part(wanted)
            await asyncio.sleep(0)
        return part

    def _begin(self, own: Reader) -> asyncio.Task[_Page]:
        """A look at what comes next."""
        if own.position is not None and self._newest is None:
            self._newest = Reader(self._store, own.position)
        if self._newest is None or self._newest.position != own.position:
            look = begin(self._catch_up(own))
        elif self._look is None or self._look.done():
            look = self._look = begin(self._look_until_some(self._newest))
            look.add_done_callback(self._looked)
        else:
            return self._look
        look.add_done_callback(retrieve_error)
        return look

    async def _catch_up(self, own: Reader) -> _Page:
        """What others have seen, or nothing for a moment."""
        page = await self._read(own, math.inf)
        if not page.lines and self._newest is not None and self._newest.position != page.end:
            await asyncio.sleep(LOOK_EVERY)  # the others see it, too, in a moment
        return page

    async def _look_until_some(self, reader: Reader) -> _Page:
        """What comes next to all who have seen all."""
        if self._tells:
            await asyncio.sleep(self._streams * _PAUSE)
        while True:
            page = await self._read(reader, _SENT // max(1, self._streams))
            if page.lines:
                self._tells = True
                return page
            await asyncio.sleep(LOOK_EVERY)

    async def _read(self, reader: Reader, room: float) -> _Page:
        return _Page(await reader.lines(), room, hides=self._hides)

    def _looked(self, look: asyncio.Task[_Page]) -> None:
        if self._look is look:
            self._look = None


async def _begun(reader: Reader) -> None:
    """The store knows that somebody watches, or has not answered in time."""
    begun = begin(reader.begin())
    begun.add_done_callback(retrieve_error)
    await asyncio.wait({begun}, timeout=_HEAD_LIMIT)


def _sent(event: Event) -> bytes:
    head = f"id: {event.position}\nevent: {event.event}\ndata: ".encode()
    return b"%b%b\n\n" % (head, encode(event))


def _missed(passed: Sequence[_Line]) -> bytes:
    """One event that stands for these; a client that comes back behind it goes on behind them."""
    if not passed:
        return b""
    position = str(passed[-1].position)
    return _sent(Event(timestamp=utc_now(), event=MISSED, position=position, missed=len(passed)))


def _concealed(event: Event) -> Event:
    """Without what an application or a customer wrote, such as a key by which jobs were chosen."""
    jobs = event.jobs if isinstance(event.jobs, int) else None
    return msgspec.structs.replace(
        event, error=_begin(event.error), warning=_begin(event.warning), jobs=jobs
    )


def _begin(text: str | None) -> str | None:
    """The type of an error, or the place of what is wrong with a configuration."""
    return text and f"{text.partition(': ')[0]}: {HIDDEN}"
