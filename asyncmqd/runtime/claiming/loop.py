"""The claim loop: one round trip carries settled jobs to the store and brings new ones.

While it is under way, finished jobs gather; so at low load a batch is one job at once, and at high
load batches grow by themselves. Two such polls may overlap, so that neither Python nor the store
waits for the other. The loop is never cancelled: a reply that is thrown away holds jobs that
nobody would run: it is told to drain instead (docs/decisions/claim-loop-drains.md).

What to do next is decided in claim_decision.py. Here it is done.
"""

from __future__ import annotations

import asyncio
from operator import attrgetter

from asyncmqd.backends.base import Assigned, StoreError, Turn
from asyncmqd.domain.failpoints import failpoint
from asyncmqd.domain.loop_tasks import begin
from asyncmqd.runtime.claiming import claim_decision
from asyncmqd.runtime.claiming.assigned_jobs import AssignedJobs
from asyncmqd.runtime.claiming.capacity import Capacity
from asyncmqd.runtime.claiming.claim_decision import Do, LoopState, News, Step, View, next_step
from asyncmqd.runtime.claiming.limit_declaration import Declaring
from asyncmqd.runtime.claiming.rate_limiter import RateLimiter
from asyncmqd.runtime.claiming.runs import Runs
from asyncmqd.runtime.claiming.slots import POLLS
from asyncmqd.runtime.claiming.start_shortage import Brake
from asyncmqd.runtime.claiming.unacknowledged import Batch, Unacknowledged
from asyncmqd.runtime.execution.execute_job import Execution
from asyncmqd.runtime.execution.run import CANCEL_GRACE, Run
from asyncmqd.runtime.process.context import ProcessContext
from asyncmqd.runtime.scanner import Scanner

LAST_FLUSH = 2.0  # seconds that a drain waits, past its deadline, for a store that does not answer
_NEVER = float("inf")
_TOKEN = attrgetter("token")
_SLEEPS = frozenset({Do.SLEEP, Do.AWAIT_CAPACITY})
_EXCHANGES = frozenset({Do.CLAIM, Do.SETTLE})


class ClaimLoop:
    """Claims jobs of one queue, has them run, and settles them."""

    def __init__(
        self,
        queue: str,
        context: ProcessContext,
        execution: Execution,
        capacity: Capacity,
        scanner: Scanner,
    ) -> None:
        self.queue = queue
        self._loop = asyncio.get_running_loop()
        self._backend = context.backend
        self._health = context.health
        self._isolation = context.isolation
        self._leases = context.leases
        self._process_wakeups = context.wakeups
        self._observer = context.observer
        # A name of its own: two workers of one queue must not take each other's claims for lost.
        self.name = context.presence.worker_name()
        self.execution = execution
        self.capacity = capacity
        self.scanner = scanner
        self.state = LoopState.NEW
        self._polls: dict[int, float] = {}  # those in flight, by the loop time they began
        self._exclusive = False  # the one in flight lets no other go beside it
        self._overlap = False  # two have been in flight since there was none
        self._failures = 0  # polls that failed in a row
        self._deadline = _NEVER  # of a drain, in loop time
        self._stop: asyncio.TimerHandle | None = None  # the end of a drain
        self._wakeup = asyncio.Event()
        self._other_awake = asyncio.Event()  # not set: it sleeps apart
        self._one_has_stopped = False  # of the two polls
        self.declaring = Declaring(queue, self._backend, context.presence.id, self.wake)
        self._unacknowledged = ends = Unacknowledged(context, self.declaring, queue, self._wakeup)
        self._runs = Runs(context, execution, capacity, scanner, ends, self._wakeup)
        self.running = self._runs.running
        self._assigned = AssignedJobs(self._leases, self._runs, self._wakeup.set)
        slots = execution.options.concurrency
        self.brake = Brake(queue, context.observer, self.running, slots, self._wakeup)
        execution.on_cannot_begin = self.brake.press

    # ------------------------------------------------------------------ from outside

    async def run(self) -> None:
        """Claim and run until cancelled; then drain, and re-raise.

        The first cancellation gives running jobs `drain_timeout` seconds, a further one none.
        """
        self._note(claim_decision.BEGIN)
        main = begin(self._run_polls(), name=f"claims of {self.queue}")
        self.execution.ending = lambda: main.cancelling() > 0
        cancelled: asyncio.CancelledError | None = None
        while not main.done():
            try:
                await asyncio.shield(main)
            except asyncio.CancelledError as error:
                if main.done():
                    break
                self._drain(self.execution.options.drain_limit if cancelled is None else 0.0)
                cancelled = error
        if cancelled is not None:
            raise cancelled
        main.result()

    @property
    def begun(self) -> bool:
        """Whether it has ever taken jobs: that of a worker that only scans has not."""
        return self.state is not LoopState.NEW

    @property
    def draining(self) -> bool:
        """Whether no job is claimed any more."""
        return self.state in claim_decision.DRAINS

    @property
    def claiming(self) -> bool:
        """Whether it takes jobs: from its start until it drains, but not while isolation lasts."""
        return self.state in claim_decision.SERVES and not self._isolation.active

    @property
    def has_room(self) -> bool:
        """Whether it would begin a job at once if it got one now."""
        return self.claiming and self._view().capacity > 0

    @property
    def unacknowledged(self) -> int:
        """Jobs that have ended, and of which the store does not know it yet."""
        return len(self._unacknowledged.ended)

    @property
    def busy_since(self) -> float | None:
        """Loop time at which the longest poll in flight began; None if there is none."""
        return min(self._polls.values(), default=None)

    def ring(self) -> None:
        """Look again at what there is to do."""
        self._wakeup.set()

    def wake(self) -> None:
        """The queue may have work."""
        self._note(claim_decision.WAKE)
        self._wakeup.set()

    def change_limiter(self, limiter: RateLimiter | None) -> None:
        """Use this one from the next claim on; tokens reserved from the old one are its own."""
        self.capacity.limiter = limiter
        self._wakeup.set()

    def change_capacity(self, capacity: Capacity) -> None:
        """Use this one from now on; slots that are taken are taken in it as well."""
        self.capacity.close()
        self.capacity = self._runs.capacity = capacity
        self._wakeup.set()

    def assign(self, assigned: Assigned) -> None:
        """A job was claimed for this worker when it was added."""
        self._note(self._assigned.sign_ups.news(assigned))
        self._assigned.add(assigned)

    def look_for_assigned(self) -> None:
        """Messages may have been lost: see what the store holds for this worker."""
        self._assigned.missed = True
        self._wakeup.set()

    # ------------------------------------------------------------------ the loop

    async def _run_polls(self) -> None:
        try:
            async with asyncio.TaskGroup() as group:
                for number in range(POLLS):
                    group.create_task(self._poll(number))
        except BaseException:
            await self._release_after_crash()
            raise
        finally:
            self.capacity.close()
            self.declaring.close()
            self.brake.close()
            if self._stop is not None:
                self._stop.cancel()

    async def _poll(self, number: int) -> None:
        """Do what is decided, one thing after the other, until that is to stop."""
        while (step := self._next_step()).do is not Do.STOP:
            if self._one_has_stopped or not self.capacity.slots.single:
                self._other_awake.set()
            elif number:  # it could do nothing, and to wake it for each job costs a tenth of that
                self._other_awake.clear()
                await self._other_awake.wait()
                continue
            if step.do in _SLEEPS:
                await self._sleep(step)
                continue
            self._overlap = bool(self._polls) and (self._overlap or step.claims > 0)
            self._polls[number] = self._loop.time()
            try:
                if step.do in _EXCHANGES:
                    await self._exchange(step.claims, self._polls[number])
                else:
                    await self._carry_out_alone(step.do)
            except StoreError as error:
                await self._after_failure(error)
            finally:
                del self._polls[number]
                self._wakeup.set()  # the other poll may have waited for this one
        self._one_has_stopped = True
        self._other_awake.set()  # it stops as well, unless there is news by then

    def _next_step(self) -> Step:
        if self._assigned:
            self._assigned.start(self._may_begin, may_wait=bool(self._polls) and self.claiming)
            self.scanner.look_soon()  # one of them may have taken the last slot
        if self._assigned.missed and claim_decision.may_miss(self.state, len(self._polls)):
            self._assigned.missed = False
            self._note(claim_decision.MISS)
        return next_step(self._view())

    def _view(self) -> View:
        slots = self.capacity.slots
        return View(
            self.state,
            self._health.good,
            self._isolation.active,
            self.declaring.is_pending,
            len(self._polls),
            self._exclusive,
            len(self.running),
            bool(self._unacknowledged),
            slots.free,
            slots.share,
            self.capacity.tokens,
            self.brake.left,
        )

    def _may_begin(self) -> bool:
        return self.has_room and self.state is not LoopState.UNSURE

    def _note(self, news: News) -> None:
        self.state = news.after(self.state)

    async def _sleep(self, step: Step) -> None:
        self._wakeup.clear()
        if step.do is Do.AWAIT_CAPACITY:
            self.capacity.call_when_available(self.ring)
        else:
            self.capacity.call_no_more()
        await self._wakeup.wait()

    async def _carry_out_alone(self, do: Do) -> None:
        self._exclusive = True
        try:
            if do is Do.RECONCILE:
                await self._reconcile()
            elif do is Do.DECLARE:
                await self.declaring.tell()
            elif do is Do.UNSUBSCRIBE:
                await self._unsubscribe()
            else:
                await self._process_wakeups.hand_over(self.queue)
                self._note(claim_decision.HAND_OVER)
        finally:
            self._exclusive = False

    # ------------------------------------------------------------------ polls

    async def _exchange(self, claims: int, began: float) -> None:
        """Settle what has ended, claim as many jobs, and start them."""
        reserved = self.capacity.reserve(claims)
        asked = reserved.number
        if asked:
            self._note(claim_decision.ASK)
        try:
            batch, reply = await self._send(asked, self._assigned.sign_ups.next() if asked else 0)
        except BaseException as error:
            self.capacity.use(reserved)  # also when this loop ends: others may share the slots
            if isinstance(error, StoreError):
                self._note(claim_decision.LOSE if asked else claim_decision.WAKE)
            raise
        self._failures = 0
        self._health.answered()
        if asked:
            self.declaring.note(reply)
            self._note_filling(len(reply.claims) == asked)
        brought = reply.claims
        if brought and self._leases.may_be_over(began):
            brought = await self._runs.still_held(brought)
        # A job that was claimed before may have ended in this very exchange: its end is told first.
        again = bool(brought) and max(map(_TOKEN, brought)) > 1
        if again:
            self._unacknowledged.note_answers(batch, reply.answers)
        # Not before: starts that are counted while the store is asked make room for others.
        self._runs.start(brought, reserved)
        try:
            if brought:
                await asyncio.sleep(0)  # they begin now: counting and logging what ended can wait
        finally:
            if not again:
                self._unacknowledged.note_answers(batch, reply.answers)

    async def _send(self, limit: int, sign_up: int = 0) -> tuple[Batch, Turn]:
        batch = self._unacknowledged.take()
        try:
            if batch.changes:
                failpoint("settling")
            lease, known = self._leases.duration, self.declaring.known
            reply = await self._backend.turn(
                self.queue, batch.changes, limit, lease, self.name, known, sign_up
            )
            if batch.changes:
                failpoint("settled")
            if reply.claims:
                failpoint("claimed")
        except BaseException:  # an error of ours included: what ended must not be renewed for ever
            self._unacknowledged.put_back(batch)
            raise
        return batch, reply

    def _note_filling(self, full: bool) -> None:
        if full:
            self._note(claim_decision.FULL_BESIDE if self._overlap else claim_decision.FULL)
            self._wakeup.set()  # the other poll asks while these jobs run, not when they have ended
            self.scanner.look_soon()  # nobody wakes us while we are full
            self._process_wakeups.sign_up_others(self.queue)
        else:
            self._note(claim_decision.SHORT)
            self.scanner.wake()  # what woke us may have been a delayed job

    async def _reconcile(self) -> None:
        """Start what a lost reply or message had brought, or hand it back if there is no room."""
        await self._runs.take_up(self.queue, self.name, lambda: self.has_room)
        self._assigned.sign_ups.note_look()
        self._note(claim_decision.RECONCILE)

    async def _unsubscribe(self) -> None:
        self._note(claim_decision.UNSUBSCRIBE)
        try:
            await self._process_wakeups.retire(self.queue)
        except StoreError:
            self._note(claim_decision.FAIL_TO_UNSUBSCRIBE)
            raise

    async def _after_failure(self, error: StoreError) -> None:
        self._health.failed(error)
        patience = LAST_FLUSH
        if self.draining and not (self.running or self._unacknowledged.ended):
            # With nothing to run and nothing to save, this attempt was to be the last.
            self._deadline = min(self._deadline, self.busy_since or self._loop.time())
            if self.state is LoopState.DRAINING:  # to leave is tried once
                patience = 0.0
        if self._loop.time() >= self._deadline + patience:
            self._unacknowledged.abandon(error)
            self._note(claim_decision.GIVE_UP)
            return
        await self._health.pause(self._failures)
        self._failures += 1

    # ------------------------------------------------------------------ ending

    def _drain(self, timeout: float) -> None:
        """Claim no more; in `timeout` seconds hand back what still runs."""
        self._note(claim_decision.DRAIN)
        self._deadline = self._loop.time() + timeout
        if timeout > 0:
            self._stop = self._loop.call_later(timeout, self._runs.release_all)
        else:
            self._runs.release_all()
        self._wakeup.set()

    async def _release_after_crash(self) -> None:
        """An error of ours ends this loop: hand back what it holds, or at least let it run out."""
        runs = list(self.running.values())
        self._runs.release_all()
        if tasks := [run.asyncio_task for run in runs if run.asyncio_task is not None]:
            await asyncio.wait(tasks, timeout=2 * CANCEL_GRACE)
        held: list[Run] = [*runs, *(run for run, _ in self._unacknowledged.ended)]
        try:
            await self._process_wakeups.retire(self.queue)
            await self._send(0)
            await self._runs.take_up(self.queue, self.name, lambda: False)  # of a reply on its way
            held += (run for run, _ in self._unacknowledged.ended)
            if self._unacknowledged:
                await self._send(0)
        except Exception as error:  # noqa: BLE001 - we are failing already
            self._observer.event("queue.release_failed", queue=self.queue, error=str(error))
        self._leases.drop(*held)
