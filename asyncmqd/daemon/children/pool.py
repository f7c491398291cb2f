"""Serves the queues by child processes, each with its share of every limit."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import msgspec

from asyncmqd.admin.enqueue import EnqueueArguments, Enqueued
from asyncmqd.admin.errors import AdminError, WrongArguments
from asyncmqd.backends.base import StoreError
from asyncmqd.config.models import Settings
from asyncmqd.config.settings_transfer import packed
from asyncmqd.daemon.application_import import Application, named_scanners
from asyncmqd.daemon.children.ipc import Answer, Hello
from asyncmqd.daemon.children.log_forwarding import forwarded_format
from asyncmqd.daemon.children.process import ChildGone, ChildProcess
from asyncmqd.daemon.children.supervisor import ChildSupervisor
from asyncmqd.daemon.process_report import QueueReport, Report, total
from asyncmqd.daemon.queue_processes import CLOSE_LIMIT, IMPORT_LIMIT, LOOK_EVERY
from asyncmqd.daemon.supervisor import OVERTIME
from asyncmqd.domain import clock
from asyncmqd.observe.line_writer import LineWriter
from asyncmqd.observe.log import dropped
from asyncmqd.observe.metrics import Counted, Sum
from asyncmqd.runtime.execution.run import Run
from asyncmqd.runtime.process.context import ProcessContext

ASK_LIMIT = 1.0  # seconds that children get to say what they do; the last word counts otherwise
PREPARE_LIMIT = IMPORT_LIMIT + ASK_LIMIT  # seconds; a child tells by itself what takes too long
APPLY_LIMIT = 5.0  # seconds that they get to say that they serve a new configuration
END_LIMIT = 1.0 + CLOSE_LIMIT  # seconds past all drains that they get to end

BEAT = 1.0  # seconds between signs of life of a child, if the watchdog allows so many


class ChildPool:
    """The children of this process. It runs no job and imports no code of the application.

    `context` is never entered: it is what the daemon says of the store, and takes back what dead
    children held. A child without a sign of life for `hang_limit` seconds is killed; None: nobody
    looks. `log` is where their lines go.
    """

    def __init__(
        self,
        context: ProcessContext,
        config: Path,
        settings: Settings,
        application: Application,
        hang_limit: float | None,
        log: LineWriter,
    ) -> None:
        self.context = context
        self.on_overstays: Callable[[str], None] = lambda _: None  # a child is replaced alone
        self._config = config
        self._settings = settings
        self._application = application
        self._hang_limit = hang_limit
        self._log = log
        self._drain_limit = _longest_drain(settings)  # of queues that are gone and drain, too
        self._looked = clock.monotonic()
        self._applying: list[asyncio.Future[Answer]] = []
        self._supervisors = [
            ChildSupervisor(number, context, self._spawn, lambda: self._settings)
            for number in range(1, settings.processes + 1)
        ]

    async def _spawn(self, number: int) -> ChildProcess:
        settings = self._settings
        direct = self._log.outlet.shared
        hello = Hello(
            number=number,
            processes=settings.processes,
            instance=self.context.presence.instance,
            path=sys.path,
            config=str(self._config),
            settings=msgspec.Raw(packed(settings)),
            log_fd=None,
            log_format=settings.log_format if direct else forwarded_format(settings.log_format),
            beat=BEAT if self._hang_limit is None else min(BEAT, self._hang_limit / 3),
        )
        child = await ChildProcess.start(hello, None if direct else self._log)
        child.on_report = self._note_health
        return child

    # ------------------------------------------------------------------ serving

    async def load(self) -> None:
        """Have all children import the application. Raises ConfigErrors and CannotStart."""
        loading = (each.load() for each in self._supervisors)
        for problems in await asyncio.gather(*loading):
            if problems:
                raise self._application.refusal(self._settings, problems)

    async def start(self, settings: Settings) -> None:
        """See `Serving`."""
        self._settings = settings
        for each in self._supervisors:
            each.start()
        await asyncio.gather(*(each.first_ready for each in self._supervisors))

    async def prepare(self, settings: Settings) -> None:
        """Have all children import the scanners that are new.

        A child that says nothing of them, because it hangs or ended, does not keep the others from
        the reload; if all do, these scanners may be why.
        """
        known = {name for _, name in named_scanners(self._settings)}
        new = [(path, name) for path, name in named_scanners(settings) if name not in known]
        if not new:
            return
        data = packed(settings)
        asked = [child.ask("prepare", data) for child in self._loaded()]
        await _wait(asked, PREPARE_LIMIT)
        answers = [each.result() for each in asked if each.done() and not each.exception()]
        problems = [dict(answer.problems) for answer in answers if answer.problems]
        if asked and not answers:
            problems.append({path: _unanswered(name) for path, name in new})
        if problems:
            raise self._application.refusal(settings, problems[0])

    def apply(self, settings: Settings) -> None:
        """See `Serving`. A child that starts just then is told as well."""
        self._settings = settings
        self._drain_limit = max(self._drain_limit, _longest_drain(settings))
        data = packed(settings)
        told = (each.apply(settings, data) for each in self._supervisors)
        self._applying = [each for each in told if each is not None]

    async def applied(self) -> list[str]:
        """See `Serving`. One that hangs is not waited for."""
        await _wait(self._applying, APPLY_LIMIT)
        done = [each for each in self._applying if each.done() and not each.cancelled()]
        answers = [each.result() for each in done if not each.exception()]
        return [warning for answer in answers for warning in answer.warnings]

    async def drain(self) -> None:
        """See `Serving`. One that hangs is not waited for."""
        await _wait(filter(None, [each.stop() for each in self._supervisors]), ASK_LIMIT)

    async def stop(self) -> None:
        """See `Serving`. A child that does not end in time is killed."""
        tasks = [each.duty.ended for each in self._supervisors if each.duty is not None]
        await _wait(tasks, self._drain_limit + OVERTIME + END_LIMIT)
        for each in self._supervisors:
            each.kill()
        await _wait(tasks, END_LIMIT)

    async def hand_back(self) -> None:
        """See `Serving`."""
        await _wait([child.ask("hand_back") for child in self._loaded()], ASK_LIMIT)

    async def leave(self) -> None:
        """See `Serving`."""
        try:
            async with asyncio.timeout(CLOSE_LIMIT):
                await self.context.backend.close()
        except (TimeoutError, StoreError):
            return

    def _loaded(self) -> list[ChildProcess]:
        children = (each.child for each in self._supervisors)
        return [child for child in children if child is not None and child.loaded]

    # ------------------------------------------------------------------ looking

    async def refresh(self) -> None:
        """See `Serving`."""
        await _wait([child.ask("report") for child in self._loaded()], ASK_LIMIT)

    async def counted(self) -> dict[int, Counted]:
        """See `Serving`."""
        await _wait([child.ask("count") for child in self._loaded()], ASK_LIMIT)
        ended = Sum()
        for each in self._supervisors:
            ended.add(each.past_counted.counted())
            await asyncio.sleep(0)
        live = {each.number: each.child.counted for each in self._supervisors if each.child}
        return {0: ended.counted(), **live}

    async def enqueue(self, job: EnqueueArguments) -> Enqueued:
        """See `Serving`. A child does it: this process has no code of the application."""
        for child in self._loaded():
            try:
                answer = await child.ask("enqueue", job=job)
            except ChildGone:
                continue
            if answer.enqueued is not None:
                return answer.enqueued
            raise (WrongArguments if answer.is_wrong else AdminError)(answer.refused)
        raise AdminError("no process has imported the application yet: try again")

    def report(self) -> Report:
        """See `Serving`."""
        live = [each.child.report for each in self._supervisors if each.child is not None]
        whole = total([*live, *(each.past for each in self._supervisors)])
        whole.dropped += dropped()  # what they wrote, and we could not pass on
        whole.crashed += self.context.duties.crashed
        served = {queue for report in live for queue in report.queues}
        configured = self._settings.queues
        whole.queues = {
            name: whole.queues.get(name, QueueReport()) for name in served | configured.keys()
        }
        for name, queue in whole.queues.items():
            if name in configured:  # shares may not add up again to the very number
                queue.rate_limit = configured[name].rate_limit
        return whole

    def processes(self) -> list[dict[str, Any]]:
        """See `Serving`."""
        return [each.status() for each in self._supervisors]

    def code(self) -> str:
        """See `Serving`."""
        return next((child.code for child in self._loaded() if child.code), "")

    def runs(self) -> list[Run]:
        """None: this process runs no jobs."""
        return []

    def dump(self) -> None:
        """See `Serving`."""
        for child in self._loaded():
            child.ask("dump")

    # ------------------------------------------------------------------ health

    def look_after(self) -> None:
        """See `Serving`. Time in which this process itself was stopped counts for no child.

        Signs of life may lie unread, and whatever stopped us may have stopped the children, too.
        """
        now = clock.monotonic()
        missed, self._looked = max(0.0, now - self._looked - LOOK_EVERY), now
        for each in self._supervisors:
            each.forgive(missed)
            if self._hang_limit is not None:
                each.end_if_hung(self._hang_limit)

    @property
    def is_well(self) -> bool:
        """See `Serving`: also while a child that hangs is being replaced, but not for long."""
        limit = self._hang_limit
        return limit is None or all(each.is_well(limit) for each in self._supervisors)

    def _note_health(self) -> None:
        """Tell of the store once for all: it is away while any child misses it."""
        trouble = next(filter(None, (child.report.store_error for child in self._loaded())), "")
        if trouble:
            self.context.health.failed(StoreError(trouble))
        else:
            self.context.health.answered()


def _unanswered(name: str) -> str:
    return f"expected a scanner, got {name!r}, at which every process hung or ended"


def _longest_drain(settings: Settings) -> float:
    return max(queue.drain_limit for queue in settings.served.values())


async def _wait(futures: Iterable[asyncio.Future[Any]], limit: float) -> None:
    """Until all are done, whatever came of them, for `limit` seconds at most."""
    waiting = list(futures)
    if waiting:
        await asyncio.wait(waiting, timeout=limit)
