"""What the daemon tells about itself: to `asyncmqd status`, to systemd, and to its log."""

from __future__ import annotations

import asyncio
import os
from collections import deque
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import msgspec

import asyncmqd
from asyncmqd.backends.base import Outlook, StoreError
from asyncmqd.daemon.diagnosis import Diagnosis
from asyncmqd.daemon.process_report import Report
from asyncmqd.daemon.queue_processes import Serving
from asyncmqd.daemon.reload.reloading import Configuration
from asyncmqd.domain import clock
from asyncmqd.domain.job import Counts
from asyncmqd.domain.loop_tasks import retrieve_error

if TYPE_CHECKING:
    from asyncmqd.admin.causes import Cause, Noticed

MINUTE = 60.0  # seconds
# Seconds that the store gets to count jobs, and a thread to look at files; then the status comes
# without.
COUNT_LIMIT = 1.0


class Readiness(NamedTuple):
    """Whether the daemon does its work, and the worst that is wrong, if anything is."""

    ready: bool
    cause: str


class Pace:
    """How many jobs ended in the last minute, from totals noted now and then."""

    def __init__(self) -> None:
        self._notes: deque[tuple[float, int]] = deque([(clock.monotonic(), 0)])

    def note(self, total: int) -> None:
        """So many have ended since the beginning."""
        now = clock.monotonic()
        self._notes.append((now, total))
        while self._notes[1][0] <= now - MINUTE:  # the one before the minute is where it starts
            self._notes.popleft()

    def per_minute(self) -> int:
        """Jobs that ended in the last 60 seconds."""
        return self._notes[-1][1] - self._notes[0][1]


class Status:
    """Puts together what is known, without ever waiting long for the store."""

    def __init__(self, serving: Serving, configuration: Configuration) -> None:
        self.phase = "starting"  # then ready, then draining
        self.restarting = ""  # why the daemon ends, to be started anew
        self.restarting_since: float | None = None  # Unix time
        self.diagnosis = Diagnosis(serving.context.backend)
        self._serving = serving
        self._backend = serving.context.backend
        self._health = serving.context.health
        self._presence = serving.context.presence
        self._observer = serving.context.observer
        self.configuration = configuration
        self._began = clock.monotonic()
        self._pace = Pace()
        self._noticed: Noticed | None = None
        self._counting: asyncio.Task[dict[str, tuple[Counts, Outlook]]] | None = None

    # ------------------------------------------------------------------ for systemd

    def line(self) -> str:
        """One line: what is wrong first, then live numbers."""
        report = self._serving.report()
        if self.phase == "draining":
            return self._left(report)
        if self.phase == "starting":
            if self._health.good:
                return "starting"
            return f"starting, waiting for the store: {self._health.error}"
        causes = self.causes(report)
        parts = [each.line for each in causes[:1]]
        if len(causes) > 1:
            parts.append(f"{len(causes) - 1} more: asyncmqd status")
        return "; ".join([*parts, self.numbers(report)])

    def numbers(self, report: Report) -> str:
        """Live numbers, for a line."""
        self._pace.note(report.completed + report.failed)
        parts = [
            f"queues: {len(report.queues)}, running: {_running(report)}",
            f"done per minute: {self._pace.per_minute()}",
            f"completed: {report.completed}, failed: {report.failed}",
            f"configuration: {self.configuration.generation}",
        ]
        return "; ".join(parts)

    def _left(self, report: Report) -> str:
        """What a drain still waits for."""
        ended = report.unacknowledged
        waits = f", {ended} ended and not confirmed by the store" if ended else ""
        return f"draining, {report.running} left{waits}"

    # ------------------------------------------------------------------ what is wrong

    def look_after(self) -> None:
        """Ask the store now and then what is wrong with the queues, for `line`."""
        if self.phase == "ready" and self._health.good:
            self.diagnosis.look_after(list(self._serving.report().queues))

    async def look(self, fresh: float, limit: float) -> None:
        """Ask the store unless the last answer is not older than `fresh` seconds.

        It is waited for `limit` seconds at most.
        """
        if self.phase == "ready" and self._health.good and self.diagnosis.age > fresh:
            await self.diagnosis.refresh(list(self._serving.report().queues), limit)

    def readiness(self, causes: list[Cause]) -> Readiness:
        """Whether the daemon serves its queues now, and the worst that is wrong."""
        works = self.phase == "ready" and not self._health.error and self._serving.is_well
        return Readiness(works, causes[0].line if causes else "")

    def causes(
        self,
        report: Report,
        of_queues: Sequence[Cause] | None = None,
        *,
        conceals: bool = False,
    ) -> list[Cause]:
        """All that is wrong, the worst first, by what the store said at the last look.

        `of_queues` is what it has said to another; `conceals`: without what applications chose.
        """
        from asyncmqd.admin.causes import Noticed, Own, of_daemon  # no daemon needs it to start

        own = Own(
            id=self._presence.id,
            phase=self.phase,
            left=self._left(report) if self.phase == "draining" else "",
            restarting=self.restarting,
            restarting_since=self.restarting_since,
            store_error=self._health.error,
            store_since=self._health.since,
            refusal=told_refusal(self.configuration, conceals=conceals),
            refused_since=refusal.since if (refusal := self.configuration.refusal) else None,
            crashed=report.crashed,
            stuck=report.stuck,
            absent=[
                each["number"] for each in self._serving.processes() if each["phase"] != "ready"
            ],
            unreadable=report.unreadable,
            held_back={
                name: queue.held_back for name, queue in report.queues.items() if queue.held_back
            },
        )
        if self._noticed is None:
            self._noticed = Noticed()
        found = self.diagnosis.found if of_queues is None else of_queues
        return of_daemon(own, found, self._noticed)

    # ------------------------------------------------------------------ for people

    async def snapshot(self) -> dict[str, Any]:
        """Everything, as JSON values."""
        queues = list(self._serving.report().queues)
        _, counts, edited, _ = await asyncio.gather(
            self._serving.refresh(),
            self._counts(),
            self._edited(),
            self.diagnosis.refresh(queues, COUNT_LIMIT),
        )
        report, configuration = self._serving.report(), self.configuration
        return {
            "pid": os.getpid(),
            "version": asyncmqd.__version__,
            "phase": self.phase,
            "causes": [told(each) for each in self.causes(report)],
            "uptime": round(clock.monotonic() - self._began, 3),
            "instance": self._presence.instance,
            "worker": self._presence.id,
            "config": {**_about(configuration), "edited": edited},
            "store": {
                "url": configuration.settings.backend_shown,
                "healthy": not self._health.error,
                "error": self._health.error,
            },
            "running": report.running,
            "max_concurrency": report.max_concurrency,
            "done_per_minute": self._pace.per_minute(),
            "stuck_functions": report.stuck_functions,
            "crashed_duties": report.crashed,
            "unreadable_schedules": report.unreadable,
            "log": {"dropped": report.dropped},
            "processes": self._serving.processes(),
            "queues": {
                name: {**msgspec.structs.asdict(queue), **_in_store(counts.get(name))}
                for name, queue in sorted(report.queues.items())
            },
        }

    async def _edited(self) -> bool | None:
        """Whether a file was written since the last reload; None if nobody can look now."""
        try:
            async with asyncio.timeout(COUNT_LIMIT):
                return await asyncio.to_thread(lambda: self.configuration.edited)
        except (TimeoutError, RuntimeError, MemoryError):  # of threads there may be no more
            return None

    async def _counts(self) -> dict[str, tuple[Counts, Outlook]]:
        """What the store has by queue; empty if it does not tell in time.

        The call is never cancelled, since that would cost a connection; until it returns, those
        who ask again wait for the same one.
        """
        if self._counting is None or self._counting.done():
            queues = list(self._serving.report().queues)
            self._counting = asyncio.create_task(self._ask_store(queues))
            self._counting.add_done_callback(retrieve_error)
        counting = self._counting  # by the time it returns, somebody may have begun another
        done, _ = await asyncio.wait([counting], timeout=COUNT_LIMIT)
        if not done:
            return {}
        try:
            return counting.result()
        except StoreError:
            return {}

    async def _ask_store(self, queues: list[str]) -> dict[str, tuple[Counts, Outlook]]:
        counts = await self._backend.counts(queues)
        outlooks = await self._backend.outlook(queues)
        return {name: (counts[name], outlooks[name]) for name in queues}

    # ------------------------------------------------------------------ for the log

    async def dump(self) -> None:
        """Log the state, and where each running job is."""
        await self._serving.refresh()
        self._observer.event(
            "daemon.state",
            phase=self.phase,
            healthy=self._health.good,
            queues={
                name: {"running": queue.running, "draining": queue.draining}
                for name, queue in sorted(self._serving.report().queues.items())
            },
        )
        self._serving.dump()


def _about(configuration: Configuration) -> dict[str, Any]:
    return {
        "file": str(configuration.path),
        "generation": configuration.generation,
        "loaded_at": configuration.loaded_at.isoformat(),
        "refusal": told_refusal(configuration),
        "needs_restart": list(configuration.needs_restart),
    }


def told_refusal(configuration: Configuration, *, conceals: bool = False) -> str:
    """Why the last reload was refused; empty if it was not."""
    refusal = configuration.refusal
    return refusal.told(conceals=conceals) if refusal else ""


def told(cause: Cause) -> dict[str, Any]:
    """A cause as JSON values."""
    return {**msgspec.to_builtins(cause), "line": cause.line}


def _running(report: Report) -> str:
    most = report.max_concurrency
    return f"{report.running}" if most is None else f"{report.running} of {most}"


def _in_store(found: tuple[Counts, Outlook] | None) -> dict[str, Any]:
    """What the store has of a queue: jobs by state, and limits over all daemons."""
    if found is None:
        return {"jobs": None, "limits": None}
    from asyncmqd.admin.queues import limits_view  # no daemon needs it to start

    counts, outlook = found
    return {
        "jobs": msgspec.to_builtins(counts),
        "limits": msgspec.to_builtins(limits_view(outlook, counts)),
    }
