"""`Runs`: what becomes of a worker's claims, from their start to the change that settles them."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Callable

from asyncmqd.backends.base import StoreError
from asyncmqd.domain.job import Claim
from asyncmqd.domain.loop_tasks import begin_all
from asyncmqd.domain.settle import CANDIDATE_PAUSE, Outcome, Released, is_poison_candidate, settle
from asyncmqd.runtime.claiming.capacity import NOTHING, Capacity, Reservation
from asyncmqd.runtime.claiming.poison_isolation import ClaimLost
from asyncmqd.runtime.claiming.rate_limiter import RateLimiter
from asyncmqd.runtime.claiming.unacknowledged import Unacknowledged
from asyncmqd.runtime.execution.execute_job import Execution
from asyncmqd.runtime.execution.retry_rules import decide
from asyncmqd.runtime.execution.run import Run
from asyncmqd.runtime.process.context import ProcessContext
from asyncmqd.runtime.scanner import Scanner


class Runs:
    """The runs of one worker. Each takes a slot that was reserved for it, and gives it back.

    `wakeup` is set when one has ended.
    """

    def __init__(
        self,
        context: ProcessContext,
        execution: Execution,
        capacity: Capacity,
        scanner: Scanner,
        unacknowledged: Unacknowledged,
        wakeup: asyncio.Event,
    ) -> None:
        self.running: dict[str, Run] = {}  # by job id
        self.capacity = capacity  # may be exchanged at any time
        self._backend = context.backend
        self._health = context.health
        self._isolation = context.isolation
        self._leases = context.leases
        self._going_on = context.overstays
        self._observer = context.observer
        self._execution = execution
        self._scanner = scanner
        self._unacknowledged = unacknowledged
        self._wakeup = wakeup
        self._loop = asyncio.get_running_loop()
        # Looked up once, and not for each run.
        self._calls = self._settle_without, unacknowledged.report, self._end

    def start(self, claims: list[Claim], reserved: Reservation) -> None:
        """Start the runs of these claims; what they do not need of the reservation goes back."""
        # Candidates are not started: they wait for their turn.
        crashed = [claim for claim in claims if claim.crashes]
        candidates = [claim for claim in crashed if is_poison_candidate(claim)]
        self.capacity.use(reserved, len(claims) - len(candidates), len(candidates))
        if candidates:  # first: one runs alone only in a process in which nothing has begun yet
            claims = sorted(claims, key=is_poison_candidate, reverse=True)
        runs = self._hold(claims, reserved.limiter)
        for run in runs[: len(candidates)]:
            run.reserved = reserved.limiter
        works = [self._run_candidate(run) for run in runs[: len(candidates)]]
        works += map(self._execution.execute, runs[len(candidates) :])
        for run, task in zip(runs, begin_all(works), strict=True):
            run.asyncio_task = task

    def release(self, claim: Claim) -> None:
        """Hand a claim back that is not to be started."""
        run = Run(claim, claim.id, self._loop.time(), self._execution.rules_of_unknown)
        run.end()
        self._leases.hold(run)  # or a look at the store would find it again, until that knows
        self._unacknowledged.add_end(run, settle(claim, Released(), run.rules.policy, 0.0))

    async def still_held(self, claims: list[Claim]) -> list[Claim]:
        """The claims that nobody has taken from us.

        The others are handed back all the same: somebody may wait for the end of their code.
        """
        try:
            kept = await self._leases.check(claims)
        except StoreError:
            return claims  # not known: their tokens are checked in any case
        for claim, is_kept in zip(claims, kept, strict=True):
            if not is_kept:
                self.release(claim)
        return [*itertools.compress(claims, kept)]

    async def take_up(self, queue: str, worker: str, has_room: Callable[[], bool]) -> None:
        """Start the worker's claims that the store knows of and we do not; where there is no room,
        hand them back. Raises StoreError.
        """
        held = await self._backend.held(queue, worker)
        unknown = self._leases.not_held(held, worker)
        # Renewed at once: while we waited for the reply, their leases have almost run out.
        kept = await self._leases.check(unknown) if unknown else []
        for claim in itertools.compress(unknown, kept):
            reserved = self.capacity.reserve(1) if has_room() else NOTHING
            if reserved.number:
                self.start([claim], reserved)
            else:
                self.release(claim)

    def release_all(self) -> None:
        """Stop what runs, and hand it back."""
        for run in list(self.running.values()):
            run.stop("released")

    # ------------------------------------------------------------------ one run

    def _hold(self, claims: list[Claim], limiter: RateLimiter | None) -> list[Run]:
        now = self._loop.time()
        calls = limiter, *self._calls
        rules = self._execution.rules_of_unknown
        runs = [Run(each, each.id, now, rules, *calls) for each in claims]
        by_id = {run.id: run for run in runs}
        # Those that we had lost without noticing, and have claimed again.
        for id in filter(self.running.__contains__, by_id):
            self._leases.lose(self.running[id])
        self.running |= by_id
        self._leases.hold(*runs)
        return runs

    async def _run_candidate(self, run: Run) -> None:
        """A job that was running at two crashes has to wait for its turn to run alone."""
        if not self._isolation.begin(run):
            self._end(run, Released(CANDIDATE_PAUSE))
            return
        try:
            async with self._isolation.run_alone(run, self._backend, self._health):
                run.use_token()
                await self._execution.execute(run)
        except StoreError:
            self._end(run, Released(CANDIDATE_PAUSE))
        except ClaimLost:
            self._leases.lose(run)
            self._end(run, None)

    def _end(self, run: Run, outcome: Outcome | None, goes_on: bool = False) -> None:
        """A run has ended: decide, and leave the change for the next round trip.

        Without an outcome its claim was lost. Its code may go on.
        """
        if run.ended:  # it was stuck beyond its stop, and was settled without
            self._confirm(run)
            return
        run.end()
        run.duration = self._loop.time() - run.started
        if run.reserved is not None:
            run.refund_token()
        if self.running.get(run.id) is run:
            del self.running[run.id]
        self.capacity.slots.give()
        if outcome is not None:
            change = decide(run, outcome, self._observer)
            if change.edge in {"retry", "snooze"}:
                self._scanner.expect(change.delay)
            if run.stop_reason is not None:  # perhaps because its claim was lost
                self._leases.let_go(run)
            self._unacknowledged.add_end(run, change)
        elif not goes_on:
            self._confirm(run)
        self._wakeup.set()

    def _confirm(self, run: Run) -> None:
        """Say that the code of a run has ended whose claim was lost, once it has.

        This changes nothing of the job. It frees a permit, and a job that has to wait for this.
        """
        if not self._leases.is_lost(run):
            return
        if self._going_on.goes_on(run):
            self._going_on.then(run, self._confirm)
            return
        self._leases.let_go(run)
        run.progress = None
        self._unacknowledged.add_end(run, settle(run.claim, Released(), run.rules.policy, 0.0))
        self._wakeup.set()

    def _settle_without(self, run: Run) -> None:
        """The run does not end though it was told to, or was told before it began.

        Its slot is freed, and its end counts no more.
        """
        if run.begun:
            reason = run.stop_reason or ""
            self._observer.about(run.claim, run.task_name, "job.stuck", reason)
        self._end(run, self._execution.stopped(run), goes_on=run.begun)
