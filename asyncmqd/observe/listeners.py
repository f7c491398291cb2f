"""`Listener`: what the observer can tell, and the one that logs it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec

from asyncmqd.domain.change import Change
from asyncmqd.domain.job import Claim, Failure
from asyncmqd.domain.settle import decode_failure
from asyncmqd.domain.tasks import REGISTRY
from asyncmqd.observe.event_names import EDGE_EVENTS, rank
from asyncmqd.observe.log import head, logs, own_event, own_events

Kind = tuple[str, str, str]
"""Of a change: the queue, the edge, and the name of the task."""
Applied = tuple[Change, Claim, float | None]
"""A change that a store has applied, the claim before it, the run's seconds."""


class Ended(list[Applied]):
    """Changes of one kind, in one batch of one worker."""

    _durations: list[float] | None = None

    @property
    def durations(self) -> list[float]:
        """Those of the runs that began, in seconds, the shortest first."""
        found = self._durations  # a `cached_property` would take a lock
        if found is None:
            found = [duration for _, _, duration in self if duration is not None]
            found.sort()
            self._durations = found
        return found


_RANKS = {event: rank(event) for event in ("job.started", *EDGE_EVENTS.values())}


class Listener:
    """A listener overrides the verbs that it wants to hear of; the others cost nothing.

    The observer calls it in the middle of the work, mostly in the event loop: it must neither wait
    nor raise.
    """

    def hears(self, verb: str) -> bool:
        """Whether it wants to hear of that now. It is asked again when the log's level changes."""
        return getattr(type(self), verb) is not getattr(Listener, verb)

    def event(self, name: str, fields: dict[str, Any]) -> None:
        """Something happened to the process, a queue or a run. No field is None."""

    def started(self, claim: Claim, task: str) -> None:
        """A run begins."""

    def changes(self, applied: Mapping[Kind, Ended]) -> None:
        """A store has applied these changes. Most of a batch are of one kind."""


class LogLines(Listener):
    """Logs each event and each change, at the level that `EVENT_LEVELS` has."""

    def event(self, name: str, fields: dict[str, Any]) -> None:
        """See `Listener`."""
        own_event(rank(name), name, fields)

    def hears(self, verb: str) -> bool:
        """Of starts only if they are logged: each job would pay for that."""
        return super().hears(verb) and (verb != "started" or logs(_RANKS["job.started"]))

    def started(self, claim: Claim, task: str) -> None:
        """See `Listener`."""
        self.event("job.started", job_fields(claim, task))

    def changes(self, applied: Mapping[Kind, Ended]) -> None:
        """See `Listener`."""
        for (queue, edge, task), runs in applied.items():
            event = EDGE_EVENTS.get(edge)
            if event is None or not logs(_RANKS[event]):
                continue
            events: list[dict[str, Any] | EndOfRun | EndOfRunWithKey]
            if edge == "succeed":
                events = [_end_of_run(claim, task, duration) for _, claim, duration in runs]
            else:
                events = [
                    _run_fields(claim, task, duration) | _more_fields(change, task)
                    for change, claim, duration in runs
                ]
            worker = runs[0][1].worker
            own_events(head(_RANKS[event], event) | {"queue": queue, "worker": worker}, events)


class EndOfRun(msgspec.Struct, omit_defaults=True, gc=False):
    """What a line about the end of a run has of its own. A dict of it would cost twice as much."""

    job_id: str
    task: str
    attempt: int
    duration_ms: float | None = None


class EndOfRunWithKey(msgspec.Struct, gc=False):
    """The same where the job has a key, and no trace."""

    job_id: str
    task: str
    attempt: int
    job_key: str
    duration_ms: float


def _end_of_run(
    claim: Claim, task: str, duration: float | None
) -> dict[str, Any] | EndOfRun | EndOfRunWithKey:
    labels = claim.labels
    if duration is None or (labels and (len(labels) > 1 or "job_key" not in labels)):
        return _run_fields(claim, task, duration)
    took = int(duration * 1e6 + 0.5) / 1e3  # `round` costs ten times as much
    if labels:
        return EndOfRunWithKey(claim.id, task, claim.failures + 1, labels["job_key"], took)
    return EndOfRun(claim.id, task, claim.failures + 1, took)


def _run_fields(claim: Claim, task: str, duration: float | None) -> dict[str, Any]:
    fields: dict[str, Any] = {"job_id": claim.id, "task": task, "attempt": claim.failures + 1}
    if claim.labels:
        fields |= claim.labels
    if duration is not None:
        fields["duration_ms"] = int(duration * 1e6 + 0.5) / 1e3
    return fields


def _more_fields(change: Change, task: str) -> dict[str, Any]:
    """Why it ended so."""
    fields: dict[str, Any] = {}
    if change.error:
        fields = _error_fields(decode_failure(change.error), change.edge)
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
