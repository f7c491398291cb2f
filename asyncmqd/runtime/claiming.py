"""The claim loop: one round trip carries settled jobs to the store and brings new ones.

While it is under way, finished jobs gather; so at low load a batch is one job at once, and at high
load batches grow by themselves. Two such round trips may overlap, so that neither Python nor the
store waits for the other. The loop is never cancelled, for a reply that is thrown away holds
jobs that nobody would run: it is told to drain instead.
"""

from __future__ import annotations

import asyncio
import itertools
import threading

import msgspec

from asyncmqd.backends.base import StoreError, Turn
from asyncmqd.domain.change import Answer, Change
from asyncmqd.domain.failpoints import failpoint
from asyncmqd.domain.job import Claim
from asyncmqd.domain.settle import (
    SUSPECT_PAUSE,
    Outcome,
    Released,
    is_suspect,
    note_progress,
    settle,
)
from asyncmqd.observe.events import Applied
from asyncmqd.runtime.execute import Execution, decide
from asyncmqd.runtime.limiter import RateLimiter
from asyncmqd.runtime.node import Node
from asyncmqd.runtime.run import CANCEL_GRACE, Run
from asyncmqd.runtime.scanner import Scanner
from asyncmqd.runtime.slots import LANES, Slots
from asyncmqd.runtime.trial import ClaimLost, on_trial

BATCH = 1_000  # jobs that one round trip brings at most
LAST_FLUSH = 2.0  # seconds that a drain waits, past its deadline, for a store that does not answer

_Settled = tuple[Run, Change]


class ClaimLoop:
    """Claims jobs of one queue, starts their runs, and settles them."""

    def __init__(
        self,
        queue: str,
        node: Node,
        execution: Execution,
        slots: Slots,
        limiter: RateLimiter | None,
        scanner: Scanner,
        drain_timeout: float,
    ) -> None:
        self.queue = queue
        self.node = node
        # A name of its own: two workers of one queue must not take each other's claims for lost.
        self.name = node.worker_name()
        self.execution = execution
        self.slots = slots
        self.limiter = limiter
        self.scanner = scanner
        self.drain_timeout = drain_timeout  # seconds
        self.running: dict[str, Run] = {}
        self._lanes: dict[int, float] = {}  # lanes under way, by the loop time they began
        self._finished: list[_Settled] = []
        self._noted: dict[str, Run] = {}  # runs with progress to store
        self._hungry = True  # the queue may have work
        self._unsure = False  # a reply was lost: the store may hold claims for us
        self._failures = 0  # round trips that failed in a row
        self._deadline: float | None = None  # loop time; set once draining
        self._begun = False
        self._retired = False  # others are woken instead of us
        self._bell = asyncio.Event()
        self._alarm: asyncio.TimerHandle | None = None
        self._stop: asyncio.TimerHandle | None = None  # the end of a drain
        self._loop = asyncio.get_running_loop()
        self._thread = threading.get_ident()

    # ------------------------------------------------------------------ from outside

    async def run(self) -> None:
        """Claim and run until cancelled; then drain, and re-raise.

        The first cancellation gives running jobs `drain_timeout` seconds, a further one none.
        """
        self._begun = True
        main = asyncio.create_task(self._run_lanes(), name=f"claims of {self.queue}")
        cancelled: asyncio.CancelledError | None = None
        while not main.done():
            try:
                await asyncio.shield(main)
            except asyncio.CancelledError as error:
                if main.done():
                    break
                self._drain(self.drain_timeout if cancelled is None else 0.0)
                cancelled = error
        if cancelled is not None:
            raise cancelled
        main.result()

    @property
    def draining(self) -> bool:
        """Whether no job is claimed any more."""
        return self._deadline is not None

    @property
    def claiming(self) -> bool:
        """Whether it takes jobs: from its start until it drains, but for the trial of a suspect."""
        return self._begun and not self._away

    def ring(self) -> None:
        """Look again at what there is to do."""
        self._bell.set()

    def wake(self) -> None:
        """The queue may have work."""
        self._hungry = True
        # While a suspect is tried here it is one for others, who are told by retiring anew.
        self._retired = self._retired and self.draining
        self._bell.set()

    def change_limiter(self, limiter: RateLimiter | None) -> None:
        """Use this one from the next claim on; tokens reserved from the old one are its own."""
        self.limiter = limiter
        self._bell.set()

    @property
    def unsaved(self) -> int:
        """Jobs that have ended, and of which the store does not know it yet."""
        return len(self._finished)

    @property
    def busy_since(self) -> float | None:
        """Loop time at which the longest round trip under way began; None if there is none."""
        return min(self._lanes.values(), default=None)

    # ------------------------------------------------------------------ the loop

    async def _run_lanes(self) -> None:
        try:
            async with asyncio.TaskGroup() as group:
                for lane in range(LANES):
                    group.create_task(self._turn_for_ever(lane))
        except BaseException:
            await self._give_up()
            raise
        finally:
            for timer in (self._alarm, self._stop):
                if timer is not None:  # it would keep all of this alive until then
                    timer.cancel()

    async def _give_up(self) -> None:
        """An error of ours ends this loop: hand back what it holds, or at least let it run out."""
        runs = list(self.running.values())
        self._hand_back()
        if tasks := [run.asyncio_task for run in runs if run.asyncio_task is not None]:
            await asyncio.wait(tasks, timeout=2 * CANCEL_GRACE)
        held = [*runs, *(run for run, _ in self._finished)]
        try:
            await self._exchange(0)
        except Exception as error:  # noqa: BLE001 - we are failing already
            self.node.observer.event("queue.not_handed_back", queue=self.queue, error=str(error))
        for run in held:
            self.node.let_go(run)

    async def _turn_for_ever(self, lane: int) -> None:
        while (room := await self._something_to_do()) is not None:
            self._lanes[lane] = self._loop.time()
            try:
                await self._turn(room, self._lanes[lane])
            except StoreError as error:
                await self._after_failure(error)
            finally:
                del self._lanes[lane]
                self._bell.set()  # the other lane may have waited for us

    async def _something_to_do(self) -> int | None:
        """Wait for settled jobs or for work to claim; how many to claim, None when drained."""
        while True:
            alone = not self._lanes
            if alone and (self._unsure or self._must_retire):
                return 0
            # Beside a round trip that is under way, only a full share is worth another one. A claim
            # that began before the drain must have come back before we retire: it may sign us up.
            in_pairs = not (self._unsure or self.draining)
            may_go = alone or (in_pairs and self.slots.free >= self.slots.share)
            room = self._reserve() if may_go else 0
            if may_go and (self._finished or self._noted or (room and self._hungry)):
                return room
            self._unreserve(room)
            if self.draining and alone and not self.running:
                return None
            self._bell.clear()
            self._set_alarm()
            await self._bell.wait()

    @property
    def _away(self) -> bool:
        return self.draining or self.node.gate.closed

    @property
    def _must_retire(self) -> bool:
        return self._away and not self._retired and self.node.healthy

    def _reserve(self, limit: int = BATCH) -> int:
        """Take free slots, and a token for each."""
        if self._away:
            return 0
        slots = self.slots.take(min(self.slots.share, limit))
        if self.limiter is None or not slots:
            return slots
        room = self.limiter.reserve(slots)
        self.slots.give(slots - room)
        return room

    def _unreserve(self, room: int) -> None:
        if room:
            self._count_starts(room, 0, self.limiter)

    def _set_alarm(self) -> None:
        """Ring when a slot or a token that the queue waits for is there."""
        if self._alarm is not None:
            self._alarm.cancel()
            self._alarm = None
        if not self._hungry or self.draining:
            return
        self.slots.call_when_free(self.ring)
        pause = 0.0 if self.limiter is None else self.limiter.wait_time()
        if 0 < pause < float("inf"):
            self._alarm = self._loop.call_later(pause, self.ring)

    async def _turn(self, room: int, began: float) -> None:
        """One round trip: settle what has ended, claim up to `room` jobs, start them."""
        if self._unsure:
            await self._find_unknown_claims()
            return
        if self._must_retire:
            self._retired = True  # one attempt: a store that fails must not hold up the drain
            await self.node.retire(self.queue)
            self._hungry = self._hungry or not self._away  # a claim signs up again
            return
        limiter = self.limiter  # a reload may change it while we wait
        if room:
            self._hungry = False  # a wake-up that comes while we wait says otherwise
        try:
            settled, reply = await self._exchange(room)
        except StoreError:
            self._count_starts(room, 0, limiter)
            self._unsure = self._unsure or room > 0
            self._hungry = True
            raise
        self._failures = 0
        self.node.store_answered()
        suspects = sum(map(is_suspect, reply.claims))  # not started yet: they wait for their turn
        self._count_starts(room - suspects, len(reply.claims) - suspects, limiter)
        if room and len(reply.claims) == room:
            self._hungry = True
        elif room:
            self.scanner.ring()  # what woke us may have been a delayed job
        await self._start_all(reply.claims, self._loop.time() - began, limiter)
        try:
            if reply.claims:
                await asyncio.sleep(0)  # they begin now: counting and logging what ended can wait
        finally:
            self._note_answers(settled, reply.answers)

    async def _exchange(self, room: int) -> tuple[list[_Settled], Turn]:
        settled, self._finished = self._finished, []
        noted, self._noted = list(self._noted.values()), {}
        changes = [change for _, change in settled]
        changes += [note_progress(run.claim, run.progress or b"") for run in noted]
        try:
            if changes:
                failpoint("settling")
            reply = await self.node.backend.turn(
                self.queue, changes, room, self.node.lease, self.name
            )
            if changes:
                failpoint("settled")
            if reply.claims:
                failpoint("claimed")
        except BaseException:  # an error of ours included: what ended must not be renewed for ever
            self._finished = settled + self._finished
            self._noted.update((run.id, run) for run in noted if not run.ended)
            raise
        return settled, reply

    async def _after_failure(self, error: StoreError) -> None:
        self.node.store_failed(error)
        if self._deadline is not None and not (self.running or self._finished):
            # With nothing to run and nothing to save, this attempt was to be the last.
            self._deadline = min(self._deadline, self.busy_since or self._loop.time())
        if self._deadline is not None and self._loop.time() > self._deadline + LAST_FLUSH:
            self._abandon(error)
            return
        await self.node.pause(self._failures)
        self._failures += 1

    def _abandon(self, error: StoreError) -> None:
        """The store is gone and so is our time. Leases will bring the jobs back."""
        if self._finished:
            self.node.observer.event(
                "queue.ends_not_stored", queue=self.queue, jobs=self.unsaved, error=str(error)
            )
        for run, _ in self._finished:
            self.node.let_go(run)
        self._finished.clear()
        self._unsure = False

    async def _find_unknown_claims(self) -> None:
        """Start what a lost reply had brought us, or hand it back if there is no room."""
        held = await self.node.backend.held(self.queue, self.name)
        mine = (claim for claim in held if claim.worker == self.name)
        unknown = [claim for claim in mine if not self.node.leases.holds(claim)]
        # Renewed at once: while we waited for the reply, their leases have almost run out.
        kept = await self.node.leases.check(unknown) if unknown else []
        for claim in itertools.compress(unknown, kept):
            if room := self._reserve(1):
                started = 0 if is_suspect(claim) else room
                self._count_starts(started, started, self.limiter)
                self._start(claim, self.limiter)
            else:
                change = settle(claim, Released(), self.execution.policy(None, None), 0.0)
                self._finished.append((Run(claim, self._loop.time()), change))
        self._unsure = False

    # ------------------------------------------------------------------ starting

    def _count_starts(self, room: int, started: int, limiter: RateLimiter | None) -> None:
        """Of `room` slots and tokens that were reserved, `started` are used."""
        self.slots.give(room - started)
        if limiter is not None:
            limiter.start(started)
            limiter.refund(room - started)

    async def _start_all(
        self, claims: list[Claim], took: float, limiter: RateLimiter | None
    ) -> None:
        if claims and took > self.node.lease / 2:
            claims = await self._still_held(claims, limiter)
        # Suspects first: a trial needs a process in which nothing has begun yet.
        for claim in sorted(claims, key=is_suspect, reverse=True):
            self._start(claim, limiter)

    async def _still_held(self, claims: list[Claim], limiter: RateLimiter | None) -> list[Claim]:
        """The reply took so long (a stalled store, a stopped process) that leases may be over."""
        try:
            kept = await self.node.leases.check(claims)
        except StoreError:
            kept = [True] * len(claims)  # not known: fenced all the same
        lost = [claim for claim, is_kept in zip(claims, kept, strict=True) if not is_kept]
        self.slots.give(len(lost))
        if limiter is not None:
            limiter.refund(sum(map(is_suspect, lost)))
        return [claim for claim, is_kept in zip(claims, kept, strict=True) if is_kept]

    def _start(self, claim: Claim, limiter: RateLimiter | None) -> None:
        former = self.running.get(claim.id)
        if former is not None:  # we had lost it without noticing, and claimed it anew
            former.stop("lost")
            self.node.explain(former)
        run = Run(claim, self._loop.time())
        run.on_overstay = self._settle_without
        run.on_progress = self._report
        self.running[claim.id] = run
        self.node.leases.hold(run)
        if is_suspect(claim):
            run.reserved = limiter
            work = self._run_suspect(run)
        else:
            work = self._run(run)
        run.asyncio_task = self._loop.create_task(work)

    async def _run(self, run: Run) -> None:
        if not self.node.gate.admits(run):
            self._hand_over(run, Released())
            return
        outcome = await self.execution.execute(run)
        self._hand_over(run, outcome)

    async def _run_suspect(self, run: Run) -> None:
        """A job that was on board at two crashes has to wait for its turn to be tried."""
        if not self.node.gate.close(run):
            self._hand_over(run, Released(SUSPECT_PAUSE))
            return
        try:
            async with on_trial(self.node, run):
                run.use_token()
                await self._run(run)
        except StoreError:
            self._hand_over(run, Released(SUSPECT_PAUSE))
        except ClaimLost:
            self.node.explain(run)
            self._hand_over(run, None)

    # ------------------------------------------------------------------ settling

    def _hand_over(self, run: Run, outcome: Outcome | None) -> None:
        """A run has ended: decide, and leave the change for the next round trip."""
        if run.ended:  # it overstayed its stop, and was settled without
            return
        run.end()
        run.duration = self._loop.time() - run.started
        run.refund_token()
        if self.running.get(run.id) is run:
            del self.running[run.id]
        unsaved = self._noted.get(run.id) is run
        if unsaved:
            del self._noted[run.id]
        self.slots.give()
        if outcome is not None:
            change = decide(run, outcome)
            if unsaved:
                change = msgspec.structs.replace(change, progress=run.progress)
            if change.edge in {"retry", "defer"}:
                self.scanner.expect(change.delay)
            self._finished.append((run, change))
        self._bell.set()

    def _settle_without(self, run: Run) -> None:
        """The run does not end though it was told to, or was told before it began.

        Its slot is freed, and its end counts no more.
        """
        if run.begun:
            reason = run.stop_reason or ""
            self.node.observer.about(run.claim, run.task_name, "job.overstayed", reason)
        self._hand_over(run, self.execution.stopped(run))

    def _note_answers(self, settled: list[_Settled], answers: list[Answer]) -> None:
        applied: list[Applied] = []
        for (run, change), answer in zip(settled, answers, strict=False):
            if answer in {"applied", "already"}:
                self.node.let_go(run)
                applied.append((change, run.claim, run.task_name, run.duration))
            else:
                self.node.explain(run)
        self.node.observer.changes(applied)

    def _report(self, run: Run, progress: bytes) -> None:
        """Progress of a run, from whatever thread."""
        if threading.get_ident() == self._thread:
            self._note(run, progress)
        else:
            self._loop.call_soon_threadsafe(self._note, run, progress)

    def _note(self, run: Run, progress: bytes) -> None:
        if not run.ended:
            run.progress = progress
            self._noted[run.id] = run
            self._bell.set()

    # ------------------------------------------------------------------ draining

    def _drain(self, timeout: float) -> None:
        """Claim no more; in `timeout` seconds hand back what still runs."""
        self._deadline = self._loop.time() + timeout
        if timeout > 0:
            self._stop = self._loop.call_later(timeout, self._hand_back)
        else:
            self._hand_back()
        self._bell.set()

    def _hand_back(self) -> None:
        for run in list(self.running.values()):
            run.stop("released")
