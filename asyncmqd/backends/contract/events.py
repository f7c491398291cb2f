"""What a store keeps of events: only while somebody watches, and only the newest."""

from __future__ import annotations

import abc
from collections.abc import Sequence

from asyncmqd.domain.events import EventPage, Position

WATCHED = "!watched"
"""What `wait` takes beside queues, none of which has such a name: see `EventStore.watch`.

`beat` names it, too, while somebody watches.
"""


class EventStore(abc.ABC):
    """What daemons tell to whoever watches."""

    @abc.abstractmethod
    async def watch(self, seconds: float) -> Position:
        """Have daemons tell for `seconds` from now; the position behind the newest event.

        If nobody watched until now, an epoch begins: what was told before is forgotten, and all who
        wait for `WATCHED` are woken, where they can be told.
        """

    @abc.abstractmethod
    async def publish(self, events: Sequence[bytes]) -> bool:
        """Add up to `BATCH` events, as lines of JSON; False, and nothing is done: nobody watches.

        They are one entry, so that many cost as little as one. The oldest beyond `KEPT` events are
        dropped, an entry at a time.
        """

    @abc.abstractmethod
    async def events(self, after: Position) -> EventPage:
        """The next events behind a position, in the order in which they came; there may be more.

        The page says how many are gone that a reader would have had to see. While nobody watches
        there are none.
        """
