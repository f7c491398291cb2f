"""The claim loop: one round trip carries settled jobs to the store and brings new ones.

While it is under way, finished jobs gather; so at low load a batch is one job at once, and at high
load batches grow by themselves. Two such round trips may overlap, so that neither Python nor the
store waits for the other. The loop is never cancelled, for a reply that is thrown away holds
jobs that nobody would run: it is told to drain instead.
"""

from __future__ import annotations

import asyncio
import itertools

from asyncmqd.backends.base import StoreError, Turn
from asyncmqd.domain.failpoints import failpoint
from asyncmqd.domain.job import Claim
from asyncmqd.domain.loop_tasks import begin
from asyncmqd.domain.settle import (
    SUSPECT_PAUSE,
    Outcome,
    Released,
    is_suspect,
    settle,
)
from asyncmqd.runtime.claiming.brake import Brake
from asyncmqd.runtime.claiming.capacity import NOTHING, Capacity, Reservation
from asyncmqd.runtime.claiming.completion import Batch, Unacknowledged
from asyncmqd.runtime.claiming.isolation import ClaimLost
from asyncmqd.runtime.claiming.limiter import RateLimiter
from asyncmqd.runtime.claiming.slots import POLLS
from asyncmqd.runtime.execute import Execution
from asyncmqd.runtime.process.context import ProcessContext
from asyncmqd.runtime.rules import decide
from asyncmqd.runtime.run import CANCEL_GRACE, Run
from asyncmqd.runtime.scanner import Scanner

BATCH = 1_000  # jobs that one round trip brings at most
LAST_FLUSH = 2.0  # seconds that a drain waits, past its deadline, for a store that does not answer


class ClaimLoop:
    """Claims jobs of one queue, starts their runs, and settles them."""

    def __init__(
        self,
        queue: str,
        context: ProcessContext,
        execution: Execution,
        capacity: Capacity,
        scanner: Scanner,
        drain_timeout: float,
    ) -> None:
        self.queue = queue
        self.context = context
        # A name of its own: two workers of one queue must not take each other's claims for lost.
        self.name = context.presence.worker_name()
        self.execution = execution
        self.capacity = capacity
        self.scanner = scanner
        self.drain_timeout = drain_timeout  # seconds
        self.running: dict[str, Run] = {}
        self._lanes: dict[int, float] = {}  # lanes under way, by the loop time they began
        self._hungry = True  # the queue may have work
        self._signed_up = False  # the store may have us among those that it wakes
        self._unsure = False  # a reply was lost: the store may hold claims for us
        self._failures = 0  # round trips that failed in a row
        self._deadline: float | None = None  # loop time; set once draining
        self._begun = False
        self._retired = False  # others are woken instead of us
        self._wakeup = asyncio.Event()
        self._unacknowledged = Unacknowledged(queue, context, self._wakeup)
        slots = execution.options.concurrency
        self.brake = Brake(queue, context.observer, self.running, slots, self._wakeup)
        execution.on_cannot_begin = self.brake.press
        self._stop: asyncio.TimerHandle | None = None  # the end of a drain
        self._loop = asyncio.get_running_loop()

    # ------------------------------------------------------------------ from outside

    async def run(self) -> None:
        """Claim and run until cancelled; then drain, and re-raise.

        The first cancellation gives running jobs `drain_timeout` seconds, a further one none.
        """
        self._begun = True
        main = begin(self._run_lanes(), name=f"claims of {self.queue}")
        self.execution.ending = lambda: main.cancelling() > 0
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

    @property
    def has_room(self) -> bool:
        """Whether it would begin a job at once that it got now."""
        return self.claiming and self.capacity.available and self.brake.left != 0

    def ring(self) -> None:
        """Look again at what there is to do."""
        self._wakeup.set()

    def wake(self) -> None:
        """The queue may have work."""
        self._hungry = True
        # While a suspect is tried here it is one for others, who are told by retiring anew.
        self._retired = self._retired and self.draining
        self._wakeup.set()

    def change_limiter(self, limiter: RateLimiter | None) -> None:
        """Use this one from the next claim on; tokens reserved from the old one are its own."""
        self.capacity.limiter = limiter
        self._wakeup.set()

    @property
    def unacknowledged(self) -> int:
        """Jobs that have ended, and of which the store does not know it yet."""
        return len(self._unacknowledged.ended)

    @property
    def busy_since(self) -> float | None:
        """Loop time at which the longest round trip under way began; None if there is none."""
        return min(self._lanes.values(), default=None)

    # ------------------------------------------------------------------ the loop

    async def _run_lanes(self) -> None:
        try:
            async with asyncio.TaskGroup() as group:
                for lane in range(POLLS):
                    group.create_task(self._turn_for_ever(lane))
        except BaseException:
            await self._give_up()
            raise
        finally:
            self.capacity.call_no_more()
            self.brake.close()
            if self._stop is not None:
                self._stop.cancel()

    async def _give_up(self) -> None:
        """An error of ours ends this loop: hand back what it holds, or at least let it run out."""
        runs = list(self.running.values())
        self._hand_back()
        if tasks := [run.asyncio_task for run in runs if run.asyncio_task is not None]:
            await asyncio.wait(tasks, timeout=2 * CANCEL_GRACE)
        held = [*runs, *(run for run, _ in self._unacknowledged.ended)]
        try:
            await self._exchange(0)
        except Exception as error:  # noqa: BLE001 - we are failing already
            self.context.observer.event("queue.release_failed", queue=self.queue, error=str(error))
        for run in held:
            self.context.leases.drop(run)

    async def _turn_for_ever(self, lane: int) -> None:
        while (reserved := await self._something_to_do()) is not None:
            self._lanes[lane] = self._loop.time()
            try:
                await self._turn(reserved, self._lanes[lane])
            except StoreError as error:
                await self._after_failure(error)
            finally:
                del self._lanes[lane]
                self._wakeup.set()  # the other lane may have waited for us

    async def _something_to_do(self) -> Reservation | None:
        """Wait for settled jobs or for work to claim, and keep room for it; None when drained."""
        while True:
            alone = not self._lanes
            if alone and (self._unsure or self._must_retire or self._must_pass_on):
                return NOTHING
            # Beside a round trip that is under way, only a full share is worth another one. A claim
            # that began before the drain must have come back before we retire: it may sign us up.
            slots = self.capacity.slots
            in_pairs = not (self._unsure or self.draining)
            may_go = alone or (in_pairs and slots.free >= slots.share)
            reserved = self._reserve(BATCH) if may_go else NOTHING
            if may_go and (self._unacknowledged or (reserved.number and self._hungry)):
                return reserved
            if reserved.number:
                self.capacity.use(reserved)
            if self.draining and alone and not self.running:
                return None
            self._wakeup.clear()
            self.capacity.call_no_more()
            if self._hungry and not self.draining:
                self.capacity.call_when_available(self.ring)
            await self._wakeup.wait()

    @property
    def _away(self) -> bool:
        return self.draining or self.context.isolation.active

    @property
    def _must_retire(self) -> bool:
        return self._away and not self._retired and self.context.health.good

    @property
    def _must_pass_on(self) -> bool:
        """Whether the store woke us for a job that would have to wait here, not elsewhere.

        We had room when we signed up. Then a reload lowered a limit, or others took shared slots.
        """
        return self._signed_up and self._hungry and not self.has_room and self.context.health.good

    def _reserve(self, limit: int) -> Reservation:
        if self._away:
            return NOTHING
        left = self.brake.left
        return self.capacity.reserve(limit if left is None else min(limit, left))

    async def _turn(self, reserved: Reservation, began: float) -> None:
        """One round trip: settle what has ended, claim jobs for the room reserved, start them."""
        if self._unsure:
            await self._find_unknown_claims()
            return
        if self._must_retire:
            self._retired = True  # one attempt: a store that fails must not hold up the drain
            await self.context.wakeups.retire(self.queue)
            self._signed_up = False
            self._hungry = self._hungry or not self._away  # a claim signs up again
            return
        if not reserved.number and self._must_pass_on:
            await self.context.wakeups.hand_over(self.queue)
            self._signed_up = False
            return
        room = reserved.number
        if room:
            self._hungry = False  # a wake-up that comes while we wait says otherwise
        try:
            batch, reply = await self._exchange(room)
        except BaseException as error:
            self.capacity.use(reserved)  # also when this loop ends: others may share the slots
            if isinstance(error, StoreError):
                self._unsure = self._unsure or room > 0
                self._signed_up = self._signed_up or room > 0
                self._hungry = True
            raise
        self._failures = 0
        self.context.health.answered()
        if room:
            self._note_filling(room, len(reply.claims))
        await self._start_all(reply.claims, reserved, self._loop.time() - began)
        try:
            if reply.claims:
                await asyncio.sleep(0)  # they begin now: counting and logging what ended can wait
        finally:
            self._unacknowledged.note_answers(batch, reply.answers)

    def _note_filling(self, room: int, brought: int) -> None:
        """A claim that comes back short signs us up to be woken, a full one signs us off."""
        if brought == room:
            self._hungry = True
            # Of two at once nobody knows which was the last: then we may be signed up still.
            self._signed_up = self._signed_up and len(self._lanes) > 1
            self.scanner.look_soon()  # nobody wakes us while we are full
        else:
            self._signed_up = True
            self.scanner.ring()  # what woke us may have been a delayed job

    async def _exchange(self, room: int) -> tuple[Batch, Turn]:
        batch = self._unacknowledged.take()
        try:
            if batch.changes:
                failpoint("settling")
            reply = await self.context.backend.turn(
                self.queue, batch.changes, room, self.context.leases.duration, self.name
            )
            if batch.changes:
                failpoint("settled")
            if reply.claims:
                failpoint("claimed")
        except BaseException:  # an error of ours included: what ended must not be renewed for ever
            self._unacknowledged.put_back(batch)
            raise
        return batch, reply

    async def _after_failure(self, error: StoreError) -> None:
        self.context.health.failed(error)
        if self._deadline is not None and not (self.running or self._unacknowledged.ended):
            # With nothing to run and nothing to save, this attempt was to be the last.
            self._deadline = min(self._deadline, self.busy_since or self._loop.time())
        if self._deadline is not None and self._loop.time() > self._deadline + LAST_FLUSH:
            self._unacknowledged.abandon(error)
            self._unsure = False
            return
        await self.context.health.pause(self._failures)
        self._failures += 1

    async def _find_unknown_claims(self) -> None:
        """Start what a lost reply had brought us, or hand it back if there is no room."""
        held = await self.context.backend.held(self.queue, self.name)
        mine = (claim for claim in held if claim.worker == self.name)
        unknown = [claim for claim in mine if not self.context.leases.holds(claim)]
        # Renewed at once: while we waited for the reply, their leases have almost run out.
        kept = await self.context.leases.check(unknown) if unknown else []
        for claim in itertools.compress(unknown, kept):
            reserved = self._reserve(1)
            if reserved.number:
                self.capacity.use(reserved, *((0, 1) if is_suspect(claim) else (1, 0)))
                self._start(claim, reserved.limiter)
            else:
                change = settle(claim, Released(), self.execution.policy(None, None), 0.0)
                self._unacknowledged.add_end(Run(claim, self._loop.time()), change)
        self._unsure = False

    # ------------------------------------------------------------------ starting

    async def _start_all(self, claims: list[Claim], reserved: Reservation, took: float) -> None:
        if claims and took > self.context.leases.duration / 2:
            claims = await self._still_held(claims)
        # Not before: starts that are counted while the store is asked make room for others.
        suspects = sum(map(is_suspect, claims))  # not started yet: they wait for their turn
        self.capacity.use(reserved, len(claims) - suspects, suspects)
        # Suspects first: a trial needs a process in which nothing has begun yet.
        for claim in sorted(claims, key=is_suspect, reverse=True):
            self._start(claim, reserved.limiter)

    async def _still_held(self, claims: list[Claim]) -> list[Claim]:
        """The reply took so long (a stalled store, a stopped process) that leases may be over."""
        try:
            kept = await self.context.leases.check(claims)
        except StoreError:
            return claims  # not known: fenced all the same
        return [*itertools.compress(claims, kept)]

    def _start(self, claim: Claim, limiter: RateLimiter | None) -> None:
        former = self.running.get(claim.id)
        if former is not None:  # we had lost it without noticing, and claimed it anew
            former.stop("lost")
            self.context.leases.explain(former)
        run = Run(claim, self._loop.time())
        run.on_overstay = self._settle_without
        run.on_progress = self._unacknowledged.report
        self.running[claim.id] = run
        self.context.leases.hold(run)
        if is_suspect(claim):
            run.reserved = limiter
            work = self._run_suspect(run)
        else:
            work = self._run(run)
        run.asyncio_task = begin(work)

    async def _run(self, run: Run) -> None:
        if not self.context.isolation.admits(run):
            self._hand_over(run, Released())
            return
        outcome = await self.execution.execute(run)
        self._hand_over(run, outcome)

    async def _run_suspect(self, run: Run) -> None:
        """A job that was on board at two crashes has to wait for its turn to be tried."""
        if not self.context.isolation.begin(run):
            self._hand_over(run, Released(SUSPECT_PAUSE))
            return
        try:
            async with self.context.isolation.run_alone(
                run, self.context.backend, self.context.health
            ):
                run.use_token()
                await self._run(run)
        except StoreError:
            self._hand_over(run, Released(SUSPECT_PAUSE))
        except ClaimLost:
            self.context.leases.explain(run)
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
        self.capacity.slots.give()
        if outcome is not None:
            change = decide(run, outcome, self.context.observer)
            if change.edge in {"retry", "snooze"}:
                self.scanner.expect(change.delay)
            self._unacknowledged.add_end(run, change)
        self._wakeup.set()

    def _settle_without(self, run: Run) -> None:
        """The run does not end though it was told to, or was told before it began.

        Its slot is freed, and its end counts no more.
        """
        if run.begun:
            reason = run.stop_reason or ""
            self.context.observer.about(run.claim, run.task_name, "job.stuck", reason)
        self._hand_over(run, self.execution.stopped(run))

    # ------------------------------------------------------------------ draining

    def _drain(self, timeout: float) -> None:
        """Claim no more; in `timeout` seconds hand back what still runs."""
        self._deadline = self._loop.time() + timeout
        if timeout > 0:
            self._stop = self._loop.call_later(timeout, self._hand_back)
        else:
            self._hand_back()
        self._wakeup.set()

    def _hand_back(self) -> None:
        for run in list(self.running.values()):
            run.stop("released")
