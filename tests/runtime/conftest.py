"""What runtime tests share: an observer that remembers, their own registry, running workers."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from types import ModuleType
from typing import Any

import pytest

from asyncmqd.backends import InMemoryBackend
from asyncmqd.backends.base import BaseBackend
from asyncmqd.client.pending import CallOptions, PendingJob, add_all, pending
from asyncmqd.domain.job import Claim, Record
from asyncmqd.domain.queue_options import CustomScanner, QueueOptions
from asyncmqd.domain.retry import backoff
from asyncmqd.domain.tasks import REGISTRY, Registry, TaskDef, TaskOptions
from asyncmqd.observe.event_names import EDGE_EVENTS
from asyncmqd.observe.listeners import Ended, Kind, job_fields
from asyncmqd.observe.observer import Observer
from asyncmqd.runtime.process.context import ProcessContext
from asyncmqd.runtime.worker import Worker
from tests.runtime.virtual import store_clock


class Memory(Observer):
    """Remembers events as (name, fields)."""

    def __init__(self) -> None:
        super().__init__([])
        self.hears_starts = True
        self.events: list[tuple[str, dict[str, Any]]] = []

    def event(self, name: str, **fields: Any) -> None:
        self.events.append((name, fields))

    def started(self, claim: Claim, task: str) -> None:
        """Remembered at any level of the log, which another test may have set."""
        self.event("job.started", **job_fields(claim, task))

    def changes(self, applied: Mapping[Kind, Ended]) -> None:
        for (queue, edge, task), runs in applied.items():
            for _, claim, _ in runs:
                self.totals[queue, edge] += 1
                fields = {"job_id": claim.id, "task": task, "attempt": claim.attempt}
                self.events.append((EDGE_EVENTS.get(edge, edge), fields))

    def names(self) -> list[str]:
        return [name for name, _ in self.events]


class Bench:
    """A store, tasks and workers for one test. Queue "q" unless said otherwise."""

    def __init__(self) -> None:
        self.backend: BaseBackend = InMemoryBackend(now=store_clock)
        self.registry = Registry()
        self.observer = Memory()

    def task(self, function: Callable[..., Any], *, name: str | None = None, **options: Any) -> str:
        """Register a function; its name."""
        if "backoff" in options:
            options["backoff"] = backoff(options["backoff"])
        name = name or function.__name__
        self.registry.add(TaskDef(function, name, TaskOptions(**options)))
        return name

    def context(self, **options: Any) -> ProcessContext:
        options = {"observer": self.observer, "registry": self.registry, **options}
        return ProcessContext(options.pop("backend", self.backend), **options)

    async def add(
        self, task: str, *args: Any, kwargs: dict[str, Any] | None = None, **options: Any
    ) -> str:
        """Enqueue one job; its id."""
        jobs: list[PendingJob] = [pending(task, args, kwargs or {}, CallOptions(**options))]
        return (await add_all(self.backend, "q", jobs))[0].id

    async def record(self, id: str) -> Record:
        (record,) = await self.backend.get("q", [id])
        assert record is not None
        return record

    async def ended(self, *ids: str) -> list[Record]:
        """Wait until these jobs have ended; their records."""
        while True:
            records = [await self.record(id) for id in ids]
            if all(record.state.terminal for record in records):
                return records
            await asyncio.sleep(0.01)

    @asynccontextmanager
    async def worker(
        self,
        context: ProcessContext | None = None,
        scanners: Sequence[CustomScanner] = (),
        **options: Any,
    ) -> AsyncIterator[Worker]:
        """A running worker; stopped, and its cancellation checked, at the end."""
        async with context or self.context() as context:
            worker = Worker("q", context, QueueOptions(**options), scanners=scanners)
            running = asyncio.create_task(worker.run())
            try:
                yield worker
            finally:
                running.cancel()
                await asyncio.wait([running])
            assert running.cancelled(), running.exception()


def tasks_of(module: ModuleType) -> Registry:
    """The tasks of one module alone: a child imports the modules of all tasks that there are."""
    registry = Registry()
    for each in REGISTRY:
        if each.module == module.__name__:
            registry.add(each)
    return registry


@pytest.fixture
def bench() -> Bench:
    return Bench()
