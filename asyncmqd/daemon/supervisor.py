"""The supervisor: one `QueueSupervisor` per queue, brought into line with the configuration."""

from __future__ import annotations

import asyncio
import gc
from collections import Counter, deque
from collections.abc import Mapping

from asyncmqd.daemon.application_import import Scanners
from asyncmqd.daemon.queue_supervisor import QueueSupervisor
from asyncmqd.domain.queue_options import QueueOptions
from asyncmqd.runtime.claiming.max_concurrency import DaemonSlots
from asyncmqd.runtime.execution.run import Run
from asyncmqd.runtime.process.context import ProcessContext

STARTS = 2  # workers that begin in one turn of the loop; with thousands at once it would be blocked
FREEZE_EVERY = 100  # workers: what they are made of is not for the collector, which would stop all
OVERTIME = 5.0  # seconds past the last drain_timeout in which workers settle what they hand back


class Supervisor:
    """Starts, changes and stops what serves the queues; none of them can touch another."""

    def __init__(self, context: ProcessContext, scanners: Scanners | None = None) -> None:
        self._context = context
        self._scanners = {} if scanners is None else scanners  # more may come into it
        self.queues: dict[str, QueueSupervisor] = {}  # those that drain included
        self.past_restarts: Counter[str] = Counter()  # of workers, by queues that are gone
        self._slots: DaemonSlots | None = None
        self._to_begin: deque[QueueSupervisor] = deque()
        self._beginning: asyncio.Task[None] | None = None

    def apply(
        self,
        wanted: Mapping[str, QueueOptions],
        max_concurrency: int | None = None,
        *,
        declares: bool = True,
    ) -> None:
        """Serve these queues, like this, and no others. Returns at once: removed ones drain.

        `max_concurrency` is for the jobs of all of them together. Without `declares`, the limits
        over all daemons of new queues were declared before.
        """
        self._limit(wanted, max_concurrency)
        for name, present in self.queues.items():
            if name not in wanted:
                present.stop()
        for name, options in wanted.items():
            former = self.queues.get(name)
            if former is None or former.over:
                self._start(name, options, declares)
            else:
                former.change(options)

    def _limit(self, wanted: Mapping[str, QueueOptions], slots: int | None) -> None:
        """Share the slots of the process. What runs goes on, that of removed queues included."""
        if slots is None:
            self._slots = None
        else:
            self._slots = self._slots or DaemonSlots()
            self._slots.declare(slots, {name: each.weight for name, each in wanted.items()})
        for served in self.queues.values():
            served.share_slots(self._slots)

    def _start(self, queue: str, options: QueueOptions, declares: bool) -> None:
        context, scanners = self._context, self._scanners
        served = QueueSupervisor(queue, context, options, scanners, declares=declares)
        served.share_slots(self._slots)
        self.queues[queue] = served
        self._to_begin.append(served)
        if self._beginning is None or self._beginning.done():
            self._beginning = asyncio.create_task(self._begin(), name="starts of queues")
        served.ended.add_done_callback(lambda _: self._forget(served))

    async def _begin(self) -> None:
        begun = 0
        while self._to_begin:
            for _ in range(min(STARTS, len(self._to_begin))):
                self._to_begin.popleft().begin()
                begun += 1
            if begun >= FREEZE_EVERY:
                begun = 0
                gc.freeze()
            await asyncio.sleep(0)

    def _forget(self, served: QueueSupervisor) -> None:
        if self.queues.get(served.queue) is served:
            del self.queues[served.queue]
        self.past_restarts[served.queue] += served.restarts

    async def stop(self) -> None:
        """Drain all queues at the same time, each for its own drain_timeout."""
        serving = list(self.queues.values())
        if not serving:
            return
        for served in serving:
            served.stop()
        limit = max(served.options.drain_limit for served in serving) + OVERTIME
        await asyncio.wait([served.ended for served in serving], timeout=limit)

    async def hand_back(self) -> None:
        """After `stop`: wait for no job any more."""
        await asyncio.gather(*(served.hand_back() for served in list(self.queues.values())))

    @property
    def max_concurrency(self) -> int | None:
        """How many jobs of all queues may run at the same time; None: no limit."""
        return None if self._slots is None else self._slots.cap

    @property
    def running(self) -> int:
        """Jobs that run now, in all queues."""
        return sum(served.running for served in self.queues.values())

    @property
    def unacknowledged(self) -> int:
        """Jobs that have ended, and of which the store does not know it yet, in all queues."""
        return sum(served.unacknowledged for served in self.queues.values())

    def runs(self) -> list[Run]:
        """The runs that are under way, in the order of their queues' names."""
        workers = (served.worker for _, served in sorted(self.queues.items()))
        return [run for worker in workers if worker for run in list(worker.running.values())]

    @property
    def draining(self) -> list[str]:
        """Queues that claim no more jobs but still run some, or are about to stop."""
        return sorted(
            q for q, served in self.queues.items() if served.draining or not served.wanted
        )

    def stuck(self, limit: float) -> list[str]:
        """Queues whose worker has been in one call for longer than `limit` seconds."""
        since = asyncio.get_running_loop().time() - limit
        return sorted(q for q, served in self.queues.items() if served.last_progress < since)
