"""The one observer that sees every change of every job, and every event of the daemon.

Logs and counters hang here and nowhere else, so that they cannot disagree.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from typing import Any

from asyncmqd.domain.change import Change
from asyncmqd.domain.job import Claim, Failure
from asyncmqd.domain.settle import decode_failure
from asyncmqd.domain.tasks import REGISTRY
from asyncmqd.observe.log import LEVELS, logs, own_event, own_events

EDGE_EVENTS = {
    "succeed": "job.completed",
    "retry": "job.retrying",
    "fail": "job.failed",
    "expire": "job.expired",
    "release": "job.released",
    "snooze": "job.released",
    "park": "job.parked",
    "recover": "job.recovered",
    "quarantine": "job.quarantined",
}

EVENT_LEVELS = {
    "job.started": "debug",
    "job.failed": "error",
    "job.quarantined": "error",
    "job.retrying": "warning",
    "job.expired": "warning",
    "job.parked": "warning",
    "job.lease_lost": "warning",
    "job.recovered": "warning",
    "job.rules_failed": "warning",
    "job.stuck": "warning",
    "duty.crashed": "error",
    "store.clock_jumped": "warning",
    "queue.crashed": "error",
    "queue.held_back": "error",
    "queue.release_failed": "error",
    "queue.acks_lost": "error",
    "scanner.crashed": "error",
    "schedule.skipped": "warning",
    "schedule.restored": "warning",
    "schedule.failed": "error",
    "schedule.unreadable": "error",
    "schedule.overruled": "warning",
    "daemon.degraded": "error",
    "daemon.failed": "error",
    "daemon.reload_refused": "error",
    "daemon.warning": "warning",
    "daemon.restarting": "error",
    "queue.stuck": "error",
    "process.ended": "error",
    "process.failed": "error",
    "process.hung": "error",
    "process.restarting": "error",
    "loop.blocked": "error",
    "loop.interrupted": "error",
    "loop.resumed": "warning",
    "log.dropped": "warning",
}
"""Events that are not of level info."""

_DEBUG, _INFO = LEVELS["debug"], LEVELS["info"]

Applied = tuple[Change, Claim, str, float | None]
"""A change that a store has applied, the claim before it, the task's name, the run's seconds."""


def _rank(event: str) -> int:
    return LEVELS[EVENT_LEVELS[event]] if event in EVENT_LEVELS else _INFO


_RANKS = {event: _rank(event) for event in EDGE_EVENTS.values()}


class Observer:
    """Logs and counts. One instance serves all workers of a process."""

    def __init__(self) -> None:
        self.totals: Counter[tuple[str, str]] = Counter()  # (queue, edge): changes applied

    def event(self, name: str, **fields: Any) -> None:
        """Log one event; its level is looked up in `EVENT_LEVELS`. None fields are left out."""
        shown = {key: value for key, value in fields.items() if value is not None}
        own_event(_rank(name), name, shown)

    def started(self, claim: Claim, task: str) -> None:
        """A run begins."""
        if logs(_DEBUG):
            self.event("job.started", **job_fields(claim, task))

    def change(
        self, change: Change, claim: Claim, task: str, duration: float | None = None
    ) -> None:
        """A change was applied; `duration` is the run's, in seconds."""
        self.changes([(change, claim, task, duration)])

    def changes(self, applied: Iterable[Applied]) -> None:
        """A batch of changes was applied."""
        events = []
        for change, claim, task, duration in applied:
            self.totals[claim.queue, change.edge] += 1
            event = EDGE_EVENTS.get(change.edge)
            if event is not None:
                fields = _change_fields(change, claim, task, duration)
                events.append((_RANKS[event], event, fields))
        own_events(events)

    def about(self, claim: Claim, task: str, event: str, reason: str, **fields: Any) -> None:
        """Something befell a run: `job.lease_lost`, `job.cancelled` or `job.stuck`."""
        self.totals[claim.queue, event] += 1
        self.event(event, **job_fields(claim, task), reason=reason, **fields)


def _change_fields(
    change: Change, claim: Claim, task: str, duration: float | None
) -> dict[str, Any]:
    fields = job_fields(claim, task)
    if duration is not None:
        fields["duration_ms"] = round(duration * 1000, 3)
    if change.error:
        fields.update(_error_fields(decode_failure(change.error), change.edge))
    if change.edge == "retry":
        fields["retry_in"] = round(change.delay, 3)
    if change.edge == "park":
        fields["reason"] = f"no code here knows its task{REGISTRY.meant(task)}"
    return fields


def job_fields(claim: Claim, task: str) -> dict[str, Any]:
    """What names a run in the log."""
    return {
        "queue": claim.queue,
        "worker": claim.worker,
        "job_id": claim.id,
        "task": task,
        "attempt": claim.attempt,
    }


def _error_fields(failure: Failure | None, edge: str) -> dict[str, Any]:
    if failure is None:
        return {}
    fields = {"error": f"{failure.type}: {failure.message}"}
    if failure.traceback and edge == "fail":
        fields["traceback"] = failure.traceback
    return fields
