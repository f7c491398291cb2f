"""What is told by webhooks: gathered for a second, and enqueued like any other job."""

from __future__ import annotations

import asyncio
import contextlib
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import msgspec

from asyncmqd.backends.base import StoreError
from asyncmqd.client.pending import CallOptions, PendingJob, add_all, pending
from asyncmqd.config.webhooks import Webhook
from asyncmqd.domain.clock import utc_now
from asyncmqd.domain.events import Event, shortened
from asyncmqd.domain.heartbeat import BEAT
from asyncmqd.domain.queue_options import QueueOptions
from asyncmqd.domain.settle import failure_text
from asyncmqd.observe.listeners import Ended, Kind, Listener
from asyncmqd.runtime.duties import Duty
from asyncmqd.runtime.process.context import ProcessContext

QUEUE = "asyncmqd-webhooks"
_GATHER = 1.0  # seconds
_MOST = 100  # events of one request, and that wait for it
_SILENT = 2 * BEAT  # seconds without a heartbeat after which a process is dead
_LATE_LOOKS = 3  # in a row: one that was promoted just now has waited for long, and is not late
_AGAIN = 3_600.0  # seconds before the same is told again
_FAILED = frozenset({"fail", "quarantine"})


Queues = Callable[[], Mapping[str, QueueOptions]]
"""Those of the configuration, as the last reload left them."""


def task_of(webhook: Webhook) -> str:
    """The task that delivers: a daemon that has no such webhook leaves its jobs to others."""
    return f"asyncmqd.webhook.{webhook.name}"


class Failures(Listener):
    """Hears of jobs that failed for good in this process, and enqueues what tells of them."""

    def __init__(
        self, context: ProcessContext, webhooks: Sequence[Webhook], queues: Queues
    ) -> None:
        self._context = context
        self._queues = queues
        self._webhooks = [each for each in webhooks if "job.failed" in each.events]
        self._some = asyncio.Event()
        self._events: deque[Event] = deque()
        self._missed = 0
        self._jobs: list[PendingJob] = []  # that may not be in the store yet
        context.observer.add(self)
        context.before_leave.append(self.stop)
        self._duty: Duty | None = None

    def start(self) -> None:
        """Enqueue from now on."""
        self._duty = self._context.duties.begin("webhook events", self.run)

    async def stop(self) -> None:
        """Enqueue the last. Raises StoreError."""
        if self._duty is not None:
            self._duty.end()
        await self.send()

    def changes(self, applied: Mapping[Kind, Ended]) -> None:
        """See `Listener`. A webhook that fails is told by none: it would go round for ever."""
        for (queue, edge, task), runs in applied.items():
            if edge in _FAILED and queue != QUEUE:
                for change, claim, _ in runs:
                    error = str(shortened(failure_text(change.error))) or None
                    self._note(queue, claim.id, task, claim.attempt, error)

    def _note(self, queue: str, id: str, task: str, attempt: int, error: str | None) -> None:
        if len(self._events) >= _MOST:
            self._events.popleft()
            self._missed += 1
        known = {"queue": queue, "job_id": id, "task": task, "attempt": attempt, "error": error}
        self._events.append(Event(timestamp=utc_now(), event="job.failed", **known))  # type: ignore[arg-type]
        self._some.set()

    async def run(self) -> None:
        """Enqueue what was heard. Events are kept while the store does not answer."""
        while True:
            await self._some.wait()
            await asyncio.sleep(_GATHER)
            try:
                await self.send()
            except StoreError:
                self._some.set()

    async def send(self) -> None:
        """Enqueue it now. Raises StoreError.

        What may be in the store, as its answer was lost, is sent again with the same ids.
        """
        self._some.clear()
        while self._jobs or self._events:
            if not self._jobs:
                self._jobs = self._take()
            if self._jobs:
                await add_all(self._context.backend, QUEUE, self._jobs)
            self._jobs = []

    def _take(self) -> list[PendingJob]:
        events, missed, queues = [*self._events], self._missed, self._queues()
        self._events.clear()
        self._missed = 0
        told = {
            webhook: [e for e in events if webhook.is_about("job.failed", e.queue or "", queues)]
            for webhook in self._webhooks
        }
        return [request(webhook, each, missed) for webhook, each in told.items() if each]


def request(
    webhook: Webhook, events: Sequence[Event], missed: int = 0, once: str = ""
) -> PendingJob:
    """The job that delivers it; `once` names what is not told again for an hour."""
    body: dict[str, Any] = {
        "type": events[0].event,
        "timestamp": events[0].timestamp,
        "data": {"events": [msgspec.to_builtins(each) for each in events], "missed": missed},
    }
    text = msgspec.json.encode(body).decode()
    options = CallOptions(key=webhook.name)
    if once:
        options = msgspec.structs.replace(
            options, unique=f"{webhook.name} {once}", unique_for=_AGAIN
        )
    return pending(task_of(webhook), (text,), {}, options)


class Watch:
    """Looks for queues that are late, and for processes that are gone without a word."""

    def __init__(
        self, context: ProcessContext, webhooks: Sequence[Webhook], queues: Queues
    ) -> None:
        self._context = context
        self._webhooks = webhooks
        self._queues = queues
        self._late: dict[tuple[str, str], int] = {}  # webhook, queue: looks in a row

    async def run(self) -> None:
        """Look as often as processes send heartbeats."""
        while True:
            await asyncio.sleep(BEAT)
            with contextlib.suppress(StoreError):  # the daemon itself tells that the store is down
                await self.look()

    async def look(self) -> None:
        """Enqueue what is to be told now. Raises StoreError."""
        backend = self._context.backend
        if any("queue.late" in each.events for each in self._webhooks):
            queues = self._queues()
            oldest = await backend.oldest(sorted(queues.keys() - {QUEUE}))
            for webhook in self._webhooks:
                await self._tell_late(webhook, oldest, queues)
        if any("daemon.dead" in each.events for each in self._webhooks):
            await self._tell_dead()

    async def _tell_late(
        self, webhook: Webhook, oldest: dict[str, float], queues: Mapping[str, QueueOptions]
    ) -> None:
        for queue, age in oldest.items():
            key = (webhook.name, queue)
            if not webhook.is_about("queue.late", queue, queues) or age <= webhook.late_after:
                self._late.pop(key, None)
                continue
            looks = self._late[key] = self._late.get(key, 0) + 1
            if looks % round(_AGAIN / BEAT) == _LATE_LOOKS:
                reason = f"the oldest job has waited for {age:.0f} s"
                event = Event(timestamp=utc_now(), event="queue.late", queue=queue, reason=reason)
                await self._enqueue(request(webhook, [event], once=f"late {queue}"))

    async def _tell_dead(self) -> None:
        backend, now = self._context.backend, await self._context.backend.now()
        for record in await backend.workers():
            silent = now - record.seen
            if silent <= _SILENT or record.id == self._context.presence.id:
                continue
            reason = f"no heartbeat for {silent:.0f} s"
            event = Event(timestamp=utc_now(), event="daemon.dead", worker=record.id, reason=reason)
            for webhook in self._webhooks:
                if "daemon.dead" in webhook.events:
                    await self._enqueue(request(webhook, [event], once=f"dead {record.id}"))

    async def _enqueue(self, job: PendingJob) -> None:
        await add_all(self._context.backend, QUEUE, [job])
