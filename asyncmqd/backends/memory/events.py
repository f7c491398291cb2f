"""The events of the store in memory."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence

from asyncmqd.backends.base import WATCHED, BaseBackend
from asyncmqd.backends.memory.instances import Store
from asyncmqd.domain import clock
from asyncmqd.domain.events import KEPT, PAGE, EventPage, Position, begin_of, pack, page_after


class Epoch:
    """The time in which somebody watches."""

    def __init__(self, now: float) -> None:
        self.end = Position(round(now * 1e6), 0)
        self.until = now
        self.batches: deque[tuple[int, bytes]] = deque()  # with the number of the last event

    def add(self, events: Sequence[bytes]) -> None:
        self.end = Position(self.end.epoch, self.end.number + len(events))
        self.batches.append((self.end.number, pack(events)))
        while self.batches[0][0] <= self.end.number - KEPT:
            self.batches.popleft()


class InMemoryEvents(BaseBackend):
    """The face of events; `store.InMemoryBackend` has the others."""

    _store: Store
    _now: clock.Clock

    async def watch(self, seconds: float) -> Position:
        with self._store.lock:
            now, epoch = self._now(), self._epoch()
            begins = epoch is None
            self._store.epoch = epoch = epoch or Epoch(now)
            epoch.until = max(epoch.until, now + seconds)
        if begins:
            self._store.wake(WATCHED)
        return epoch.end

    async def publish(self, events: Sequence[bytes]) -> bool:
        with self._store.lock:
            epoch = self._epoch()
            if epoch is not None and events:
                epoch.add(events)
            return epoch is not None

    async def events(self, after: Position) -> EventPage:
        with self._store.lock:
            epoch = self._epoch()
            if epoch is None:
                return EventPage([], after, is_watched=False)
            begin = begin_of(after, epoch.end)
            found = [batch for batch in epoch.batches if batch[0] > begin]
            return page_after(after, epoch.end, found[:PAGE])

    def _epoch(self) -> Epoch | None:
        """That of now, if somebody watches."""
        known = self._store.epoch
        if known is not None and known.until <= self._now():
            known = self._store.epoch = None
        return known
