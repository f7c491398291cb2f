"""`Node`: what all workers of one process share on one store.

One thread renews their leases, one connection waits for work for all of them, one slow pass covers
lost wake-ups, one heartbeat registers the process; so a queue that is idle costs nothing.
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import os
import socket
from collections.abc import Callable, Sequence, Sized
from collections.abc import Set as AbstractSet
from typing import Protocol, Self

import msgspec

from asyncmqd.backends.base import BaseBackend, StoreError
from asyncmqd.domain import clock
from asyncmqd.domain.codec import CorruptPayload, decode_spec
from asyncmqd.domain.failpoints import failpoint
from asyncmqd.domain.job import Claim
from asyncmqd.domain.life import Life
from asyncmqd.domain.loop_tasks import begin
from asyncmqd.domain.serving import serving_of, told
from asyncmqd.domain.settle import Crashed, Policy, settle
from asyncmqd.domain.states import State
from asyncmqd.domain.tasks import REGISTRY, Registry
from asyncmqd.observe.events import Observer
from asyncmqd.runtime.claiming.isolation import Isolation
from asyncmqd.runtime.duties import Duties, Duty
from asyncmqd.runtime.health import Health
from asyncmqd.runtime.kin import Kin
from asyncmqd.runtime.leases import RENEWALS, Leases
from asyncmqd.runtime.lives import own_life, start_of
from asyncmqd.runtime.overstays import Overstays
from asyncmqd.runtime.run import Run
from asyncmqd.runtime.timetable import Timetable

SWEEP = 30.0  # seconds between slow passes over all queues
BEAT = 10.0  # seconds between heartbeats
BEAT_TTL = 3 * BEAT
_GATHER = 0.05  # seconds


class Member(Protocol):
    """What a node knows of a worker."""

    queue: str

    @property
    def concurrency(self) -> int:
        """Jobs that it runs at once."""

    @property
    def running(self) -> Sized:
        """Jobs that it runs now."""

    @property
    def claiming(self) -> bool:
        """Whether it takes jobs."""

    @property
    def has_room(self) -> bool:
        """Whether it would begin a job at once that it got now."""

    @property
    def last_tidied(self) -> float:
        """Loop time at which the retention limits were last applied."""

    def wake(self) -> None:
        """The queue may have work."""

    def look_soon(self) -> None:
        """Jobs of the queue are delayed or active, perhaps elsewhere only."""

    async def tidy(self) -> None:
        """Apply the retention limits."""


class Node:
    """One process's share of the runtime. Use it as an async context manager.

    `instance` names what survives a restart (a daemon's host and socket); None means a process
    that nobody will come back for. `lease` is how long a claim holds without renewal, and
    `hang_limit` how long the loop may be stuck before renewal stops; both in seconds. `life` is
    what its heartbeat tells of this very process. `family` is that of `Kin`.
    """

    def __init__(
        self,
        backend: BaseBackend,
        *,
        instance: str | None = None,
        lease: float = 15.0,
        hang_limit: float = 60.0,
        observer: Observer | None = None,
        registry: Registry = REGISTRY,
        life: Life | None = None,
        start_of: Callable[[int], int | None] = start_of,
        family: str = "",
    ) -> None:
        self.backend = backend
        self.instance = instance or f"{socket.gethostname()}-{os.getpid()}"
        self.id = f"{self.instance}/{clock.nonce()}"
        self.lease = lease
        self.observer = observer or Observer()
        life = life or own_life()
        self.kin = Kin(backend, self.instance, self.id, life, start_of, self.observer, family)
        self.registry = registry
        self.overstays = Overstays(self.observer)
        self.duties = Duties(self.observer)
        self.leases = Leases(backend, lease, hang_limit, self._on_lost, self.duties)
        self.workers: dict[str, list[Member]] = {}
        self.timetable = Timetable(self)
        self.isolation = Isolation(self.overstays, self._wake_all)
        self.health = Health(
            backend,
            lease,
            self.observer,
            on_failure=self._beat_soon,
            on_recovery=self._wake_all,
        )
        self._own_duties: list[Duty] = []
        self._listener: Duty | None = None
        self._numbers = itertools.count(1)
        self._beat_now = asyncio.Event()
        self._swept_at = 0.0  # loop time of the last slow pass
        self._looked_at = 0.0  # and of the last pass over what others serve as well
        self._asking_leases: asyncio.Task[float] | None = None  # not sent yet
        self._explaining: set[asyncio.Task[None]] = set()

    # ------------------------------------------------------------------ life

    async def __aenter__(self) -> Self:
        self.health.begin()
        self.leases.start()
        self._swept_at = asyncio.get_running_loop().time()
        begin = self.duties.begin
        self._own_duties = [begin("heartbeat", self._beat), begin("sweep", self._sweep)]
        return self

    async def __aexit__(self, *_: object) -> None:
        listener, self._listener = self._listener, None
        duties = [*self._own_duties, *([listener] if listener else [])]
        await asyncio.wait([duty.end() for duty in duties])
        self.health.end()
        self.overstays.close()
        await self.leases.stop()
        try:
            async with asyncio.timeout(2):
                await self.backend.leave(self.id)
        except (StoreError, TimeoutError):
            return  # its registration runs out by itself

    def worker_name(self) -> str:
        """A name for one more worker of this process, to claim by."""
        return f"{self.id}#{next(self._numbers)}"

    def join(self, worker: Member) -> None:
        """Wake this worker when its queue may have work."""
        self.workers.setdefault(worker.queue, []).append(worker)
        self._beat_now.set()
        self._listen_anew()

    def part(self, worker: Member) -> None:
        """Wake it no more."""
        self.workers[worker.queue].remove(worker)
        if not self.workers[worker.queue]:
            del self.workers[worker.queue]

    async def retire(self, queue: str) -> None:
        """A worker of the queue claims no more: have others woken, unless one here goes on.

        To be called before it hands jobs back, or we might be the ones who are woken for them.
        Raises StoreError.
        """
        if not any(worker.claiming for worker in self.workers.get(queue, ())):
            await self.backend.retire(queue)

    async def pass_on(self, queue: str) -> None:
        """A worker that was woken has no room left: have others woken, unless one here has some.

        Raises StoreError.
        """
        if not any(worker.has_room for worker in self.workers.get(queue, ())):
            await self.backend.retire(queue)

    def known(self, tasks: Sequence[str]) -> list[str]:
        """Those of the tasks that this process can run."""
        return [name for name in tasks if self.registry.get(name) is not None]

    # ------------------------------------------------------------------ shared duties

    def _listen_anew(self) -> None:
        """Wait for another set of queues; several joining at once restart the wait once."""
        if self._listener is not None:
            self._listener.renew()
        else:
            self._listener = self.duties.begin("wake-ups", self._listen_for_ever)

    async def _listen_for_ever(self) -> None:
        await self.health.persistently(self._listen)

    async def _listen(self) -> None:
        queues = set(self.workers)
        woken = await self.backend.wait(queues, SWEEP)
        for queue in sorted(woken):  # in the same order at each run of a simulated world
            self.wake(queue)

    def wake(self, queue: str) -> None:
        """Have the workers of a queue look for work."""
        for worker in self.workers.get(queue, ()):
            worker.wake()

    def _wake_all(self) -> None:
        for queue in list(self.workers):
            self.wake(queue)

    async def _sweep(self) -> None:
        await self.health.persistently(self._sweep_once)

    async def _sweep_once(self) -> None:
        """The slow pass: whatever a lost wake-up could hide is found here.

        Of queues that other processes serve as well, also before a claim that one of them has just
        made can lapse: nobody here was woken for it.
        """
        before_lapse = min(SWEEP, self.lease * (1 - 1 / RENEWALS))
        pause = min(BEAT, before_lapse)
        await asyncio.sleep(pause)
        await self.kin.look_for_twins()
        time = asyncio.get_running_loop().time()
        slow = time - self._swept_at > SWEEP - pause / 2
        queues: AbstractSet[str] = set()
        if slow:
            queues = self.workers.keys()
        elif time - self._looked_at > before_lapse - pause / 2:
            queues = self.kin.shared(self.workers.keys())
        if not queues:
            return
        outlooks = await self.backend.outlook(sorted(queues))
        for queue, outlook in outlooks.items():
            if (outlook.next_due, outlook.next_lapse) != (None, None):
                for worker in self.workers.get(queue, ()):
                    worker.look_soon()
            if slow and (outlook.waiting or self.known(outlook.parked_tasks)):
                self.wake(queue)
        self._looked_at = time
        if slow:
            self._swept_at = time
            await self._tidy_next()

    async def _tidy_next(self) -> None:
        """Retention and parked jobs of one queue at each pass, not of all idle queues at once."""
        if not self.workers:  # a reload removed the last one since the pass began
            return
        queue = min(self.workers, key=lambda name: self.workers[name][0].last_tidied)
        await self.workers[queue][0].tidy()

    def _beat_soon(self) -> None:
        """With all slots taken nobody else asks a store that failed before the next heartbeat."""
        self._beat_now.set()

    async def _beat(self) -> None:
        await self.health.persistently(self._beat_once)

    async def _beat_once(self) -> None:
        await asyncio.sleep(_GATHER)  # the workers of a start or a reload join one by one
        self._beat_now.clear()
        await self.announce()
        await self.health.ask_time()
        self.health.answered()
        await self.health.look_for_danger()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(BEAT):
                await self._beat_now.wait()

    async def announce(self) -> None:
        """Say that this process lives: before it claims, or nobody could tell its death.

        The record outlives the leases of whoever dies. Raises StoreError.
        """
        await self.backend.beat(self.id, self._info(), max(BEAT_TTL, self.lease + BEAT))

    def _info(self) -> bytes:
        queues = {
            name: {
                "concurrency": sum(worker.concurrency for worker in workers),
                "running": sum(len(worker.running) for worker in workers),
            }
            for name, workers in self.workers.items()
        }
        known = {"queues": queues, "tasks": told(self.registry.names())}
        life = msgspec.structs.asdict(self.kin.life)
        return msgspec.json.encode({**life, "lease": self.lease, **known})

    async def longest_lease(self) -> float:
        """The longest of what this process and all that are listed claim for. Raises StoreError.

        Nobody who claimed before this call is left out. The scanners of all queues ask together.
        """
        if self._asking_leases is None:
            self._asking_leases = begin(self._ask_leases())
            self._asking_leases.add_done_callback(lambda task: task.cancelled() or task.exception())
        return await asyncio.shield(self._asking_leases)

    async def _ask_leases(self) -> float:
        await asyncio.sleep(_GATHER)
        self._asking_leases = None
        others = [serving_of(each.info).lease for each in await self.backend.workers()]
        return max(self.lease, *others, 0.0)

    # ------------------------------------------------------------------ lost claims

    def _on_lost(self, runs: list[Run]) -> None:
        for run in runs:
            run.stop("lost")
            self.explain(run)

    def let_go(self, run: Run) -> None:
        """Its claim is over: the store has what became of it, or never will."""
        self.leases.drop(run)
        self.isolation.end_turn(run)

    def explain(self, run: Run) -> None:
        """Log why a claim is not ours any more: once, and when the store has said it."""
        self.let_go(run)
        if not run.explained:
            run.explained = True
            task = begin(self._explain(run))
            self._explaining.add(task)
            task.add_done_callback(self._explaining.discard)

    async def _explain(self, run: Run) -> None:
        event, reason = "job.lease_lost", "its lease ended and it was taken over"
        try:
            (record,) = await self.backend.get(run.claim.queue, [run.id])
        except StoreError:
            record = None
        else:
            if record is None:
                reason = "it was removed"
            elif record.state is State.CANCELLED:
                event, reason = "job.cancelled", "it was cancelled"
        self.observer.about(run.claim, run.task_name, event, reason)

    # ------------------------------------------------------------------ former selves

    async def take_back(self, part: str = "", reason: str = "its daemon died") -> int:
        """Recover the claims of this instance's former lives, for that `reason`; how many.

        `part` narrows it to one of its processes. Only of those whose death is proven: another
        host may have the same name. Raises StoreError.
        """
        recovered = 0
        dead = await self.kin.find_dead(part)
        for queue in await self.backend.queues() if dead else ():
            held = await self.backend.held(queue, f"{self.instance}/{part}")
            claims = [claim for claim in held if claim.worker.partition("#")[0] in dead]
            recovered += await self.recover(queue, claims, Crashed(reason), Policy())
        return recovered

    async def recover(
        self, queue: str, claims: list[Claim], outcome: Crashed, policy: Policy
    ) -> int:
        """Settle claims whose holder is gone; how many there were. Raises StoreError."""
        if not claims:
            return 0
        changes = [settle(claim, outcome, policy, 0.0) for claim in claims]
        failpoint("recovering")
        answers = await self.backend.apply(queue, changes)
        failpoint("recovered")
        for claim, change, answer in zip(claims, changes, answers, strict=True):
            if answer == "applied":
                self.observer.change(change, claim, task_of(claim))
        self.wake(queue)
        return answers.count("applied")


def task_of(claim: Claim) -> str:
    """The task's name of a claim that is not executed here; empty if its payload is corrupt."""
    try:
        return decode_spec(claim.payload, limit=len(claim.payload)).task
    except CorruptPayload:
        return ""
