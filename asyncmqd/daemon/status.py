"""What the daemon tells about itself: to `asyncmqd status`, to systemd, and to its log."""

from __future__ import annotations

import asyncio
import os
from collections import deque
from collections.abc import Mapping
from typing import Any

import msgspec

import asyncmqd
from asyncmqd.backends.base import StoreError
from asyncmqd.daemon.keeper import Keeper
from asyncmqd.daemon.reloading import Configuration
from asyncmqd.daemon.supervisor import Supervisor
from asyncmqd.domain import clock
from asyncmqd.domain.job import Counts
from asyncmqd.observe.log import dropped
from asyncmqd.runtime.node import Node
from asyncmqd.runtime.stacks import stack_of

MINUTE = 60.0  # seconds
COUNT_LIMIT = 1.0  # seconds that the store gets to count jobs; a status must come all the same


class Pace:
    """How many jobs ended in the last minute, from totals noted now and then."""

    def __init__(self) -> None:
        self._notes: deque[tuple[float, int]] = deque([(clock.monotonic(), 0)])

    def note(self, total: int) -> None:
        """So many have ended since the beginning."""
        now = clock.monotonic()
        self._notes.append((now, total))
        while self._notes[1][0] <= now - MINUTE:  # the one before the minute is where it starts
            self._notes.popleft()

    def per_minute(self) -> int:
        """Jobs that ended in the last 60 seconds."""
        return self._notes[-1][1] - self._notes[0][1]


class Status:
    """Puts together what is known, without ever waiting long for the store."""

    def __init__(
        self, node: Node, supervisor: Supervisor, configuration: Configuration, instance: str
    ) -> None:
        self.phase = "starting"  # then ready, then draining
        self._node = node
        self._supervisor = supervisor
        self._configuration = configuration
        self._instance = instance
        self._began = clock.monotonic()
        self._pace = Pace()
        self._counting: asyncio.Task[dict[str, Counts]] | None = None

    # ------------------------------------------------------------------ for systemd

    def line(self) -> str:
        """One line of live numbers."""
        if self.phase == "draining":
            unsaved = self._supervisor.unsaved
            waits = f", {unsaved} ended that the store does not know of" if unsaved else ""
            return f"draining, {self._supervisor.running} left{waits}"
        if self.phase == "starting":
            waits = "" if self._node.healthy else f", waiting for the store: {self._node.trouble}"
            return f"starting{waits}"
        configuration = self._configuration
        self._pace.note(self._total("succeed") + self._total("fail"))
        parts = [
            f"queues: {len(self._supervisor.keepers)}, running: {self._supervisor.running}",
            f"done per minute: {self._pace.per_minute()}",
            f"completed: {self._total('succeed')}, failed: {self._total('fail')}",
            f"configuration: {configuration.generation}",
        ]
        if self._node.trouble:
            parts.insert(0, f"degraded: {self._node.trouble}")
        if configuration.refusal:
            parts.insert(0, configuration.refusal)
        return "; ".join(parts)

    def _total(self, edge: str, queue: str | None = None) -> int:
        totals = self._node.observer.totals
        return sum(n for (q, e), n in totals.items() if e == edge and queue in {None, q})

    # ------------------------------------------------------------------ for people

    async def snapshot(self) -> dict[str, Any]:
        """Everything, as JSON values."""
        counts = await self._counts()
        configuration = self._configuration
        return {
            "pid": os.getpid(),
            "version": asyncmqd.__version__,
            "phase": self.phase,
            "uptime": round(clock.monotonic() - self._began, 3),
            "instance": self._instance,
            "worker": self._node.id,
            "config": {
                "file": str(configuration.path),
                "generation": configuration.generation,
                "loaded_at": configuration.loaded_at.isoformat(),
                "refusal": configuration.refusal,
                "needs_restart": list(configuration.needs_restart),
            },
            "store": {
                "url": configuration.settings.backend_shown,
                "healthy": not self._node.trouble,
                "trouble": self._node.trouble,
            },
            "running": self._supervisor.running,
            "done_per_minute": self._pace.per_minute(),
            "overstayed": len(self._node.overstays),
            "log": {"dropped": dropped()},
            "queues": {
                queue: self._queue(keeper, counts)
                for queue, keeper in sorted(self._supervisor.keepers.items())
            },
        }

    def _queue(self, keeper: Keeper, counts: Mapping[str, Counts]) -> dict[str, Any]:
        counted = counts.get(keeper.queue)
        return {
            "concurrency": keeper.options.concurrency,
            "running": keeper.running,
            "rate_limit": keeper.options.rate_limit,
            "draining": keeper.draining or not keeper.wanted,
            "restarts": keeper.restarts,
            "completed": self._total("succeed", keeper.queue),
            "failed": self._total("fail", keeper.queue),
            "retried": self._total("retry", keeper.queue),
            "jobs": None if counted is None else msgspec.to_builtins(counted),
        }

    async def _counts(self) -> dict[str, Counts]:
        """Jobs in the store by queue; empty if it does not tell in time.

        The call is never cancelled, since that would cost a connection; until it returns, those
        who ask again wait for the same one.
        """
        if self._counting is None or self._counting.done():
            queues = list(self._supervisor.keepers)
            self._counting = asyncio.create_task(self._node.backend.counts(queues))
            self._counting.add_done_callback(lambda task: task.cancelled() or task.exception())
        counting = self._counting  # by the time it returns, somebody may have begun another
        done, _ = await asyncio.wait([counting], timeout=COUNT_LIMIT)
        if not done:
            return {}
        try:
            return counting.result()
        except StoreError:
            return {}

    # ------------------------------------------------------------------ for the log

    def dump(self) -> None:
        """Log the state, and where each running job is."""
        keepers = sorted(self._supervisor.keepers.items())
        self._node.observer.event(
            "daemon.state",
            phase=self.phase,
            healthy=self._node.healthy,
            queues={
                queue: {"running": keeper.running, "draining": keeper.draining}
                for queue, keeper in keepers
            },
        )
        now = asyncio.get_running_loop().time()
        for run in self._supervisor.runs():
            self._node.observer.event(
                "job.stack",
                **run.fields,
                running_ms=round((now - run.started) * 1000),
                stack=stack_of(run),
            )
