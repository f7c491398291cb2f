"""`Recovery`: jobs of dead processes come back, and jobs whose wake-up was lost are found."""

from __future__ import annotations

import asyncio
from collections.abc import Set as AbstractSet

from asyncmqd.backends.base import BaseBackend
from asyncmqd.domain.codec import CorruptPayload, decode_spec
from asyncmqd.domain.failpoints import failpoint
from asyncmqd.domain.job import Claim
from asyncmqd.domain.loop_tasks import begin, retrieve_error
from asyncmqd.domain.marks import Mark
from asyncmqd.domain.settle import Crashed, Policy, settle
from asyncmqd.domain.tasks import Registry
from asyncmqd.observe.observer import Observer
from asyncmqd.runtime.duties import DutyGroup
from asyncmqd.runtime.leases import RENEWALS
from asyncmqd.runtime.process.health import Health
from asyncmqd.runtime.process.marks import note
from asyncmqd.runtime.process.presence import Presence
from asyncmqd.runtime.process.wakeups import Wakeups
from asyncmqd.runtime.process.workers import Workers

SLOW = 30.0  # seconds between slow passes over all queues
LOOK = 10.0  # seconds between looks at who lives


class Recovery:
    """Reclaims the claims of former selves, and sweeps over the queues of this process."""

    def __init__(
        self,
        backend: BaseBackend,
        workers: Workers,
        health: Health,
        wakeups: Wakeups,
        presence: Presence,
        duties: DutyGroup,
        registry: Registry,
        observer: Observer,
    ) -> None:
        self._backend = backend
        self._workers = workers
        self._health = health
        self._wakeups = wakeups
        self._presence = presence
        self._duties = duties
        self._registry = registry
        self._observer = observer
        self._swept_at = 0.0  # loop time of the last slow pass
        self._looked_at = 0.0  # and of the last pass over what others serve as well

    # ------------------------------------------------------------------ former selves

    async def reclaim(self, part: str = "", reason: str = "its daemon died") -> int:
        """Recover the claims of this instance's former lives, for that `reason`; how many.

        `part` narrows it to one of its processes. Only of those whose death is proven: another
        host may have the same name. Raises StoreError.
        """
        recovered = 0
        dead = await self._presence.find_dead(part)
        for queue in await self._backend.queues() if dead else ():
            held = await self._backend.held(queue, f"{self._presence.instance}/{part}")
            claims = [claim for claim in held if claim.worker.partition("#")[0] in dead]
            recovered += await self.recover(queue, claims, Crashed(reason), Policy())
        for each in sorted(dead):
            await note(self._backend, Mark("died", each))
            await self._backend.leave(each)  # nobody is to count on its slots any more
        if recovered:  # a process that runs no jobs tells of nothing else
            await self._presence.tell_rest()
        return recovered

    async def recover(
        self, queue: str, claims: list[Claim], outcome: Crashed, policy: Policy
    ) -> int:
        """Settle claims whose holder is gone; how many there were. Raises StoreError.

        Cancelled, it waits for the reply first: what was done is told.
        """
        if not claims:
            return 0
        recovering = begin(self._recover(queue, claims, outcome, policy))
        recovering.add_done_callback(retrieve_error)
        try:
            return await asyncio.shield(recovering)
        except asyncio.CancelledError:
            await asyncio.wait([recovering])
            raise

    async def _recover(
        self, queue: str, claims: list[Claim], outcome: Crashed, policy: Policy
    ) -> int:
        changes = [settle(claim, outcome, policy, 0.0) for claim in claims]
        failpoint("recovering")
        answers = await self._backend.apply(queue, changes)
        failpoint("recovered")
        for claim, change, answer in zip(claims, changes, answers, strict=True):
            if answer == "applied":
                self._observer.change(change, claim, _task_of(claim))
        self._wakeups.wake(queue)
        return answers.count("applied")

    # ------------------------------------------------------------------ the sweep

    def start(self) -> None:
        """Sweep from now on."""
        self._swept_at = asyncio.get_running_loop().time()
        self._duties.begin("sweep", self._sweep_for_ever)

    async def _sweep_for_ever(self) -> None:
        await self._health.persistently(self._sweep)

    async def _sweep(self) -> None:
        """Find what a lost wake-up could hide: of all queues slowly, of some more often.

        Those are the queues that other processes serve as well: they are looked at before a claim
        that one of them has just made can lapse, because nobody here was woken for it. One of them
        may also have been woken for a job and do nothing: it is stopped, or a job blocks its loop.
        """
        before_lapse = min(SLOW, self._presence.lease * (1 - 1 / RENEWALS))
        pause = min(LOOK, before_lapse)
        await asyncio.sleep(pause)
        await self._presence.look_for_twins()
        time = asyncio.get_running_loop().time()
        slow = time - self._swept_at > SLOW - pause / 2
        queues: AbstractSet[str] = set()
        if slow:
            queues = self._workers.queues
        elif time - self._looked_at > before_lapse - pause / 2:
            queues = self._presence.shared(self._workers.queues)
        if queues:
            await self._look(queues)
            self._looked_at = time
            if slow:
                self._swept_at = time
                await self._tidy_next()

    async def _look(self, queues: AbstractSet[str]) -> None:
        outlooks = await self._backend.outlook(sorted(queues))
        for queue, outlook in outlooks.items():
            if (outlook.next_due, outlook.next_lapse) != (None, None):
                for worker in self._workers.of(queue):
                    worker.look_soon()
            if outlook.waiting or self._registry.known(outlook.parked_tasks):
                self._wakeups.wake(queue)

    async def _tidy_next(self) -> None:
        """Retention and parked jobs of one queue at each pass, not of all idle queues at once."""
        if not self._workers.queues:  # a reload removed the last one since the pass began
            return
        first = (self._workers.of(queue)[0] for queue in self._workers.queues)
        await min(first, key=lambda worker: worker.last_tidied).tidy()


def _task_of(claim: Claim) -> str:
    """The task's name of a claim that is not executed here; empty if its payload is corrupt."""
    try:
        return decode_spec(claim.payload, limit=len(claim.payload)).task
    except CorruptPayload:
        return ""
