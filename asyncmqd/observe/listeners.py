"""`Listener`: what the observer can tell, and the one that logs it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from asyncmqd.domain.change import Change
from asyncmqd.domain.job import Claim, Failure
from asyncmqd.domain.settle import decode_failure
from asyncmqd.domain.tasks import REGISTRY
from asyncmqd.observe.event_names import EDGE_EVENTS, rank
from asyncmqd.observe.log import LEVELS, head, logs, own_event, own_events

Applied = tuple[Change, Claim, str, float | None]
"""A change that a store has applied, the claim before it, the task's name, the run's seconds."""

_DEBUG = LEVELS["debug"]
_RANKS = {event: rank(event) for event in EDGE_EVENTS.values()}


class Listener:
    """A listener overrides the verbs that it wants to hear of; the others cost nothing.

    The observer calls it in the middle of the work, mostly in the event loop: it must neither wait
    nor raise.
    """

    def event(self, name: str, fields: dict[str, Any]) -> None:
        """Something happened to the process, a queue or a run. No field is None."""

    def started(self, claim: Claim, task: str) -> None:
        """A run begins."""

    def changes(self, applied: Sequence[Applied]) -> None:
        """A store has applied these changes."""


class LogLines(Listener):
    """Logs each event and each change, at the level that `EVENT_LEVELS` has."""

    def event(self, name: str, fields: dict[str, Any]) -> None:
        """See `Listener`."""
        own_event(rank(name), name, fields)

    def started(self, claim: Claim, task: str) -> None:
        """See `Listener`."""
        if logs(_DEBUG):
            self.event("job.started", job_fields(claim, task))

    def changes(self, applied: Sequence[Applied]) -> None:
        """See `Listener`."""
        heads: dict[str, dict[str, Any] | None] = {}  # by edge; None: it is not logged
        events = []
        for change, claim, task, duration in applied:
            try:
                known = heads[change.edge]
            except KeyError:
                known = heads[change.edge] = _head(change.edge)
            if known is not None:
                events.append(_event(known, change, claim, task, duration))
        own_events(events)


def _head(edge: str) -> dict[str, Any] | None:
    event = EDGE_EVENTS.get(edge)
    return head(_RANKS[event], event) if event is not None and logs(_RANKS[event]) else None


def _event(
    head: dict[str, Any], change: Change, claim: Claim, task: str, duration: float | None
) -> dict[str, Any]:
    # Not by `job_fields`: of two tables for each job, one would be thrown away.
    fields = {
        **head,
        "queue": claim.queue,
        "worker": claim.worker,
        "job_id": claim.id,
        "task": task,
        "attempt": claim.failures + 1,
    }
    if claim.labels:
        fields |= claim.labels
    if duration is not None:
        fields["duration_ms"] = int(duration * 1e6 + 0.5) / 1e3  # `round` costs ten times as much
    if change.error:
        fields.update(_error_fields(decode_failure(change.error), change.edge))
    if change.edge == "retry":
        fields["retry_in"] = round(change.delay, 3)
    if change.edge == "park":
        fields["reason"] = f"no code here knows its task{REGISTRY.meant(task)}"
    return fields


def job_fields(claim: Claim, task: str) -> dict[str, Any]:
    """What names a run in the log."""
    fields: dict[str, Any] = {
        "queue": claim.queue,
        "worker": claim.worker,
        "job_id": claim.id,
        "task": task,
        "attempt": claim.attempt,
    }
    if claim.labels:
        fields |= claim.labels
    return fields


def _error_fields(failure: Failure | None, edge: str) -> dict[str, Any]:
    if failure is None:
        return {}
    fields = {"error": f"{failure.type}: {failure.message}"}
    if failure.traceback and edge == "fail":
        fields["traceback"] = failure.traceback
    return fields
