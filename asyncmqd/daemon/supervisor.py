"""The supervisor: one keeper per queue, brought into line with the configuration."""

from __future__ import annotations

import asyncio
import gc
from collections import Counter, deque
from collections.abc import Mapping

from asyncmqd.config import Settings
from asyncmqd.daemon.application import Scanners
from asyncmqd.daemon.keeper import Keeper
from asyncmqd.runtime.node import Node
from asyncmqd.runtime.options import WorkerOptions
from asyncmqd.runtime.run import Run

STARTS = 2  # workers that begin in one turn of the loop; of thousands at once it would stand still
FREEZE_EVERY = 100  # workers: what they are made of is not for the collector, which would stop all
OVERTIME = 5.0  # seconds past the last drain_timeout in which workers settle what they hand back


class Supervisor:
    """Starts, changes and stops what serves the queues; none of them can touch another."""

    def __init__(self, node: Node) -> None:
        self._node = node
        self.keepers: dict[str, Keeper] = {}  # those that drain included
        self.past_restarts: Counter[str] = Counter()  # of workers, by queues that are gone
        self._to_begin: deque[Keeper] = deque()
        self._beginning: asyncio.Task[None] | None = None

    def apply(self, wanted: Mapping[str, WorkerOptions]) -> None:
        """Serve these queues, like this, and no others. Returns at once: removed ones drain."""
        for queue, keeper in self.keepers.items():
            if queue not in wanted:
                keeper.stop()
        for queue, options in wanted.items():
            present = self.keepers.get(queue)
            if present is None or present.over:
                self._start(queue, options)
            else:
                present.change(options)

    def _start(self, queue: str, options: WorkerOptions) -> None:
        keeper = Keeper(queue, self._node, options)
        self.keepers[queue] = keeper
        self._to_begin.append(keeper)
        if self._beginning is None or self._beginning.done():
            self._beginning = asyncio.create_task(self._begin(), name="starts of queues")
        keeper.ended.add_done_callback(lambda _: self._forget(keeper))

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

    def _forget(self, keeper: Keeper) -> None:
        if self.keepers.get(keeper.queue) is keeper:
            del self.keepers[keeper.queue]
        self.past_restarts[keeper.queue] += keeper.restarts

    async def stop(self) -> None:
        """Drain all queues at the same time, each for its own drain_timeout."""
        keepers = list(self.keepers.values())
        if not keepers:
            return
        for keeper in keepers:
            keeper.stop()
        limit = max(keeper.options.drain_timeout for keeper in keepers) + OVERTIME
        await asyncio.wait([keeper.ended for keeper in keepers], timeout=limit)

    async def hand_back(self) -> None:
        """After `stop`: wait for no job any more."""
        await asyncio.gather(*(keeper.hand_back() for keeper in list(self.keepers.values())))

    @property
    def running(self) -> int:
        """Jobs that run now, in all queues."""
        return sum(keeper.running for keeper in self.keepers.values())

    @property
    def unsaved(self) -> int:
        """Jobs that have ended, and of which the store does not know it yet, in all queues."""
        return sum(keeper.unsaved for keeper in self.keepers.values())

    def runs(self) -> list[Run]:
        """The runs that are under way, in the order of their queues' names."""
        workers = (keeper.worker for _, keeper in sorted(self.keepers.items()))
        return [run for worker in workers if worker for run in list(worker.running.values())]

    @property
    def draining(self) -> list[str]:
        """Queues that claim no more jobs but still run some, or are about to stop."""
        return sorted(q for q, k in self.keepers.items() if k.draining or not k.wanted)

    def stuck(self, limit: float) -> list[str]:
        """Queues whose worker has been in one call for longer than `limit` seconds."""
        since = asyncio.get_running_loop().time() - limit
        return sorted(q for q, keeper in self.keepers.items() if keeper.last_progress < since)


def wanted_options(settings: Settings, scanners: Scanners) -> dict[str, WorkerOptions]:
    """What the configuration says of each queue, as its worker is told."""
    return {
        name: WorkerOptions(
            concurrency=queue.concurrency,
            rate_limit=queue.rate_limit,
            rate_interval=queue.rate_interval,
            burst=queue.burst,
            scan_interval=queue.scan_interval,
            drain_timeout=(
                settings.shutdown_timeout if queue.drain_timeout is None else queue.drain_timeout
            ),
            retries=queue.retries,
            timeout=queue.timeout,
            executor=queue.executor,
            retention=queue.retention,
            repeatables=queue.schedules,
            scanners=tuple(scanners[each] for each in queue.scanners),
        )
        for name, queue in settings.queues.items()
    }
