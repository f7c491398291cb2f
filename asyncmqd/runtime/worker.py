"""`Worker`: the task group of one queue in one process, and what may be changed while it runs."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Sequence
from functools import partial

import msgspec

from asyncmqd.backends.base import Assigned
from asyncmqd.domain.heartbeat import ISOLATING, STOPPING, Load
from asyncmqd.domain.options import check_queue_name
from asyncmqd.domain.queue_options import CustomScanner, QueueOptions
from asyncmqd.runtime.claiming.capacity import Capacity
from asyncmqd.runtime.claiming.loop import ClaimLoop
from asyncmqd.runtime.claiming.max_concurrency import CappedCapacity, CappedSlots, DaemonSlots
from asyncmqd.runtime.claiming.rate_limiter import RateLimiter
from asyncmqd.runtime.claiming.slots import OwnSlots, Slots
from asyncmqd.runtime.duties import Duty
from asyncmqd.runtime.execution.execute_job import Execution
from asyncmqd.runtime.execution.run import Run
from asyncmqd.runtime.process.context import ProcessContext
from asyncmqd.runtime.scanner import Scanner
from asyncmqd.runtime.scheduler import Scheduler
from asyncmqd.runtime.tracing import TRACES

SCANNER_PAUSE = 5.0  # seconds before a custom scanner that failed runs again


class Worker:
    """Claims, runs, scans and schedules for one queue until it is cancelled.

    `scanners` run beside it: those that `options` name, or others. `slots` and `limiter` may be
    given, to share them; otherwise they are made from the options. With `declares`, those of its
    limits that hold over all daemons are declared; else those that others declared hold. One that
    `resumes` follows a worker that had declared them. `daemon_slots` are those that all queues of
    the process share. Create it in the event loop that runs it.
    """

    def __init__(
        self,
        queue: str,
        context: ProcessContext,
        options: QueueOptions,
        *,
        scanners: Sequence[CustomScanner] = (),
        slots: Slots | None = None,
        limiter: RateLimiter | None = None,
        declares: bool = False,
        resumes: bool = False,
        daemon_slots: DaemonSlots | None = None,
    ) -> None:
        self.queue = check_queue_name(queue)
        self.context = context
        self.options = options
        self._scanners = scanners
        self._execution = (TRACES.execution or Execution)(queue, options, context)
        self._scanner = Scanner(queue, context, options)
        self._scheduler = Scheduler(
            queue, context, options.repeatables, options.retention.keep_failed
        )
        self._claims = ClaimLoop(
            queue,
            context,
            self._execution,
            Capacity(slots or OwnSlots(options.concurrency), limiter or _limiter_of(options)),
            self._scanner,
        )
        self._daemon_slots: DaemonSlots | None = None
        if daemon_slots is not None:
            self.share_slots(daemon_slots)
        self._declares = declares
        if resumes:
            self._claims.declaring.resume(options.shared_limits)
        else:
            self.declare_limits()

    # ------------------------------------------------------------------ life

    async def run(self) -> None:
        """Work until cancelled; then drain for `options.drain_timeout` seconds, and re-raise.

        A second cancellation hands back at once what still runs.
        """
        self.context.workers.register(self)
        try:
            await self._run_loops()
        except asyncio.CancelledError as error:
            # The task would keep it, and its traceback all of this: a cycle that is there until
            # the garbage collector runs, which in a daemon is hours later.
            raise error.with_traceback(None) from None
        finally:
            self.context.workers.unregister(self)
            await self._execution.close()

    async def _run_loops(self) -> None:
        begin = self.context.duties.begin
        duties = [
            begin(f"scanner of {self.queue}", self._scanner.run, queue=self.queue),
            begin(f"scheduler of {self.queue}", self._scheduler.run, queue=self.queue),
            *map(self._begin_custom, self._scanners),
        ]
        try:
            # In this very task: its cancellation means to drain.
            await self._claims.run()
        finally:
            await asyncio.wait([duty.end() for duty in duties])

    def _begin_custom(self, scanner: CustomScanner) -> Duty:
        """One that fails runs again, for ever: the application may repair its cause."""
        name = _name_of(scanner)
        return self.context.duties.begin(
            f"{name} of {self.queue}",
            partial(self._scan, scanner),
            event="scanner.crashed",
            vital=False,
            first_pause=SCANNER_PAUSE,
            queue=self.queue,
            scanner=name,
        )

    async def run_claims(self) -> None:
        """Only claim and run, as `process_job` does: others scan and schedule."""
        self.context.workers.register(self)
        try:
            await self._claims.run()
        finally:
            self.context.workers.unregister(self)
            await self._execution.close()

    async def run_scanner(self) -> None:
        """Only promote, recover and tidy, as `delayed_job_scanner` does."""
        self.context.workers.register(self)
        try:
            await self._scanner.run()
        finally:
            self.context.workers.unregister(self)

    async def run_scheduler(self) -> None:
        """Only fire schedules, as `repeatable_scheduler` does."""
        await self._scheduler.run()

    async def _scan(self, scanner: CustomScanner) -> None:
        pace = self.options.scan_interval
        try:
            await scanner(self.queue, backend=self.context.backend, interval=pace)
        except (SystemExit, KeyboardInterrupt) as error:  # raised on, it would leave the loop
            raise RuntimeError(f"the scanner raised {type(error).__name__}") from error

    # ------------------------------------------------------------------ changing

    def declare_limits(self) -> None:
        """Have the limits of the options hold over all daemons, at a start or a reload."""
        if self._declares:
            self._claims.declaring.declare(self.options.shared_limits)
            self._claims.ring()

    @property
    def undeclared(self) -> bool:
        """Whether the store was not told yet of the limits that hold over all daemons."""
        return self._claims.declaring.is_pending

    def adjust(self, options: QueueOptions) -> None:
        """Take other numbers and schedules in place; running jobs and limiter tokens stay.

        `executor` counts from the next job on; `scanners` are those the worker was started with.
        """
        limits = ("rate_limit", "rate_interval", "burst")
        if any(getattr(options, key) != getattr(self.options, key) for key in limits):
            self._change_limits(options)
        self.options = self._scanner.options = options
        self._execution.change(options)
        if isinstance(slots := self._claims.capacity.slots, OwnSlots):
            slots.resize(options.concurrency)
        self._claims.brake.slots = options.concurrency
        self._scheduler.declare(options.repeatables, options.retention.keep_failed)
        self._scanner.wake()
        self._claims.ring()

    def _change_limits(self, options: QueueOptions) -> None:
        limiter = self._claims.capacity.limiter
        if limiter is None or options.rate_limit is None:
            self._claims.change_limiter(_limiter_of(options))
        else:
            limiter.change(options.rate_limit, options.rate_interval, options.burst)

    def share_slots(self, daemon_slots: DaemonSlots | None) -> None:
        """Hold no more slots than the process has for this queue; None: only its own count."""
        former, brake = self._claims.capacity, self._claims.brake
        if daemon_slots is self._daemon_slots or not isinstance(former.slots, OwnSlots):
            return
        self._daemon_slots = daemon_slots
        size, taken = self.concurrency, former.slots.taken
        capacity: Capacity
        if daemon_slots is None:
            slots = OwnSlots(size)
            slots.taken = taken
            capacity = Capacity(slots, former.limiter)
        else:
            capped = CappedSlots(size, taken, daemon_slots, self.queue)
            capacity = CappedCapacity(capped, former.limiter, brake)
        self._claims.change_capacity(capacity)

    def wake(self) -> None:
        """The queue may have work."""
        self._claims.wake()

    def assign(self, assigned: Assigned) -> None:
        """A job was claimed for a worker of the queue: for another, it is as a wake-up."""
        if assigned.claim.worker == self._claims.name:
            self._claims.assign(assigned)
        else:
            self.wake()

    def look_for_assigned(self) -> None:
        """Messages of such jobs may have been lost."""
        self._claims.look_for_assigned()

    def look_soon(self) -> None:
        """Jobs of the queue are delayed or active, perhaps elsewhere only."""
        self._scanner.look_soon()

    # ------------------------------------------------------------------ looking

    @property
    def concurrency(self) -> int:
        """Jobs that it runs at once."""
        return self.options.concurrency

    @property
    def limiter(self) -> RateLimiter | None:
        """What limits its starts now; another worker of the queue may take it over."""
        return self._claims.capacity.limiter

    @property
    def running(self) -> dict[str, Run]:
        """The runs that are under way, by job id."""
        return self._claims.running

    @property
    def held_back(self) -> str:
        """Why it claims less than it has slots for; empty if it does not."""
        return self._claims.brake.reason

    @property
    def waits(self) -> bool:
        """Whether it has work, and slots of its own, but no slot of the daemon's is for it."""
        slots = self._claims.capacity.slots
        return isinstance(slots, CappedSlots) and slots.waits

    @property
    def load(self) -> Load:
        """What the heartbeat tells of it: its slots, and what keeps it from using them."""
        if not self._claims.begun:
            return Load()
        held = STOPPING if self.draining else ISOLATING if self.context.isolation.active else ""
        load = Load(self.concurrency, len(self.running), held or self.held_back)
        if self._daemon_slots is not None:
            load = msgspec.structs.replace(
                load, weight=self.options.weight, max_concurrency=self._daemon_slots.cap
            )
        limiter = self.limiter
        if limiter is None:
            return load
        wait = limiter.wait_time()
        return msgspec.structs.replace(
            load,
            rate_limit=limiter.rate,
            rate_interval=limiter.interval,
            opens=0.0 if math.isinf(wait) else wait,
        )

    @property
    def unacknowledged(self) -> int:
        """Jobs that have ended, and of which the store does not know it yet."""
        return self._claims.unacknowledged

    @property
    def draining(self) -> bool:
        """Whether it claims no more jobs."""
        return self._claims.draining

    @property
    def claiming(self) -> bool:
        """Whether it takes jobs."""
        return self._claims.claiming

    @property
    def has_room(self) -> bool:
        """Whether it would begin a job at once if it got one now."""
        return self._claims.has_room

    @property
    def last_tidied(self) -> float:
        """Loop time at which the retention limits were last applied."""
        return self._scanner.last_tidied

    async def tidy(self) -> None:
        """Apply the retention limits now. Raises StoreError."""
        await self._scanner.tidy()

    @property
    def last_progress(self) -> float:
        """Loop time at which every loop was last seen alive: now, unless one is stuck in a call."""
        loops = (self._claims, self._scanner, self._scheduler)
        now = asyncio.get_running_loop().time()
        return min((each.busy_since for each in loops if each.busy_since is not None), default=now)


def _name_of(scanner: CustomScanner) -> str:
    """What people call a custom scanner: its function."""
    return str(getattr(scanner, "__qualname__", repr(scanner)))


def _limiter_of(options: QueueOptions) -> RateLimiter | None:
    if options.rate_limit is None:
        return None
    return RateLimiter(options.rate_limit, options.rate_interval, options.burst)
