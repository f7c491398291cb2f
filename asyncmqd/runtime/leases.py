"""Leases: renewed for all running jobs at once, from a thread, so that a blocked loop keeps them.

A pure tick decides what to extend; a thread (for stores that give it a connection of its own) or a
task of the loop (for the store in this process) drives it. A claim that was lost is told of once.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Collection, Sequence
from functools import partial

from asyncmqd.backends.base import BaseBackend, Extender, Held, StoreError
from asyncmqd.domain import clock
from asyncmqd.domain.failpoints import failpoint
from asyncmqd.domain.job import Claim
from asyncmqd.domain.loop_tasks import begin
from asyncmqd.domain.states import State
from asyncmqd.observe.observer import Observer
from asyncmqd.runtime.duties import Duties, Duty, in_thread
from asyncmqd.runtime.execution.run import Run

RENEWALS = 3  # tries to renew a lease before it ends
LEASES = "renewal of leases"  # the name of the duty


class Leases:
    """The claims that this process holds, each for `duration` seconds from its last renewal.

    Renewal stops once the loop has been stuck for longer than `hang_limit` seconds: a process that
    does nothing any more must not keep its jobs away from the others. `on_drop` is called with the
    runs whose claims are over.
    """

    def __init__(
        self,
        backend: BaseBackend,
        duration: float,
        hang_limit: float,
        observer: Observer,
        duties: Duties,
        on_drop: Callable[[Collection[Run]], None],
    ) -> None:
        self.duration = duration
        self._backend = backend
        self._hang_limit = hang_limit
        self._observer = observer
        self._duties = duties
        self._on_drop = on_drop
        self._runs: dict[Run, None] = {}
        self._lost: dict[Run, None] = {}  # whose claims were taken, and whose code goes on
        self._explaining: set[asyncio.Task[None]] = set()
        self.recalled_at = -1e9  # loop time of the last `look`
        self._look_again = False
        self._looking: asyncio.Task[None] | None = None
        self._pulse = clock.monotonic()  # when the loop last showed that it turns
        self._suspended = clock.suspended()  # as far as it is known
        self._loop: asyncio.AbstractEventLoop | None = None
        self._duty: Duty | None = None

    def start(self) -> None:
        """Begin to renew, in a thread or in the running loop."""
        self._loop = asyncio.get_running_loop()
        self._duty = self._duties.begin(LEASES, self._renew)

    async def stop(self) -> None:
        """Renew no more; what is still held runs out."""
        if self._duty is not None:
            await asyncio.wait([self._duty.end()])
        if self._looking is not None:
            self._looking.cancel()

    def hold(self, *runs: Run) -> None:
        """Renew the claims of these from now on."""
        self._runs.update(dict.fromkeys(runs))

    def drop(self, *runs: Run) -> None:
        """Renew these no more: the store has what became of them, or never will."""
        held = self._runs
        for run in runs:
            held.pop(run, None)
        self._on_drop(runs)

    def let_go(self, run: Run) -> None:
        """The code of a run has ended whose claim was lost."""
        self._lost.pop(run, None)

    def is_lost(self, run: Run) -> bool:
        """Whether its claim was taken, and its code has not ended yet, as far as we know."""
        return run in self._lost

    def not_held(self, claims: Sequence[Claim], worker: str | None = None) -> list[Claim]:
        """Those of the claims, or of a worker's, that this process does not hold."""
        held = {run.held for run in self._runs} if claims else ()
        return [
            each
            for each in claims
            if worker in {None, each.worker} and Held(each.queue, each.id, each.token) not in held
        ]

    async def check(self, claims: list[Claim]) -> list[bool]:
        """Extend these claims now; whether each is still held. Raises StoreError."""
        held = [Held(claim.queue, claim.id, claim.token) for claim in claims]
        return await self._backend.extend(held, self.duration)

    def may_be_over(self, began: float) -> bool:
        """Whether news of claims took so long since then (a stalled store, a stopped process) that
        their leases may be over, or jobs were taken from their holders while it was under way.
        """
        self._note_suspension()
        late = asyncio.get_running_loop().time() - began > self.duration / 2
        return late or self.recalled_at >= began

    def _note_suspension(self) -> None:
        """Once this host was suspended, look at all claims: the loop's clock stood still."""
        suspended = clock.suspended()
        if suspended - self._suspended > self.duration / 4:
            self._suspended = suspended
            self.look()

    def look(self) -> None:
        """Claims, perhaps of others, were taken from their holders: see now whether ours were."""
        self.recalled_at = asyncio.get_running_loop().time()
        self._look_again = True
        if self._looking is None or self._looking.done():
            self._looking = begin(self._look())

    async def _look(self) -> None:
        while self._look_again:
            self._look_again = False
            await self._extend_all()

    async def _extend_all(self) -> None:
        """Renew all leases, and stop the runs whose claims were taken."""
        runs = self._all()
        if not runs:
            return
        try:
            kept = await self._backend.extend([run.held for run in runs], self.duration)
        except StoreError:
            return  # the claim loop notices an outage too, and logs it once
        self._judge(runs, kept)

    # ------------------------------------------------------------------ the tick

    def _due(self) -> list[Run]:
        """What to extend now: all, unless the loop hangs."""
        if clock.monotonic() - self._pulse > self._hang_limit:
            return []
        return self._all()

    def _all(self) -> list[Run]:
        """Those that are held, and those that a later job may have to wait for."""
        return [*self._runs, *self._lost]

    def _pause(self, took: float) -> float:
        """Seconds until the next try, after one that took so long.

        One whose reply is lost takes until its time limit: the next is in time only if it follows
        at once.
        """
        return max(0.0, self.duration / RENEWALS - took)

    async def _renew(self) -> None:
        extend = self._backend.extender()
        if extend is None:
            await self._renew_in_loop()
        else:
            await in_thread("asyncmqd-leases", partial(self._renew_in_thread, extend))

    async def _renew_in_loop(self) -> None:
        loop = asyncio.get_running_loop()
        began = loop.time()
        while True:
            await asyncio.sleep(self._pause(loop.time() - began))
            began = loop.time()
            await self._extend_all()

    def _renew_in_thread(self, extend: Extender, stopped: threading.Event) -> None:
        assert self._loop is not None
        began = clock.monotonic()
        while not stopped.wait(self._pause(clock.monotonic() - began)):
            began = clock.monotonic()
            runs = self._due()
            try:
                self._loop.call_soon_threadsafe(self._note_pulse)
                if runs:
                    failpoint("renewing")
                    kept = extend([run.held for run in runs], self.duration)
                    failpoint("renewed")
                    self._loop.call_soon_threadsafe(self._judge, runs, kept)
            except StoreError:
                continue  # the claim loop notices an outage too, and logs it once

    def _note_pulse(self) -> None:
        self._pulse = clock.monotonic()

    def _judge(self, runs: list[Run], kept: list[bool]) -> None:
        # One that was settled while its extension was under way is not lost. Nor is one that has
        # ended and waits for the reply to its settling: if it is lost, that reply says so.
        lost = [
            run
            for run, is_kept in zip(runs, kept, strict=True)
            if not is_kept and not run.ended and run in self._runs
        ]
        for run in lost:
            self.lose(run)

    # ------------------------------------------------------------------ lost claims

    def lose(self, run: Run) -> None:
        """Its claim was taken: have it stop. Until its code has ended others may have to wait."""
        self._lost[run] = None
        run.stop("lost")
        self.explain(run)

    def explain(self, run: Run) -> None:
        """Log why a claim is not ours any more: once, and when the store has said it."""
        self.drop(run)
        if not run.explained:
            run.explained = True
            task = begin(self._explain(run))
            self._explaining.add(task)
            task.add_done_callback(self._explaining.discard)

    async def _explain(self, run: Run) -> None:
        event, reason = "job.lease_lost", "its lease ended and it was taken over"
        try:
            (record,) = await self._backend.get(run.claim.queue, [run.id])
        except StoreError:
            record = None
        else:
            if record is None:
                reason = "it was removed"
            elif record.state is State.CANCELLED:
                event, reason = "job.cancelled", "it was cancelled"
        self._observer.about(run.claim, run.task_name, event, reason)
