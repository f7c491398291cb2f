"""The one observer. Every change of a job and every event of the daemon is reported to it.

Log lines and numbers come from its listeners and from nowhere else, so that they cannot disagree.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from asyncmqd.domain.change import Change
from asyncmqd.domain.job import Claim
from asyncmqd.observe.listeners import Ended, Kind, Listener, LogLines, job_fields
from asyncmqd.observe.log import set_level
from asyncmqd.observe.run_totals import Totals


class Observer:
    """Tells its listeners. One instance serves all workers of a process."""

    def __init__(self, listeners: Sequence[Listener] = (LogLines(),)) -> None:
        totals = Totals()
        self.totals = totals.by_edge
        self.take = totals.take
        self.begun_in = totals.begun.__getitem__
        self._connect((*listeners, totals))

    def _connect(self, listeners: tuple[Listener, ...]) -> None:
        self._listeners = listeners
        self._event = _heard(listeners, "event")
        self._started = _heard(listeners, "started")
        self.hears_starts = bool(self._started)
        self._changes = _heard(listeners, "changes")

    def add(self, listener: Listener) -> None:
        """Tell one more, from now on."""
        self._connect((*self._listeners, listener))

    def discard(self, listener: Listener) -> None:
        """Tell that one no more."""
        self._connect(tuple(each for each in self._listeners if each is not listener))

    def set_level(self, level: str) -> None:
        """Log from this level on, and tell those of starts who want to hear of them then."""
        set_level(level)
        self._connect(self._listeners)

    def event(self, name: str, **fields: Any) -> None:
        """Tell of one event. Fields that are None are left out."""
        shown = {key: value for key, value in fields.items() if value is not None}
        for tell in self._event:
            tell(name, shown)

    def started(self, claim: Claim, task: str) -> None:
        """A run begins. While nobody `hears_starts`, it is enough that `begun_in` its queue has it:
        a call for each job would cost as much as all else that is counted of it.
        """
        self.begun_in(claim.queue).append(claim)
        for tell in self._started:
            tell(claim, task)

    def change(
        self, change: Change, claim: Claim, task: str, duration: float | None = None
    ) -> None:
        """A change was applied; `duration` is the run's, in seconds."""
        self.changes({(claim.queue, change.edge, task): Ended([(change, claim, duration)])})

    def changes(self, applied: Mapping[Kind, Ended]) -> None:
        """A batch of changes was applied, of one worker."""
        for tell in self._changes:
            tell(applied)

    def about(self, claim: Claim, task: str, event: str, reason: str, **fields: Any) -> None:
        """Something happened to a run: `job.lease_lost`, `job.cancelled` or `job.stuck`."""
        self.event(event, **job_fields(claim, task), reason=reason, **fields)


def _heard(listeners: Sequence[Listener], verb: str) -> tuple[Callable[..., None], ...]:
    """The methods of those that want to hear of it: a run pays for no call that does nothing."""
    return tuple(getattr(each, verb) for each in listeners if each.hears(verb))
