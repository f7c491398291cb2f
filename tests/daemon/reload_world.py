"""A daemon's inside in the test's own loop, with the configuration file that it runs by.

`Document` is the file and, independently of the code under test, what it should mean. `World` has
the real `Reloader`, `Supervisor` and `ProcessContext` on the store in memory, and jobs that run
until their gate opens, in the loop and in threads.
"""

from __future__ import annotations

import asyncio
import json
import math
import threading
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any
from uuid import uuid4

import msgspec

from asyncmqd.backends.memory import InMemoryBackend
from asyncmqd.config.load import load
from asyncmqd.daemon.application_import import Application
from asyncmqd.daemon.queue_processes import OwnProcess
from asyncmqd.daemon.queue_supervisor import QueueSupervisor
from asyncmqd.daemon.reload.preview import Previewer
from asyncmqd.daemon.reload.reloading import Configuration, Reloader
from asyncmqd.daemon.systemd import Systemd
from asyncmqd.domain.codec import encode_spec
from asyncmqd.domain.job import Counts, JobSpec, NewJob
from asyncmqd.domain.tasks import Registry, TaskDef, TaskOptions
from asyncmqd.runtime.claiming.rate_limiter import RateLimiter
from asyncmqd.runtime.claiming.slots import POLLS
from asyncmqd.runtime.execution.run import Run
from asyncmqd.runtime.process.context import ProcessContext
from asyncmqd.runtime.worker import Worker
from tests.eventually import eventually
from tests.runtime.conftest import Memory

QUEUES = ("a", "b", "c")
ALIVE: Counter[tuple[str, str, str]] = Counter()
"""Custom scanners that run now, by store, queue and name."""


async def one(queue: str, *, backend: Any, interval: float) -> None:
    await _be_alive(backend.url, queue, "one")


async def two(queue: str, *, backend: Any, interval: float) -> None:
    await _be_alive(backend.url, queue, "two")


async def _be_alive(*identity: str) -> None:
    ALIVE[identity] += 1
    try:
        await asyncio.Event().wait()
    finally:
        ALIVE[identity] -= 1


# ---------------------------------------------------------------------- the file

BUILT_IN = {
    "concurrency": 10,
    "rate_limit": None,
    "rate_interval": 1.0,
    "burst": None,
    "scan_interval": 1.0,
    "retries": 0,
    "timeout": None,
    "drain_timeout": None,
    "executor": "thread",
    "scanners": [],
    "result_ttl": 3_600,
    "keep_completed": 1_000,
    "keep_failed": 604_800,
    "keep_bytes": 268_435_456,
    "repeatables": [],
}
NEEDS_RESTART = {"log_format": "auto", "lease": 15, "hang_limit": 60}
"""Top-level keys that are read at start, with their defaults."""

Table = dict[str, Any]


@dataclass(frozen=True)
class Document:
    """A configuration as it is written; None as a value means that the key is left out."""

    top: Table = field(default_factory=dict)
    # So slow that tokens which come back during a test do not count.
    defaults: Table = field(default_factory=lambda: {"rate_interval": 3_600, "drain_timeout": 300})
    queues: dict[str, Table] = field(default_factory=lambda: {"a": {}, "b": {"rate_limit": 5}})
    broken: bool = False

    def text(self) -> str:
        tables = [('backend = "memory://"\ncontrol_socket = "/tmp/unused.sock"', self.top)]
        tables.append(("[defaults]", self.defaults))
        tables += [(f"[queues.{name}]", table) for name, table in self.queues.items()]
        lines = []
        for head, table in tables:
            lines.append(head)
            lines += [f"{key} = {_toml(v)}" for key, v in table.items() if v is not None]
        return "\n".join([*lines, "concurency = " if self.broken else ""])

    @property
    def valid(self) -> bool:
        alone = any(
            table.get("burst") is not None and self.meaning(name)["rate_limit"] is None
            for name, table in self.queues.items()
        )
        return bool(self.queues) and not self.broken and not alone

    def meaning(self, queue: str) -> Table:
        """Every key of a queue with the value that has to be in force."""
        values = dict(BUILT_IN)
        for table in (self.defaults, self.queues[queue]):
            values |= {key: value for key, value in table.items() if value is not None}
        if values["drain_timeout"] is None:
            values["drain_timeout"] = self.top.get("shutdown_timeout") or 30
        values["payload_limit"] = self.top.get("payload_limit") or 262_144
        return values

    def owed(self) -> set[str]:
        """Keys that differ from what the daemon was started with."""
        return {k for k, v in NEEDS_RESTART.items() if (self.top.get(k) or v) != v}


def _toml(value: Any) -> str:
    if isinstance(value, dict):
        return "{" + ", ".join(f"{key} = {_toml(each)}" for key, each in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ", ".join(map(_toml, value)) + "]"
    return json.dumps(value)


# ---------------------------------------------------------------------- what is looked at


@dataclass(frozen=True)
class Served:
    """What serves one queue, by identity: equal means that it was not touched."""

    keeper: QueueSupervisor
    worker: Worker
    tasks: frozenset[asyncio.Task[Any]]  # the keeper's, and the worker's loops
    runs: dict[str, tuple[Run, asyncio.Task[Any] | None]]
    limiter: RateLimiter | None
    tokens: float = field(compare=False)
    ending: bool
    options: Any

    @classmethod
    def of(cls, keeper: QueueSupervisor) -> Served:
        worker = keeper.worker
        assert worker is not None
        limiter = worker.limiter
        if limiter is not None:
            limiter.wait_time()  # counts what has come back by now
        return cls(
            keeper=keeper,
            worker=worker,
            tasks=loops_of(keeper),
            runs={id: (run, run.asyncio_task) for id, run in worker.running.items()},
            limiter=limiter,
            tokens=math.inf if limiter is None else limiter._tokens,
            ending=not serves(keeper),
            options=(keeper.options, worker.options),
        )


def loops_of(keeper: QueueSupervisor) -> frozenset[asyncio.Task[Any]]:
    """The tasks that are steps of the keeper, its worker or one of its loops, but for jobs."""
    worker = keeper.worker
    loops = (worker._claims, worker._scanner, worker._scheduler) if worker else ()
    owners = {id(each) for each in (keeper, worker, *loops)}
    return frozenset(task for task in asyncio.all_tasks() if id(_owner(task)) in owners)


def _owner(task: asyncio.Task[Any]) -> Any:
    coroutine: Any = task.get_coro()
    frame = coroutine.cr_frame
    if frame is None or coroutine.__qualname__ == "ClaimLoop._run":
        return None
    return frame.f_locals.get("self")


def serves(keeper: QueueSupervisor) -> bool:
    """Whether it claims jobs, rather than drain."""
    return keeper.wanted and not keeper._ending


def in_force(worker: Worker) -> Table:
    """The numbers that the parts of a worker go by."""
    claims, execution, scanner = worker._claims, worker._execution.options, worker._scanner.options
    specs = [msgspec.json.decode(spec) for spec in worker._scheduler.specs.values()]
    limits: Table = {"rate_limit": None}
    if (limiter := worker.limiter) is not None:
        limits = {"rate_limit": limiter.rate, "rate_interval": limiter.interval}
        limits["burst"] = limiter._burst
    return {
        "concurrency": claims.capacity.slots.size,  # type: ignore[attr-defined]
        "drain_timeout": execution.drain_limit,
        "retries": execution.retries,
        "timeout": execution.timeout,
        "executor": execution.executor,
        "payload_limit": worker.context.backend.payload_limit,
        "scan_interval": scanner.scan_interval,
        "repeatables": {spec["task"]: spec["every"] for spec in specs},
        **limits,
        **{key: getattr(scanner.retention, key) for key in scanner.retention.__struct_fields__},
    }


def should_be(meaning: Table) -> Table:
    """The same by what the file means."""
    wanted = {key: value for key, value in meaning.items() if key != "scanners"}
    wanted["repeatables"] = {each["task"]: each["every"] for each in meaning["repeatables"]}
    if meaning["rate_limit"] is None:
        del wanted["rate_interval"], wanted["burst"]
    else:
        wanted["burst"] = burst_of(meaning)
    return wanted


def burst_of(meaning: Table) -> float:
    """How many tokens the bucket holds."""
    rate, burst = meaning["rate_limit"], meaning["burst"]
    return max(1.0, rate if burst is None else burst) if rate else 0.0


# ---------------------------------------------------------------------- the daemon's inside


class Gate:
    """What jobs of a queue wait for, in the loop and in threads."""

    def __init__(self) -> None:
        self._loop, self._threads = asyncio.Event(), threading.Event()

    async def wait(self) -> None:
        await self._loop.wait()

    def block(self) -> None:
        self._threads.wait()

    def open(self) -> None:
        self._loop.set()
        self._threads.set()


class World:
    """Queues that are served by one configuration file after the other."""

    def __init__(self, place: Path, context: ProcessContext, document: Document) -> None:
        self.path = place / "queues.toml"
        self.context = context
        self.began: Counter[str] = Counter()  # by job id
        self.ran: Counter[str] = Counter()
        self.jobs: dict[str, str] = {}  # the queue of each
        self.gates = {queue: Gate() for queue in QUEUES}
        self.log_levels: list[str] = []
        for function, name in ((self._hold, "hold"), (self._block, "block"), (self._nop, "nop")):
            context.registry.add(TaskDef(function, name, TaskOptions(executor="thread")))
        self.write(document)
        settings = load(self.path, {})
        serving = OwnProcess(context, settings, Application(self.path, {}), {})
        self.supervisor = serving.supervisor
        self.configuration = Configuration(self.path, {}, settings)
        serving.apply(settings)
        self.reloader = Reloader(
            self.configuration,
            serving,
            Previewer(context.backend),
            Systemd({}, context.observer),
            context.observer,
            self.log_levels.append,
        )
        self.reloader.start()

    def write(self, document: Document) -> None:
        self.path.write_text(document.text())

    # ------------------------------------------------------------------ jobs

    async def _hold(self, queue: str, id: str) -> None:
        self.began[id] += 1
        await self.gates[queue].wait()
        self.ran[id] += 1

    def _block(self, queue: str, id: str) -> None:
        self.began[id] += 1
        self.gates[queue].block()
        self.ran[id] += 1

    async def _nop(self, queue: str, id: str) -> None:
        self.began[id] += 1
        self.ran[id] += 1

    async def add(self, queue: str, task: str) -> None:
        """Enqueue a job, and wait until it runs if there is room for it."""
        id = f"{queue}{len(self.jobs)}"
        self.jobs[id] = queue
        payload = encode_spec(JobSpec(id=id, task=task, args=[queue, id]))
        [added] = await self.context.backend.add(queue, [NewJob(id=id, payload=payload)])
        assert added.is_new
        await self.settle()

    async def release(self, queue: str) -> None:
        """Let the jobs that run in this queue end."""
        held = [id for id in self.began if self.jobs[id] == queue]
        gate, self.gates[queue] = self.gates[queue], Gate()
        gate.open()

        async def ended() -> bool:
            return all(self.ran[id] for id in held)

        await eventually(ended)
        await self.settle()

    # ------------------------------------------------------------------ looking

    async def settle(self) -> None:
        """Until nothing more happens by itself: workers are up, and as full as they may be."""
        await eventually(self._settled)

    async def _settled(self) -> bool:
        counts = await self.context.backend.counts(QUEUES)
        keepers = self.supervisor.queues.values()
        return all(
            self._is_up(each) and self._is_full(each, counts[each.queue]) for each in keepers
        )

    def _is_up(self, keeper: QueueSupervisor) -> bool:
        """Whether its worker has begun all loops and custom scanners, or drains by now."""
        worker = keeper.worker
        if worker is None or worker.draining == serves(keeper):
            return False
        names = [name.rpartition(":")[2] for name in worker.options.scanners]
        alive = [n for n in ("one", "two") if ALIVE[self.context.backend.url, keeper.queue, n] == 1]
        return alive == names and len(loops_of(keeper)) == 5 + POLLS + len(names)

    def _is_full(self, keeper: QueueSupervisor, counts: Counts) -> bool:
        """Whether it runs all that it may; one that drains is about to end if it runs nothing."""
        worker = keeper.worker
        assert worker is not None
        if counts.active != keeper.running or not all(self.began[id] for id in worker.running):
            return False  # a claim is under way, or a thread is about to begin
        if any(self.ran[id] for id in worker.running):
            return False  # its function has returned, and its run is about to end
        if not serves(keeper):
            return keeper.running > 0
        limited = worker.limiter is not None and worker.limiter.wait_time() > 0
        return not counts.waiting or limited or not worker._claims.capacity.slots.free

    def served(self) -> dict[str, Served]:
        """What serves the queues now, those that drain included."""
        return {queue: Served.of(keeper) for queue, keeper in self.supervisor.queues.items()}

    def begun(self) -> Counter[str]:
        """Jobs that were ever started, by queue."""
        return Counter(self.jobs[id] for id in list(self.began))


@asynccontextmanager
async def world(place: Path, document: Document) -> AsyncIterator[World]:
    """A world that is stopped at the end, whatever its jobs wait for."""
    backend = InMemoryBackend(f"memory://{uuid4()}")
    async with ProcessContext(backend, registry=Registry(), observer=Memory()) as context:
        made = World(place, context, document)
        try:
            yield made
        finally:
            for gate in made.gates.values():
                gate.open()
            await made.reloader.stop()
            await made.supervisor.stop()


def edited(document: Document, part: str, name: str, values: Table) -> Document:
    """The document with some keys of `top`, `defaults` or the queue `name` written anew."""
    if part == "queues":
        tables = dict(document.queues)
        if name in tables:
            tables[name] = tables[name] | values
        return replace(document, queues=tables)
    return replace(document, **{part: getattr(document, part) | values})


def toggled(document: Document, queue: str) -> Document:
    """The document without this queue, or with it if it was without."""
    tables = dict(document.queues)
    if tables.pop(queue, None) is None:
        tables[queue] = {"rate_limit": 5}
    return replace(document, queues=tables)
