"""`EventPublisher`: while somebody watches, the store is told what happens in this process."""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from typing import Any

from asyncmqd.backends.base import BaseBackend, StoreError
from asyncmqd.domain.change import Change
from asyncmqd.domain.clock import utc_now
from asyncmqd.domain.events import (
    AT_ONCE,
    BATCH,
    FIELDS,
    KEPT,
    MISSED,
    OFTEN,
    Event,
    encode,
    shortened,
)
from asyncmqd.domain.job import Claim
from asyncmqd.domain.loop_tasks import begin, retrieve_error
from asyncmqd.domain.settle import failure_text
from asyncmqd.observe.event_names import EDGE_EVENTS
from asyncmqd.observe.listeners import Applied, Ended, Kind, Listener
from asyncmqd.observe.observer import Observer
from asyncmqd.runtime.duties import Duty, DutyGroup

GATHER = 0.1  # seconds: what happens in them is told in one call
_SUBJECTS = frozenset({"job", "queue", "daemon", "schedule", "process", "operation"})


class EventPublisher(Listener):
    """Listens only while the store says that somebody watches: else it costs nothing.

    What happens before the store was first asked is kept until then: a start takes jobs back.

    Events that the store has not taken are dropped, and counted in an event of their own. So are
    starts and completions beyond `AT_ONCE`: nobody reads a hundred thousand events a second, and
    to tell them would cost as much as to run jobs of no work. It never waits in the way of a job:
    a daemon that is killed has not told its last `GATHER`.
    """

    def __init__(self, backend: BaseBackend, observer: Observer, duties: DutyGroup) -> None:
        self._backend = backend
        self._observer = observer
        self._duties = duties
        self._duty: Duty | None = None
        self._heard = 0  # how often we heard that somebody watches
        self._thread = 0
        self._loop: asyncio.AbstractEventLoop | None = None
        self._some = asyncio.Event()
        self._events: deque[Event] = deque()
        self._dropped = 0  # that were the oldest
        self._room = AT_ONCE  # how many more of `OFTEN` are told with the next call
        self._passed = 0  # of them, that found no room
        self._telling: asyncio.Task[None] | None = None
        observer.add(self)

    def listen(self) -> None:
        """Somebody watches."""
        self._heard += 1
        if self._loop is not None:
            return
        self._loop, self._thread = asyncio.get_running_loop(), threading.get_ident()
        self._observer.discard(self)
        self._observer.add(self)
        if self._events:
            self._some.set()
        if self._duty is None:
            self._duty = self._duties.begin("events", self._publish_for_ever)

    def ask(self) -> Callable[[bool], None]:
        """The store is about to be asked whether somebody watches; to be called with the answer.

        That nobody does is old if we heard meanwhile that somebody does: who began to watch was
        told that we tell from then on.
        """
        heard = self._heard

        def answered(is_watched: bool) -> None:
            if is_watched:
                self.listen()
            elif heard == self._heard:
                self._ignore()

        return answered

    def _ignore(self) -> None:
        self._loop = None
        self._observer.discard(self)
        self._events.clear()
        self._dropped = self._passed = 0
        self._room = AT_ONCE

    # ------------------------------------------------------------------ what happens

    def event(self, name: str, fields: dict[str, Any]) -> None:
        """See `Listener`."""
        if name.partition(".")[0] in _SUBJECTS:
            self._note(Event(timestamp=utc_now(), event=name, **_known(fields)))

    def started(self, claim: Claim, task: str) -> None:
        """See `Listener`."""
        if self._room > 0:
            self._room -= 1
            self._note(_of_run("job.started", utc_now(), claim, task))
        else:
            self._passed += 1

    def changes(self, applied: Mapping[Kind, Ended]) -> None:
        """See `Listener`."""
        now = utc_now()
        for (_, edge, task), runs in applied.items():
            if name := EDGE_EVENTS.get(edge):
                told = self._admitted(runs) if name in OFTEN else runs
                for each in told:
                    self._note(_ended(name, now, *each, task))

    def _admitted(self, runs: Ended) -> Sequence[Applied]:
        """The first of them, for which there is room."""
        told = runs[: max(0, self._room)]
        self._room -= len(told)
        self._passed += len(runs) - len(told)
        return told

    def _note(self, event: Event) -> None:
        if len(self._events) >= KEPT:
            self._dropped += _number([self._events.popleft()])
        self._events.append(event)
        if threading.get_ident() == self._thread:
            self._some.set()
        elif self._loop is not None:
            with contextlib.suppress(RuntimeError):  # it was closed
                self._loop.call_soon_threadsafe(self._some.set)

    # ------------------------------------------------------------------ the store

    async def _publish_for_ever(self) -> None:
        while True:
            await self._some.wait()
            await asyncio.sleep(GATHER)
            with contextlib.suppress(StoreError):
                await self._publish()

    async def end(self) -> None:
        """Tell the last, behind a call that is under way. Raises StoreError."""
        if self._telling is not None:
            with contextlib.suppress(StoreError):
                await asyncio.shield(self._telling)
        if self._loop is not None:
            await self._publish()

    async def _publish(self) -> None:
        """Tell all that is there, also if the caller is cancelled meanwhile. Raises StoreError.

        What would be sent beside a call that was given up might be there before it.
        """
        self._telling = begin(self._tell_all())
        self._telling.add_done_callback(retrieve_error)
        await asyncio.shield(self._telling)

    async def _tell_all(self) -> None:
        self._some.clear()
        if self._passed:
            self._events.append(Event(timestamp=utc_now(), event=MISSED, missed=self._passed))
        self._room, self._passed = AT_ONCE, 0
        while self._events or self._dropped:
            batch, missed = self._next_batch(), self._dropped
            number = _number(batch)
            self._dropped += number  # unless the store takes them
            lines = [encode(each) for each in batch]
            if missed:
                lines.insert(0, encode(Event(timestamp=utc_now(), event=MISSED, missed=missed)))
            answered = self.ask()
            is_watched = await self._backend.publish(lines)
            self._dropped -= missed + number
            if not is_watched:
                answered(False)

    def _next_batch(self) -> list[Event]:
        size = min(len(self._events), BATCH - 1)  # one more says how many are missing
        return [self._events.popleft() for _ in range(size)]


def _number(events: Sequence[Event]) -> int:
    """How many these stand for."""
    return sum(each.missed or 1 for each in events)


def _of_run(name: str, now: datetime, claim: Claim, task: str, **more: Any) -> Event:
    return Event(
        timestamp=now,
        event=name,
        queue=claim.queue,
        worker=claim.worker,
        job_id=claim.id,
        task=task,
        attempt=claim.attempt,
        **more,
    )


def _ended(
    name: str, now: datetime, change: Change, claim: Claim, duration: float | None, task: str
) -> Event:
    took = None if duration is None else int(duration * 1e6 + 0.5) / 1e3  # `round` is slow
    if change.edge == "succeed":
        return _of_run(name, now, claim, task, duration_ms=took)
    retry_in = round(change.delay, 3) if change.edge == "retry" else None
    error = failure_text(change.error)
    return _of_run(
        name,
        now,
        claim,
        task,
        duration_ms=took,
        retry_in=retry_in,
        error=shortened(error) if error else None,
    )


def _known(fields: Mapping[str, Any]) -> dict[str, Any]:
    """What an event has of the fields of a log line."""
    known = {key: shortened(value) for key, value in fields.items() if key in FIELDS}
    if by := fields.get("resumed_by") or fields.get("paused_by"):
        known["by"] = by
    return known
