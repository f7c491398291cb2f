"""What one process says of itself: the numbers behind `status`, the status line and the log."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TypeVar

import msgspec

Number = TypeVar("Number", int, float)


class QueueReport(msgspec.Struct, kw_only=True):
    """One queue, as one process serves it, or as all of them do together."""

    concurrency: int = 0
    running: int = 0
    unacknowledged: int = 0  # jobs that ended, before the store has confirmed it
    rate_limit: float | None = None
    draining: bool = False
    held_back: str = ""  # why less is claimed than there are slots for
    weight: int = 1  # its part of the daemon's slots, where they are limited
    waits: bool = False  # it has jobs, and slots of its own, and none of the daemon's is left
    restarts: int = 0  # of its worker, after crashes
    completed: int = 0  # since the start, like the next two
    failed: int = 0
    retried: int = 0


class Report(msgspec.Struct, kw_only=True):
    """One process, or all of them together."""

    queues: dict[str, QueueReport] = {}  # those that drain included
    completed: int = 0  # since the start, of all queues there were
    failed: int = 0
    max_concurrency: int | None = None  # jobs of all queues together; None: no limit
    stuck_functions: int = 0  # plain functions that were told to end and did not
    dropped: int = 0  # log lines
    store_error: str = ""  # what is wrong with the store; empty if all is well
    stuck: list[str] = []  # queues that make no progress
    unreadable: list[str] = []  # schedules that mean nothing on this host, with the reason of each
    crashed: list[str] = []  # standing duties that crashed lately, with the error of each

    @property
    def running(self) -> int:
        """Jobs that run now."""
        return sum(queue.running for queue in self.queues.values())

    @property
    def unacknowledged(self) -> int:
        """Jobs that have ended, before the store has confirmed it."""
        return sum(queue.unacknowledged for queue in self.queues.values())

    @property
    def draining(self) -> list[str]:
        """Queues that claim no more jobs but still run some, or are about to stop."""
        return sorted(name for name, queue in self.queues.items() if queue.draining)


def total(reports: Iterable[Report]) -> Report:
    """The reports of several processes as one."""
    whole = Report()
    for report in reports:
        for name, queue in report.queues.items():
            present = whole.queues.get(name)
            whole.queues[name] = queue if present is None else _together(present, queue)
        whole.completed += report.completed
        whole.failed += report.failed
        whole.max_concurrency = _sum(whole.max_concurrency, report.max_concurrency)
        whole.stuck_functions += report.stuck_functions
        whole.dropped += report.dropped
        whole.store_error = whole.store_error or report.store_error
        whole.stuck = sorted({*whole.stuck, *report.stuck})
        whole.unreadable = sorted({*whole.unreadable, *report.unreadable})
        whole.crashed = sorted({*whole.crashed, *report.crashed})
    return whole


def history(report: Report) -> Report:
    """What stays true of a process that has ended: what its jobs came to."""
    ended = {
        name: QueueReport(
            restarts=queue.restarts,
            completed=queue.completed,
            failed=queue.failed,
            retried=queue.retried,
        )
        for name, queue in report.queues.items()
    }
    return Report(
        queues=ended, completed=report.completed, failed=report.failed, dropped=report.dropped
    )


def _together(one: QueueReport, other: QueueReport) -> QueueReport:
    return QueueReport(
        concurrency=one.concurrency + other.concurrency,
        running=one.running + other.running,
        unacknowledged=one.unacknowledged + other.unacknowledged,
        rate_limit=_sum(one.rate_limit, other.rate_limit),
        draining=one.draining or other.draining,
        held_back=one.held_back or other.held_back,
        weight=max(one.weight, other.weight),
        waits=one.waits or other.waits,
        restarts=one.restarts + other.restarts,
        completed=one.completed + other.completed,
        failed=one.failed + other.failed,
        retried=one.retried + other.retried,
    )


def _sum(one: Number | None, other: Number | None) -> Number | None:
    """Of what both have; None: neither has any."""
    if one is None or other is None:
        return other if one is None else one
    return one + other
