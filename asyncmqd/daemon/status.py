"""What the daemon tells about itself: to `asyncmqd status`, to systemd, and to its log."""

from __future__ import annotations

import asyncio
import os
import sys
import traceback
from collections.abc import Mapping
from types import FrameType
from typing import Any

import msgspec

import asyncmqd
from asyncmqd.backends.base import StoreError
from asyncmqd.daemon.keeper import Keeper
from asyncmqd.daemon.reloading import Configuration
from asyncmqd.daemon.supervisor import Supervisor
from asyncmqd.domain import clock
from asyncmqd.domain.job import Counts
from asyncmqd.runtime.node import Node
from asyncmqd.runtime.run import Run

COUNT_LIMIT = 1.0  # seconds that the store gets to count jobs; a status must come all the same
_STACK_LIMIT = 50  # frames


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
        self._counting: asyncio.Task[dict[str, Counts]] | None = None

    # ------------------------------------------------------------------ for systemd

    def line(self) -> str:
        """One line of live numbers."""
        if self.phase == "draining":
            return f"draining, {self._supervisor.running} left"
        if self.phase == "starting":
            waits = "" if self._node.healthy else ", waiting for the store"
            return f"starting{waits}"
        configuration = self._configuration
        parts = [
            f"queues: {len(self._supervisor.keepers)}, running: {self._supervisor.running}",
            f"completed: {self._total('succeed')}, failed: {self._total('fail')}",
            f"configuration: {configuration.generation}",
        ]
        if not self._node.healthy:
            parts.insert(0, "degraded: the store does not answer")
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
                "healthy": self._node.healthy,
            },
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
        for queue, keeper in keepers:
            for run in list(keeper.worker.running.values()) if keeper.worker else ():
                self._node.observer.event(
                    "job.stack",
                    queue=queue,
                    job_id=run.id,
                    task=run.task_name,
                    attempt=run.attempt,
                    running_ms=round((now - run.started) * 1000),
                    stack=stack_of(run),
                )


def stack_of(run: Run) -> list[str]:
    """Where a running job is, outermost call first, as `FILE:LINE FUNCTION`."""
    if run.thread_id is not None:
        # The only way to see what another thread does.
        frame = sys._current_frames().get(run.thread_id)  # noqa: SLF001
        summary = traceback.extract_stack(frame, _STACK_LIMIT) if frame is not None else []
        return [f"{each.filename}:{each.lineno} {each.name}" for each in summary]
    return [_frame_line(frame) for frame in _awaited(run)][:_STACK_LIMIT]


def _awaited(run: Run) -> list[FrameType]:
    """The frames of a suspended coroutine: a task's own `get_stack` stops at the first."""
    frames: list[FrameType] = []
    here: Any = run.asyncio_task.get_coro() if run.asyncio_task is not None else None
    while here is not None and len(frames) < _STACK_LIMIT:
        frame = getattr(here, "cr_frame", None) or getattr(here, "gi_frame", None)
        if frame is None:
            break
        frames.append(frame)
        here = getattr(here, "cr_await", None) or getattr(here, "gi_yieldfrom", None)
    return frames


def _frame_line(frame: FrameType) -> str:
    return f"{frame.f_code.co_filename}:{frame.f_lineno} {frame.f_code.co_name}"
