"""`Listener`: what the observer can tell, and the one that logs it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from asyncmqd.domain.change import Change
from asyncmqd.domain.job import Claim, Failure
from asyncmqd.domain.settle import decode_failure
from asyncmqd.domain.tasks import REGISTRY
from asyncmqd.observe.event_names import EDGE_EVENTS, rank
from asyncmqd.observe.log import LEVELS, logs, own_event, own_events

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
        own_events(
            [
                (_RANKS[event], event, _change_fields(change, claim, task, duration))
                for change, claim, task, duration in applied
                if (event := EDGE_EVENTS.get(change.edge)) is not None
            ]
        )


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
