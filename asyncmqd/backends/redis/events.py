"""The events of the store in Redis."""

from __future__ import annotations

import contextlib
from collections.abc import Sequence

from asyncmqd.backends.base import WATCHED, StoreError
from asyncmqd.backends.redis.scripts import Argument, Command, call
from asyncmqd.backends.redis.server import RedisServer
from asyncmqd.backends.redis.wakeups import channel_of_recalls
from asyncmqd.domain.events import KEPT, PAGE, EventPage, Position, pack, page_after


class RedisEvents(RedisServer):
    """The face of events; `store.RedisBackend` has the others.

    Their keys belong to no queue: in a cluster, all daemons write to one slot, a few times a
    second each. What nobody watches any more ends by itself.
    """

    @property
    def _epoch(self) -> str:
        return f"{self._prefix}:{{!events}}:epoch"

    def _call_events(self, name: str, *args: Argument) -> Command:
        return call(name, [self._epoch, f"{self._prefix}:{{!events}}:told"], args)

    async def watch(self, seconds: float) -> Position:
        [reply] = await self._run(self._call_events("watch", round(seconds * 1_000)))
        epoch, number, begins = reply
        if begins:
            with contextlib.suppress(StoreError):
                await self._link.ask("PUBLISH", channel_of_recalls(self._prefix), WATCHED)
        return Position(int(epoch), int(number))

    async def publish(self, events: Sequence[bytes]) -> bool:
        if not events:
            [is_watched] = await self._run(("EXISTS", self._epoch))
        else:
            args = (len(events), KEPT, pack(events))
            [is_watched] = await self._run(self._call_events("publish", *args))
        return bool(is_watched == 1)

    async def events(self, after: Position) -> EventPage:
        [reply] = await self._run(self._call_events("events", *after, PAGE))
        if not reply:
            return EventPage([], after, is_watched=False)
        epoch, number, entries = reply
        batches = ((int(id.partition(b"-")[0]), fields[1]) for id, fields in entries)
        return page_after(after, Position(int(epoch), int(number)), batches)
