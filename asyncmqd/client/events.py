"""What watchers read: the events of all daemons of a store, one after the other."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator

from asyncmqd.backends.base import BaseBackend, StoreError
from asyncmqd.domain.clock import utc_now
from asyncmqd.domain.events import LASTS, MISSED, RENEWAL, Event, EventPage, Head, Position, decode
from asyncmqd.domain.events import encode as encode_event

LOOK_EVERY = 0.2  # seconds between two looks, when there is nothing new


class Reader:
    """Reads the events of a store behind a position; None: those from now on.

    It says that somebody watches, again and again, for as long as it is asked for more.
    """

    def __init__(self, store: BaseBackend, after: Position | None = None) -> None:
        self._store = store
        self._position = after
        self._renewed = float("-inf")  # loop time

    async def begin(self) -> None:
        """Say that somebody watches, unless that was said lately. Raises StoreError."""
        loop = asyncio.get_running_loop()
        if loop.time() - self._renewed > RENEWAL:
            newest = await self._store.watch(LASTS)
            self._renewed = loop.time()
            self._position = self._position or newest

    async def page(self) -> list[Event]:
        """The next events; none if there is nothing new. Raises StoreError, and may go on then."""
        page = await self.lines()
        return [*gap(page), *_read(page)]

    async def lines(self) -> EventPage:
        """The same as the store has them."""
        await self.begin()
        assert self._position is not None
        page = await self._store.events(self._position)
        self._position = page.position
        if not page.is_watched:  # the store was emptied: watch again, and be told that all is gone
            self._renewed = float("-inf")
        return page

    def resume(self, position: Position) -> None:
        """Go on behind another position."""
        self._position = position

    @property
    def position(self) -> Position | None:
        """Where it goes on."""
        return self._position


def gap(page: EventPage) -> list[Event]:
    """One event that stands for those that are gone."""
    if page.missed == 0:
        return []
    first = page.events[0][0] if page.events else page.position
    position = first._replace(number=first.number - bool(page.events))
    return [Event(timestamp=utc_now(), event=MISSED, position=str(position), missed=page.missed)]


def _read(page: EventPage) -> list[Event]:
    events = (decode(line, position) for position, line in page.events)
    return [each for each in events if each is not None]


async def watch(
    store: BaseBackend, queue: str | None = None, after: str | None = None
) -> AsyncIterator[Event]:
    """All events, or those of a queue. Raises ValueError for a wrong position, and StoreError."""
    reader = Reader(store, None if after is None else Position.of(after))
    while True:
        events = await reader.page()
        for event in events:
            if is_about(event, queue):
                yield event
        if not events:
            await asyncio.sleep(LOOK_EVERY)


def is_about(event: Event | Head, queue: str | None, names: tuple[str, ...] = ("",)) -> bool:
    """Whether who watches a queue, or events whose name begins so, has to see it.

    A gap may have held anything.
    """
    if event.event == MISSED:
        return True
    return (queue is None or event.queue == queue) and event.event.startswith(names)


async def tell(store: BaseBackend, name: str, **fields: str | int | None) -> None:
    """Tell watchers what this program did to a store, if there are any. It never fails."""
    event = Event(timestamp=utc_now(), event=name, **fields)  # type: ignore[arg-type]
    with contextlib.suppress(StoreError):
        await store.publish([encode_event(event)])
