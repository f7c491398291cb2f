"""Who serves the queues: this very process, or children of it."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Mapping
from functools import partial
from typing import TYPE_CHECKING, Any, Protocol

import msgspec

from asyncmqd.backends.base import StoreError
from asyncmqd.client.result_waits import served_queues
from asyncmqd.config.models import Settings
from asyncmqd.daemon import start_warnings
from asyncmqd.daemon.application_import import Application, Problems, Scanners, told
from asyncmqd.daemon.hang_monitor import LoopMonitor
from asyncmqd.daemon.process_report import QueueReport, Report
from asyncmqd.daemon.queue_supervisor import QueueSupervisor
from asyncmqd.daemon.supervisor import Supervisor
from asyncmqd.domain.queue_options import QueueOptions
from asyncmqd.domain.safe_text import counted
from asyncmqd.observe.captured_streams import leave_dead_stderr
from asyncmqd.observe.log import dropped
from asyncmqd.observe.metrics import Counted, Metrics
from asyncmqd.runtime.duties import Duty
from asyncmqd.runtime.execution.call_stacks import stack_of
from asyncmqd.runtime.execution.run import Run
from asyncmqd.runtime.process.context import ProcessContext
from asyncmqd.runtime.process.marks import code_stamp

if TYPE_CHECKING:  # who enqueues nothing does without their code
    from asyncmqd.admin.enqueue import EnqueueArguments, Enqueued

CLOSE_LIMIT = 2.0  # seconds that the store gets to say goodbye
ADVICE_LIMIT = 2.0  # seconds that whoever asked for a reload waits for advice on it
LOOK_EVERY = 1.0  # seconds between looks for what hangs, and at the status line
ADVISED = 200  # schedules that are looked at in one turn of the loop
IMPORT_LIMIT = 20.0  # seconds for new scanners; whoever asked for the reload waits for a minute

Share = Callable[[Settings], tuple[Mapping[str, QueueOptions], int | None]]
"""What one process serves of what the daemon serves, and how many jobs it may run at once."""


def _all_of(settings: Settings) -> tuple[Mapping[str, QueueOptions], int | None]:
    return settings.served, settings.max_concurrency


class Serving(Protocol):
    """What the daemon needs of those who run the jobs."""

    context: ProcessContext  # the store, its health, and the observer
    on_overstays: Callable[[str], None]  # called with the reason when only a new process helps

    async def start(self, settings: Settings) -> None:
        """Serve; returns once all queues are served. Raises CannotStart and StoreRefused."""

    async def prepare(self, settings: Settings) -> None:
        """Whatever may fail or take long before `apply`. Raises ConfigErrors."""

    def apply(self, settings: Settings) -> None:
        """Serve like this from now on; it was prepared. Nothing waits in here."""

    async def applied(self) -> list[str]:
        """Wait until everybody has what was last applied; what is new that is probably wrong."""

    async def drain(self) -> None:
        """Begin to drain all queues; returns when no jobs are claimed any more."""

    async def stop(self) -> None:
        """Drain all queues at the same time, each for its own drain_timeout, to the end."""

    async def hand_back(self) -> None:
        """After `stop`: wait for no job any more."""

    async def leave(self) -> None:
        """Say goodbye to the store."""

    async def refresh(self) -> None:
        """Have `report` tell of now; what cannot be had soon stays as it was."""

    def report(self) -> Report:
        """The present numbers."""

    async def counted(self) -> dict[int, Counted]:
        """What each process that runs jobs has counted, by its number; 1 is this very process.

        Those that have ended are 0. What cannot be had soon is as it was.
        """

    def processes(self) -> list[dict[str, Any]]:
        """The child processes, as JSON values."""

    async def enqueue(self, job: EnqueueArguments) -> Enqueued:
        """Enqueue a job where the application's code is. Raises AdminError and StoreError."""

    def code(self) -> str:
        """A stamp of the application's code."""

    def runs(self) -> list[Run]:
        """The runs that are under way in this process."""

    def dump(self) -> None:
        """Log where each running job is."""

    def look_after(self) -> None:
        """To be called every LOOK_EVERY seconds: find what hangs."""

    @property
    def is_well(self) -> bool:
        """Whether the watchdog may be fed."""


class OwnProcess:
    """Serves in this process. `scanners` are those that the first settings name.

    A queue that makes no progress for `settings.hang_limit` seconds is stuck.
    """

    def __init__(
        self,
        context: ProcessContext,
        settings: Settings,
        application: Application,
        scanners: Scanners,
        share: Share = _all_of,
        *,
        advises: bool = True,
        metrics: Metrics | None = None,
    ) -> None:
        self.context = context
        self.metrics = metrics  # None: nobody will ask for them
        self.monitor: LoopMonitor | None = None  # of this process
        self.scanners = dict(scanners)
        self.supervisor = Supervisor(context, self.scanners)
        self.on_overstays: Callable[[str], None] = lambda _: None
        self._settings = settings
        self._application = application
        self._share = share
        self._advises = advises  # one process tells what all of them would find
        self._advised: set[str] = set()
        self._advised_on: Settings | None = None
        self._advising: Duty | None = None
        self._news: list[str] = []  # of the advice on what was last applied
        self._entered = False
        self._stuck: set[str] = set()
        context.overstays.on_more = self._count_overstays

    # ------------------------------------------------------------------ serving

    async def start(self, settings: Settings, *, declares: bool = True) -> None:
        """See `Serving`. Without `declares` it follows a process that had declared the limits."""
        await self.context.__aenter__()
        self._entered = True
        with contextlib.suppress(StoreError):  # the heartbeat says it as soon as it can
            await self.context.presence.announce()
        self._advise(start_warnings.on_modules(settings))
        self._advise(start_warnings.on_queues(settings, await self._served_by_all()))
        await self._advise_on_schedules(settings)
        self.apply(settings, declares=declares)

    async def _served_by_all(self) -> set[str]:
        with contextlib.suppress(StoreError):
            return await served_queues(self.context.backend)
        return set()

    def _advise(self, problems: Problems) -> None:
        """Warn of each of them once."""
        warnings = [told({path: problem}) for path, problem in problems.items()]
        for warning in warnings:
            if self._advises and warning not in self._advised:
                self._advised.add(warning)
                self._news.append(warning)
                self.context.observer.event("daemon.warning", warning=warning)

    async def _advise_on_schedules(self, settings: Settings) -> None:
        self._advised_on = settings
        for count, problems in enumerate(start_warnings.on_schedules(settings), 1):
            self._advise(problems)
            if count % ADVISED == 0:
                await asyncio.sleep(0)

    async def prepare(self, settings: Settings) -> None:
        """See `Serving`."""
        if problems := await self.import_scanners(settings):
            raise self._application.refusal(settings, problems)

    async def import_scanners(self, settings: Settings) -> Problems:
        """Import the scanners that are new in these settings; what is wrong with them."""
        attempt = self._application.attempt_scanners
        scanners, problems = await attempt(settings, self.scanners, IMPORT_LIMIT)
        self.scanners.update(scanners)
        return problems

    def apply(self, settings: Settings, *, declares: bool = True) -> None:
        """See `Serving`."""
        self._settings = settings
        # Of what is claimed and what jobs enqueue, be it more or less than before.
        self.context.backend.payload_limit = settings.payload_limit
        if settings is not self._advised_on:
            self._news.clear()
            advise = partial(self._advise_on_schedules, settings)
            self._advising = self.context.duties.begin("advice on schedules", advise, vital=False)
        self.supervisor.apply(*self._share(settings), declares=declares)

    async def applied(self) -> list[str]:
        """See `Serving`. Thousands of schedules are looked at for `ADVICE_LIMIT` at most."""
        if self._advising is not None:
            await asyncio.wait([self._advising.ended], timeout=ADVICE_LIMIT)
        return list(self._news)

    async def drain(self) -> None:
        """See `Serving`."""
        for served in self.supervisor.queues.values():
            served.stop()

    async def stop(self) -> None:
        """See `Serving`."""
        await self.supervisor.stop()

    async def hand_back(self) -> None:
        """See `Serving`."""
        await self.supervisor.hand_back()

    async def leave(self) -> None:
        """See `Serving`."""
        with contextlib.suppress(TimeoutError, StoreError):
            async with asyncio.timeout(CLOSE_LIMIT):
                if self._entered:
                    await self.context.__aexit__()
                await self.context.backend.close()

    # ------------------------------------------------------------------ looking

    async def refresh(self) -> None:
        """Nothing to do: the report is made when it is asked for."""

    def report(self) -> Report:
        """See `Serving`."""
        totals, draining = self.context.observer.totals, set(self.supervisor.draining)
        return Report(
            queues={
                name: self._queue(served, draining=name in draining)
                for name, served in sorted(self.supervisor.queues.items())
            },
            completed=sum(count for (_, edge), count in totals.items() if edge == "succeed"),
            failed=sum(count for (_, edge), count in totals.items() if edge == "fail"),
            stuck_functions=len(self.context.overstays),
            dropped=dropped(),
            store_error=self.context.health.error,
            stuck=sorted(self._stuck),
            max_concurrency=self.supervisor.max_concurrency,
            crashed=self.context.duties.crashed,
            unreadable=self.context.timetable.unreadable,
        )

    def last_report(self) -> Report:
        """The same with all queues there ever were: `report` forgets those that have drained."""
        report, totals = self.report(), self.context.observer.totals
        for queue in {*self.supervisor.past_restarts, *(queue for queue, _ in totals)}:
            report.queues.setdefault(queue, self._history(queue))
        return report

    def _queue(self, served: QueueSupervisor, *, draining: bool) -> QueueReport:
        past = self._history(served.queue)
        return msgspec.structs.replace(
            past,
            concurrency=served.options.concurrency,
            running=served.running,
            unacknowledged=served.unacknowledged,
            rate_limit=served.options.rate_limit,
            draining=draining,
            held_back=served.held_back,
            weight=served.options.weight,
            waits=served.waits,
            restarts=past.restarts + served.restarts,
        )

    def _history(self, queue: str) -> QueueReport:
        totals = self.context.observer.totals
        return QueueReport(
            restarts=self.supervisor.past_restarts[queue],
            completed=totals[queue, "succeed"],
            failed=totals[queue, "fail"],
            retried=totals[queue, "retry"],
        )

    def count(self) -> Counted:
        """What this process has counted."""
        counted = Counted() if self.metrics is None else self.metrics.counted()
        counted.answered = self.context.health.answered_calls
        counted.unanswered = self.context.health.failed_calls
        counted.lag = 0.0 if self.monitor is None else self.monitor.lag
        return counted

    async def counted(self) -> dict[int, Counted]:
        """See `Serving`."""
        return {1: self.count()}

    async def enqueue(self, job: EnqueueArguments) -> Enqueued:
        """See `Serving`."""
        from asyncmqd.admin.enqueue import enqueue  # nobody else pays for it

        return await enqueue(self.context.backend, job)

    def processes(self) -> list[dict[str, Any]]:
        """There are no children."""
        return []

    def code(self) -> str:
        """See `Serving`."""
        return code_stamp(self.context.registry)

    def runs(self) -> list[Run]:
        """See `Serving`."""
        return self.supervisor.runs()

    def dump(self) -> None:
        """See `Serving`."""
        now = asyncio.get_running_loop().time()
        for run in self.runs():
            self.context.observer.event(
                "job.stack",
                **run.fields,
                running_ms=round((now - run.started) * 1000),
                stack=stack_of(run),
            )

    # ------------------------------------------------------------------ health

    def look_after(self) -> None:
        """Find the queues whose worker makes no progress: the watchdog is not fed meanwhile.

        A store that is down is no such case: its calls hang, and a restart would mend nothing.
        """
        leave_dead_stderr()
        limit = self._settings.hang_limit
        stuck = set(self.supervisor.stuck(limit)) if self.context.health.good else set()
        for queue in sorted(stuck - self._stuck):
            error = f"no progress for {limit:g} s"
            self.context.observer.event("queue.stuck", queue=queue, error=error)
        self._stuck = stuck

    @property
    def is_well(self) -> bool:
        """See `Serving`."""
        return not self._stuck

    def _count_overstays(self, count: int) -> None:
        """End in order before threads that nobody can stop have gathered without end."""
        limit = self._settings.stuck_limit
        if limit and count >= limit:
            are, threads = ("is", "its thread") if count == 1 else ("are", "their threads")
            stuck = f"{counted(count, 'plain function')} {are} stuck"
            self.on_overstays(f"{stuck}: only a new process ends {threads}")
