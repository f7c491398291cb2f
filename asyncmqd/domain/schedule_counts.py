"""What became of the instants of a schedule: the last that fired, and how many did not, and why."""

from __future__ import annotations

from collections.abc import Mapping
from enum import IntEnum
from typing import Any, Literal

import msgspec

Reason = Literal["late", "missed", "failed", "overlap", "paused"]
REASONS: tuple[Reason, ...] = ("late", "missed", "failed", "overlap", "paused")
"""Why an instant enqueues nothing.

late: it was missed for longer than `catch_up`; missed: `missed` leaves it out; failed: its job
cannot be stored; overlap: the schedule's last job had not ended; paused: the schedule was paused.
"""


class Fired(IntEnum):
    """What a store answers to an instant. False in a condition: nothing was changed."""

    NO = 0
    SKIPPED = 1  # the instant is done, and enqueued nothing
    YES = 2
    REPLACED = 3  # it enqueued its job, and cancelled the last one


class Passed(msgspec.Struct, frozen=True):
    """Instants that enqueue nothing, counted from what the store had at the last look."""

    last: float  # `ScheduleRecord.last` from which they were counted
    counts: Mapping[Reason, int]


class Tally(msgspec.Struct, frozen=True, omit_defaults=True):
    """What a store keeps about the instants of a schedule."""

    fired: float = 0.0  # the latest instant that enqueued a job; 0: none yet
    job: str = ""  # the id of that job
    before: str = ""  # and of the one, or the name of the ghost, that it had to wait for
    replaced: int = 0  # how many jobs were cancelled since a later instant had come
    skipped: float = 0.0  # the instant at which some were skipped last; 0: never
    reason: str = ""  # and why
    counts: dict[str, int] = {}  # instants that enqueued nothing, by reason

    def overlapped(self, instant: float, counts: Mapping[Reason, int]) -> Tally:
        """The tally once `instant` was skipped, as the last job had not ended."""
        return self.after(instant, None, {**counts, "overlap": 1})

    def after(
        self,
        instant: float,
        job: str | None,
        counts: Mapping[Reason, int],
        before: str = "",
        replaced: int = 0,
    ) -> Tally:
        """The tally once `instant` has enqueued `job`, or nothing, and `counts` were skipped.

        The job is held back until what is called `before` has ended, if there is one. It came in
        the place of so many.
        """
        fired: dict[str, Any] = {}
        if job is not None:
            fired = {"fired": instant, "job": job, "before": before}
            fired["replaced"] = self.replaced + replaced
        if not counts:
            return msgspec.structs.replace(self, **fired)
        known = self.counts
        added = {reason: known.get(reason, 0) + counts[reason] for reason in counts}
        *_, reason = counts
        return msgspec.structs.replace(
            self, skipped=instant, reason=reason, counts=known | added, **fired
        )
