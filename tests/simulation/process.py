"""One simulated process: a real `ProcessContext` with real `Worker`s, as the daemon has them."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable
from typing import Any

from asyncmqd.backends.base import StoreError
from asyncmqd.domain.former_self import Life
from asyncmqd.domain.queue_options import QueueOptions
from asyncmqd.domain.shared_limits import NO_LIMITS
from asyncmqd.domain.tasks import Registry
from asyncmqd.observe.observer import Observer
from asyncmqd.runtime.claiming.claim_decision import LoopState
from asyncmqd.runtime.claiming.max_concurrency import DaemonSlots
from asyncmqd.runtime.process.context import ProcessContext
from asyncmqd.runtime.worker import Worker
from tests.simulation.loop import SimLoop
from tests.simulation.server import RemoteStore, Server

LEASE = 4.0  # seconds
BAD_EVENTS = {"duty.crashed", "scanner.crashed", "queue.release_failed", "queue.crashed"}


class Quiet(Observer):
    """Counts, and logs nothing."""

    def __init__(self) -> None:
        super().__init__([])
        self.events: Counter[str] = Counter()

    def event(self, name: str, **fields: Any) -> None:
        super().event(name, **fields)
        self.events[name] += 1
        assert name not in BAD_EVENTS, (name, fields)


class Process:
    """One life of a daemon on `host`: from its start to its end, or to its death.

    `cause` says why it died; empty while it lives.
    """

    def __init__(
        self,
        server: Server,
        host: int,
        registry: Registry,
        queues: dict[str, QueueOptions],
        loop: SimLoop,
        skew: float = 0.0,
        on_end: Callable[[Process], None] = lambda _: None,
        slots: int | None = None,
    ) -> None:
        self.world = server.world
        self._server = server
        self.host = host
        self.loop = loop
        self.skew = skew  # seconds that its wall clock is ahead of the truth
        loop.owner = self
        self.instance = f"host{host}"
        self.pid = server.judge.enter(self)
        self.name = self.instance  # of this life, once it has begun
        self.store = RemoteStore(server, loop)
        self.observer = Quiet()
        self.context: ProcessContext | None = None
        self.workers: list[Worker] = []
        self.cause = ""
        self.ended = False  # in good order
        self.ready = False
        self.executing: Counter[str] = Counter()  # runs of each job, as its task sees it
        self._registry = registry
        self._queues = queues
        self._slots: DaemonSlots | None = None
        if slots is not None:
            self._slots = DaemonSlots()
            self._slots.declare(slots, {name: each.weight for name, each in queues.items()})
        self._on_end = on_end
        self._stopping = asyncio.Event()
        self._main = loop.create_task(self._live())
        self.world.loops.append(loop)

    # ------------------------------------------------------------------ life

    async def _live(self) -> None:
        context = self.context = ProcessContext(
            self.store,
            instance=self.instance,
            lease=LEASE,
            observer=self.observer,
            registry=self._registry,
            life=Life(pid=self.pid, start=1, boot=f"{self.host}", pid_namespace="1"),
            start_of=self._server.judge.start_of,
        )
        self.name = context.presence.id
        self._server.judge.processes[context.presence.id] = self
        await self._reclaim(context)
        async with context:
            self.workers = [
                Worker(
                    name,
                    context,
                    options,
                    declares=options.shared_limits != NO_LIMITS,
                    daemon_slots=self._slots,
                )
                for name, options in self._queues.items()
            ]
            running = [asyncio.create_task(worker.run()) for worker in self.workers]
            self.ready = True
            await self._stopping.wait()
            for task in running:
                task.cancel()
            await asyncio.wait(running)
            for task in running:
                assert task.cancelled(), task.exception()
        await self.store.close()
        self.ended = True
        self._on_end(self)

    async def _reclaim(self, context: ProcessContext) -> None:
        failures = 0
        while True:
            try:
                await context.recovery.reclaim()
            except StoreError:
                await context.health.pause(failures)
                failures += 1
            else:
                return

    def stop(self) -> None:
        """SIGTERM."""
        if not self.loop.dead and not self._stopping.is_set():
            self.loop.call_soon(self._stopping.set)

    def kill(self, cause: str) -> None:
        """SIGKILL, for this reason."""
        if self.living:
            self.cause = cause
            self.loop.kill()
            self.world.bury(self.loop)
            self.world.note(self.name, "killed", cause)
            self._on_end(self)

    @property
    def living(self) -> bool:
        """Whether it has neither ended nor died."""
        return not self.ended and not self.loop.dead

    # ------------------------------------------------------------------ looked at

    def begin(self, id: str) -> None:
        """A job's task was called."""
        self.executing[id] += 1
        if self._slots is not None:
            running, most = self.executing.total(), self._slots.cap
            if running > most:
                self.loop.errors.append(f"{running} jobs run, and there are {most} slots")

    @property
    def crash(self) -> str:
        """An error of ours that ended it or that nobody handled; empty if there is none."""
        if self._main.done() and not self._main.cancelled() and (error := self._main.exception()):
            return repr(error)
        return "; ".join(self.loop.errors)

    @property
    def residue(self) -> list[str]:
        """What an idle process still holds though it has nothing to do; empty if all is well."""
        assert self.context is not None
        found: dict[str, Any] = {
            "leases": self.context.leases._runs,
            "lost": self.context.leases._lost,
            "candidate": self.context.isolation.candidate,
            "inside": self.context.isolation._inside,
            "explaining": self.context.leases._explaining,
            "overstays": self.context.overstays._timers,
        }
        for worker in self.workers:
            loop = worker._claims
            found[f"{worker.queue} running"] = loop.running
            found[f"{worker.queue} finished"] = loop._unacknowledged.ended
            found[f"{worker.queue} noted"] = loop._unacknowledged.progressed
            found[f"{worker.queue} unsure"] = loop.state is LoopState.UNSURE
            found[f"{worker.queue} slots"] = loop.capacity.slots.taken
            if self._slots is not None:
                share = self._slots.share(worker.queue)
                found[f"{worker.queue} share"] = share.held or share.wants
            if loop.capacity.limiter is not None:
                found[f"{worker.queue} tokens"] = loop.capacity.limiter._reserved
        return [f"{self.name}: {name}: {value!r}" for name, value in found.items() if value]
