"""`QueueSupervisor`: keeps one queue served, whatever happens to its worker."""

from __future__ import annotations

import asyncio
import contextlib

import msgspec

from asyncmqd.daemon.application_import import Scanners
from asyncmqd.domain import clock
from asyncmqd.domain.queue_options import QueueOptions
from asyncmqd.runtime.claiming.max_concurrency import DaemonSlots
from asyncmqd.runtime.claiming.rate_limiter import RateLimiter
from asyncmqd.runtime.duties import told
from asyncmqd.runtime.process.context import ProcessContext
from asyncmqd.runtime.worker import Worker

FIRST_PAUSE, LAST_PAUSE = 0.5, 30.0  # seconds before a worker that crashed is started anew
STEADY = 60.0  # seconds after which a crash counts as the first again


class QueueSupervisor:
    """Runs a worker for one queue, and a new one after each crash, until told to stop.

    Nobody ends it but itself: once the queue is not wanted any more and the last worker has
    drained. So a queue that comes back while it drains is simply wanted again.
    """

    def __init__(
        self,
        queue: str,
        context: ProcessContext,
        options: QueueOptions,
        scanners: Scanners,
        *,
        declares: bool = True,
    ) -> None:
        self.queue = queue
        self.options = options
        self.worker: Worker | None = None
        self.restarts = 0  # after crashes
        self.over = False  # it wants no queue any more; `ended` is done some turns later
        self._context = context
        self._observer = context.observer
        self._scanners = scanners
        self._declares = declares  # the next worker: a start, or a reload, that no worker has told
        self._wanted = True
        self._ending = False  # the present worker was told to end
        self._slots: DaemonSlots | None = None
        self._limiter: RateLimiter | None = None  # what the last worker left
        self._run: asyncio.Task[None] | None = None
        self._change = asyncio.Event()  # cuts the pause after a crash short
        self._begun = False
        self.ended: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    # ------------------------------------------------------------------ from outside

    def begin(self) -> None:
        """Start the first worker; of thousands of queues not all at once."""
        if not self._begun:
            self._begun = True
            begin, ended = self._context.duties.begin, self.ended
            duty = begin(f"supervisor of {self.queue}", self._keep, queue=self.queue)
            duty.ended.add_done_callback(lambda _: ended.set_result(None))

    def change(self, options: QueueOptions) -> None:
        """Serve with these options from now on: in place, if that can be."""
        before, self.options = self.options, options
        self._declares = self._ending or self.worker is None
        if options == before and self._wanted:
            if self.worker is not None:
                self.worker.declare_limits()
            return
        self._wanted = True
        self._observer.event("queue.changed", queue=self.queue, **_numbers(options))
        if self._ending or self.worker is None:
            return  # the next worker has them from its start
        if options.needs_new_worker(before):
            self._declares = True
            self._end()
        else:
            self.worker.adjust(options)
            self.worker.declare_limits()

    def share_slots(self, slots: DaemonSlots | None) -> None:
        """Hold no more slots than is this queue's turn of these, from now on; None: no such limit.

        This is so for what drains, too.
        """
        self._slots = slots
        if self.worker is not None:
            self.worker.share_slots(slots)

    def stop(self) -> None:
        """Drain, and end. From now on no schedule fires, because nobody here would run the job."""
        self._wanted = False
        self.begin()  # if it has not: it ends at once
        self._change.set()
        if self.worker is not None:
            self.worker.adjust(msgspec.structs.replace(self.worker.options, repeatables=()))
        self._end()

    async def hand_back(self) -> None:
        """End at once, after `stop`: what still runs goes back to its queue."""
        # A second cancellation that comes before the first was seen would be lost with it.
        while self._run is not None and not self._run.done():
            if self.draining:
                self._run.cancel()
                return
            await asyncio.sleep(0)

    @property
    def draining(self) -> bool:
        """Whether the present worker claims no more jobs."""
        return self.worker is not None and self.worker.draining

    @property
    def wanted(self) -> bool:
        """Whether the configuration has the queue."""
        return self._wanted

    @property
    def running(self) -> int:
        """Jobs that run now."""
        return 0 if self.worker is None else len(self.worker.running)

    @property
    def held_back(self) -> str:
        """Why the worker claims less than it has slots for; empty if it does not."""
        return "" if self.worker is None else self.worker.held_back

    @property
    def waits(self) -> bool:
        """Whether it has work, and no slot of those that all queues share."""
        return self.worker is not None and self.worker.waits

    @property
    def unacknowledged(self) -> int:
        """Jobs that have ended, and of which the store does not know it yet."""
        return 0 if self.worker is None else self.worker.unacknowledged

    @property
    def last_progress(self) -> float:
        """Loop time at which the worker was last seen alive."""
        if self.worker is None:
            return asyncio.get_running_loop().time()
        return self.worker.last_progress

    # ------------------------------------------------------------------ inside

    def _end(self) -> None:
        if self._run is not None and not self._ending:
            self._ending = True
            self._run.cancel()

    async def _keep(self) -> None:
        crashes = 0
        while self._wanted:
            began = asyncio.get_running_loop().time()
            error = await self._serve()
            if error is None:
                continue
            self.restarts += 1
            lasted = asyncio.get_running_loop().time() - began
            crashes = 1 if lasted > STEADY else crashes + 1
            await self._pause_after(error, crashes)
        self.over = True
        self._observer.event("queue.stopped", queue=self.queue)

    async def _serve(self) -> BaseException | None:
        """Run one worker to its end; the error if it crashed."""
        if self._run is None:  # or else this duty was begun again, and the worker lives
            self._ending = False
            self._run = asyncio.create_task(self._work(), name=f"worker of {self.queue}")
        await asyncio.wait([self._run])
        run, self._run = self._run, None
        worker, self.worker = self.worker, None
        self._declares = self._declares or (worker is not None and worker.undeclared)
        if run.cancelled() and self._ending:
            if worker is not None:
                self._limiter = worker.limiter
            return None
        self._limiter = None  # a crash may have lost tokens that were reserved
        if run.cancelled():
            return asyncio.CancelledError()
        return run.exception() or RuntimeError("the worker ended by itself")

    async def _work(self) -> None:
        limiter = self._kept_limiter()
        scanners = [self._scanners[name] for name in self.options.scanners]
        self.worker = Worker(
            self.queue,
            self._context,
            self.options,
            scanners=scanners,
            limiter=limiter,
            declares=True,
            resumes=not self._declares,
            daemon_slots=self._slots,
        )
        self._declares = False
        self._observer.event("queue.started", queue=self.queue, **_numbers(self.options))
        await self.worker.run()

    def _kept_limiter(self) -> RateLimiter | None:
        """The former worker's, so that a restart brings no second burst, with today's numbers."""
        options = self.options
        if self._limiter is None or options.rate_limit is None:
            return None
        self._limiter.change(options.rate_limit, options.rate_interval, options.burst)
        return self._limiter

    async def _pause_after(self, error: BaseException, crashes: int) -> None:
        bound = min(LAST_PAUSE, FIRST_PAUSE * 2.0 ** min(crashes - 1, 10))
        pause = bound * (0.5 + clock.draw() / 2)
        self._observer.event(
            "queue.crashed",
            queue=self.queue,
            error=told(error),
            restart_in=round(pause, 3) if self._wanted else None,
            exc_info=error,
        )
        self._change.clear()
        if self._wanted:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(pause):
                    await self._change.wait()


def _numbers(options: QueueOptions) -> dict[str, float | None]:
    return {"concurrency": options.concurrency, "rate_limit": options.rate_limit}
