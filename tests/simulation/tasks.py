"""What the jobs of the simulation do: everything that jobs of applications are known to do."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

from asyncmqd.client.pending import CallOptions, add_all, pending
from asyncmqd.domain.retry import Fixed, Reject, Retry
from asyncmqd.domain.tasks import Registry, TaskDef, TaskOptions
from asyncmqd.runtime.job_context import current_job
from tests.simulation.judge import AFTER, BACKOFF, Judge
from tests.simulation.loop import SimLoop
from tests.simulation.process import LEASE


class Tasks:
    """A registry of tasks that tell the judge of each run.

    `fates` says in which state a job of a task may end in spite of all faults.
    """

    def __init__(self, judge: Judge) -> None:
        self.judge = judge
        self.registry = Registry()
        self.fates: dict[str, set[str]] = {}
        self._add(self.quick, {"completed"})
        self._add(self.sleepy, {"completed"})
        self._add(self.slow, {"completed"})
        self._add(self.progress, {"completed"})
        self._add(self.flaky, {"completed"}, retries=3)
        self._add(self.again, {"completed"}, retries=3)
        self._add(self.broken, {"failed"}, retries=2)
        self._add(self.rejected, {"failed"}, retries=2)
        self._add(self.endless, {"failed"}, retries=1, timeout=1.0)
        self._add(self.stubborn, {"failed"}, timeout=0.5)
        self._add(self.perishable, {"completed", "expired"}, ttl=2.0)
        self._add(self.parent, {"completed"}, retries=20)
        self._add(self.poison, {"failed"})
        self._add(self.tick, {"completed"})
        self._add(self.lingering, {"completed"})

    def _add(self, task: Callable[..., Awaitable[Any]], fates: set[str], **options: Any) -> None:
        name = task.__name__
        self.fates[name] = fates

        async def run(*args: Any) -> Any:
            job, loop = current_job(), SimLoop.running()
            self.judge.runs[job.id] += 1
            self.judge.starts.append((loop.owner.name, job.queue, loop.time()))
            if wrong := self.judge.check_alone(loop.owner, job.id):
                loop.errors.append(wrong)
            loop.owner.begin(job.id)
            try:
                return await task(*args)
            finally:
                loop.owner.executing[job.id] -= 1

        self.registry.add(TaskDef(run, name, TaskOptions(backoff=Fixed(BACKOFF), **options)))

    def attempts(self, task: str) -> int:
        """How often a job of the task may fail."""
        definition = self.registry.get(task)
        assert definition is not None
        return 1 + (definition.options.retries or 0)

    # ------------------------------------------------------------------ well-behaved

    async def quick(self) -> str:
        return current_job().id

    async def sleepy(self, seconds: float) -> None:
        await asyncio.sleep(seconds)

    async def lingering(self, most: float) -> None:
        """Takes a while, and some of its runs as long when they are told to stop."""
        rng = SimLoop.running().owner.world.rng
        seconds, deaf = rng.choice((0.1, 0.3, most)), rng.choice((0.0, 0.0, most, 4 * most))
        try:
            await asyncio.sleep(seconds)
        except asyncio.CancelledError:
            await asyncio.sleep(deaf)
            raise

    async def slow(self) -> None:
        """Takes longer than a lease."""
        await asyncio.sleep(1.5 * LEASE)

    async def progress(self) -> int:
        for step in range(5):
            current_job().progress(step)
            await asyncio.sleep(0.05)
        return 5

    async def tick(self) -> None:
        """What repeatables run."""

    async def parent(self, children: int) -> None:
        """Enqueues jobs whose ids are the same at each attempt."""
        job = current_job()
        options = [CallOptions(job_id=f"{job.id}.{n}") for n in range(children)]
        jobs = [pending("quick", (), {}, option) for option in options]
        await add_all(SimLoop.running().owner.store, job.queue, jobs)
        self.judge.accepted.update({each.spec.id: job.queue for each in jobs})

    # ------------------------------------------------------------------ failing

    async def flaky(self, failures: int) -> str:
        """Fails so often, then succeeds."""
        await asyncio.sleep(0.01)
        if current_job().attempt <= failures:
            raise ValueError("not yet")
        return current_job().id

    async def again(self) -> None:
        if current_job().attempt == 1:
            raise Retry(after=AFTER)

    async def broken(self) -> None:
        raise ValueError("never")

    async def rejected(self) -> None:
        raise Reject("not at all")

    async def endless(self) -> None:
        await asyncio.sleep(1_000)

    async def stubborn(self) -> None:
        """Goes on when it is told to stop."""
        for _ in range(4):
            try:
                await asyncio.sleep(1.2)
            except asyncio.CancelledError:
                continue

    async def perishable(self) -> None:
        """Is not started any more after its ttl."""

    async def poison(self, after: float = 0.05) -> None:
        """Kills the process that runs it, so many seconds after its start."""
        await asyncio.sleep(after)
        process = SimLoop.running().owner
        process.kill(f"poison {current_job().id}")
        await asyncio.get_running_loop().create_future()
