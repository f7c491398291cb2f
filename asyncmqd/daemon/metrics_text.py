"""`Scraper`: the text of /metrics, made in slices, so that no job waits for it."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import asyncmqd
from asyncmqd.admin.gauges import Gauges, of_queues
from asyncmqd.admin.queues import LimitsView, limits_view
from asyncmqd.backends.base import StoreError
from asyncmqd.daemon.process_report import QueueReport, Report
from asyncmqd.daemon.queue_processes import Serving
from asyncmqd.daemon.status import Status
from asyncmqd.domain.loop_tasks import retrieve_error
from asyncmqd.domain.states import State
from asyncmqd.observe.metrics import Counted, Sum
from asyncmqd.observe.prometheus_text import Sample, family, labels, of_counted

SLICE = 16 * 1024  # characters that are made in one turn of the loop, or pauses in their place
PAUSE = 100  # characters: what a place to rest counts for
STORE_LIMIT = 1.0  # seconds that the store gets; then the text comes without what it knows


class Scraper:
    """Gathers what the processes have counted, and what the store says now."""

    def __init__(self, serving: Serving, status: Status) -> None:
        self._serving = serving
        self._status = status
        self._backend = serving.context.backend
        self._asking: asyncio.Task[dict[str, Gauges]] | None = None

    async def text(self) -> bytes:
        """All metrics."""
        queues = list(self._serving.report().queues)
        counted, gauges, _ = await asyncio.gather(
            self._serving.counted(), self._gauges(queues), self._serving.refresh()
        )
        whole = Sum()
        for part in counted.values():
            for _ in whole.adding(part):
                await asyncio.sleep(0)
        report = self._serving.report()
        parts = [
            _of_daemon(self._status, report, gauges is not None),
            _of_processes(self._serving.processes(), counted, whole),
            _of_queues(report.queues, shared=report.max_concurrency is not None),
            _of_store(gauges or {}),
            of_counted(whole),
        ]
        return await _in_slices(line for part in parts for line in part)

    async def _gauges(self, queues: list[str]) -> dict[str, Gauges] | None:
        """What the store says; None if it does not in time. The call is never cancelled."""
        if self._asking is None or self._asking.done():
            self._asking = asyncio.create_task(of_queues(self._backend, queues))
            self._asking.add_done_callback(retrieve_error)
        asking = self._asking
        done, _ = await asyncio.wait([asking], timeout=STORE_LIMIT)
        try:
            return asking.result() if done else None
        except StoreError:
            return None


async def _in_slices(lines: Iterable[str]) -> bytes:
    made: list[bytes] = []
    slice: list[str] = []
    size = 0
    for text in lines:
        slice.append(text)
        size += len(text) or PAUSE
        if size >= SLICE:
            made.append("".join(slice).encode())
            slice, size = [], 0
            await asyncio.sleep(0)
    made.append("".join(slice).encode())
    return b"".join(made)


# ---------------------------------------------------------------------- the daemon


def _of_daemon(status: Status, report: Report, answers: bool) -> Iterator[str]:
    configuration = status.configuration
    causes = status.causes(report)
    version = labels(version=asyncmqd.__version__)
    yield from family("asyncmqd_build_info", "gauge", "The release that runs.", [(version, 1)])
    yield from _one("ready", "1: the daemon serves its queues.", status.readiness(causes).ready)
    yield from _one("causes", "Things that are wrong, as `asyncmqd status` has them.", len(causes))
    yield from _one("config_generation", "Rises with each reload.", configuration.generation)
    refused = bool(configuration.refusal)
    yield from _one("config_reload_refused", "1: the last reload was refused.", refused)
    yield from _one("store_up", "1: the store answered this scrape in time.", answers)
    dropped = [("", report.dropped)]
    meaning = "Log lines that nobody read in time."
    yield from family("asyncmqd_log_lines_dropped_total", "counter", meaning, dropped)
    meaning = "Plain functions that were told to end and did not."
    yield from _one("stuck_functions", meaning, report.stuck_functions)
    if report.max_concurrency is not None:
        meaning = "Jobs of all queues that this daemon may run at once: max_concurrency."
        yield from _one("slots", meaning, report.max_concurrency)


def _one(name: str, meaning: str, value: float) -> Iterator[str]:
    return family(f"asyncmqd_{name}", "gauge", meaning, [("", int(value))])


def _of_processes(
    children: list[dict[str, Any]], counted: Mapping[int, Counted], whole: Sum
) -> Iterator[str]:
    up = [(_process(each["number"]), int(each["phase"] == "ready")) for each in children]
    yield from family("asyncmqd_process_up", "gauge", "1: the child process serves.", up)
    restarts = [(_process(each["number"]), each["restarts"]) for each in children]
    name, meaning = "asyncmqd_process_restarts_total", "Child processes that were replaced."
    yield from family(name, "counter", meaning, restarts)
    meaning = "The longest that the event loop was late in the last minute or two."
    lag = [(_process(number), each.lag) for number, each in counted.items() if number]
    yield from family("asyncmqd_loop_lag_seconds", "gauge", meaning, lag)
    calls = [
        (labels(outcome="answered"), whole.answered),
        (labels(outcome="failed"), whole.unanswered),
    ]
    meaning = "Round trips of the claim loops, and failures of all calls."
    yield from family("asyncmqd_store_calls_total", "counter", meaning, calls)


def _process(number: int) -> str:
    return labels(process=str(number))


# ---------------------------------------------------------------------- queues


def _of_queues(queues: Mapping[str, QueueReport], *, shared: bool) -> Iterator[str]:
    """With `shared`, all queues together have a limit of slots."""

    def gauge(name: str, meaning: str, field: str) -> Iterator[str]:
        samples = [(labels(queue=each), int(getattr(queues[each], field))) for each in queues]
        return family(f"asyncmqd_queue_{name}", "gauge", meaning, samples)

    yield from gauge("slots", "Jobs that this daemon may run at once.", "concurrency")
    yield from gauge("running", "Jobs that run in this daemon; each holds a lease.", "running")
    meaning = "Jobs that have ended, before the store has confirmed it."
    yield from gauge("unacknowledged", meaning, "unacknowledged")
    held = [(labels(queue=each), int(bool(queues[each].held_back))) for each in queues]
    meaning = "1: the host gives no more threads or processes."
    yield from family("asyncmqd_queue_held_back", "gauge", meaning, held)
    if shared:
        yield from gauge(
            "waits_for_slot", "1: it has jobs, and no slot of the daemon is free.", "waits"
        )
    restarts = [(labels(queue=each), queues[each].restarts) for each in queues]
    name, meaning = "asyncmqd_queue_worker_restarts_total", "Workers that crashed."
    yield from family(name, "counter", meaning, restarts)
    limits = [
        (labels(queue=name, limit="rate_limit"), queue.rate_limit)
        for name, queue in queues.items()
        if queue.rate_limit is not None
    ]
    meaning = "Limits of this daemon's rate; starts in each rate_interval."
    yield from family("asyncmqd_limit", "gauge", meaning, limits)


_STATES = tuple(str(state) for state in State)


def _of_store(gauges: Mapping[str, Gauges]) -> Iterator[str]:
    jobs = (
        (labels(queue=queue, state=state), getattr(each.counts, state))
        for queue, each in gauges.items()
        for state in _STATES
    )
    yield from family("asyncmqd_queue_jobs", "gauge", "Jobs in the store, by their state.", jobs)

    def gauge(name: str, meaning: str, samples: Iterable[Sample]) -> Iterator[str]:
        return family(f"asyncmqd_{name}", "gauge", meaning, samples)

    yield from gauge(
        "queue_parked",
        "Waiting jobs whose task no daemon knew.",
        ((labels(queue=queue), each.counts.parked) for queue, each in gauges.items()),
    )
    yield from gauge(
        "queue_paused",
        "1: somebody paused the queue.",
        ((labels(queue=queue), int(each.counts.paused)) for queue, each in gauges.items()),
    )
    yield from gauge(
        "queue_oldest_waiting_seconds",
        "For how long the oldest has waited of the jobs that run next in their priority.",
        ((labels(queue=queue), round(each.oldest, 3)) for queue, each in gauges.items()),
    )
    yield from gauge(
        "schedule_overdue_seconds",
        "Since when an instant of a schedule is past that no daemon has fired.",
        ((labels(queue=queue), round(each.overdue, 3)) for queue, each in gauges.items()),
    )
    yield from _of_limits(gauges)


def _of_limits(gauges: Mapping[str, Gauges]) -> Iterator[str]:
    """Limits over all daemons: how much is allowed, and how much of it is used."""
    views = {queue: limits_view(each.outlook, each.counts) for queue, each in gauges.items()}
    allowed = [each for queue, view in views.items() if view for each in _allowed(queue, view)]
    meaning = "Limits over all daemons: jobs at once, and starts in each global_rate_interval."
    yield from family("asyncmqd_global_limit", "gauge", meaning, allowed)
    used = [
        (labels(queue=queue, limit="global_concurrency"), view.held)
        for queue, view in views.items()
        if view is not None and view.concurrency is not None
    ]
    meaning = "Jobs that hold a permit of the limit over all daemons."
    yield from family("asyncmqd_global_limit_used", "gauge", meaning, used)
    closed = [
        (labels(queue=queue), view.closed_keys)
        for queue, view in views.items()
        if view is not None and (view.each_key is not None or view.keys)
    ]
    meaning = "Keys of which no job may start now, because of their limits."
    yield from family("asyncmqd_queue_closed_keys", "gauge", meaning, closed)


def _allowed(queue: str, view: LimitsView) -> Iterator[Sample]:
    if view.concurrency is not None:
        yield labels(queue=queue, limit="global_concurrency"), view.concurrency
    if view.rate_limit is not None:
        yield labels(queue=queue, limit="global_rate_limit"), view.rate_limit
