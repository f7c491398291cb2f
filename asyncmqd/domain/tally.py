"""What became of the instants of a schedule: the last that fired, and how many did not, and why."""

from __future__ import annotations

from collections.abc import Mapping
from enum import IntEnum
from typing import Literal

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


class Passed(msgspec.Struct, frozen=True):
    """Instants that enqueue nothing, counted from what the store had at the last look."""

    last: float  # `ScheduleRecord.last` from which they were counted
    counts: Mapping[Reason, int]


class Tally(msgspec.Struct, frozen=True, omit_defaults=True):
    """What a store keeps about the instants of a schedule."""

    fired: float = 0.0  # the latest instant that enqueued a job; 0: none yet
    job: str = ""  # the id of that job
    before: str = ""  # and of the one that it had to wait for, if it was held back
    skipped: float = 0.0  # the instant at which some were skipped last; 0: never
    reason: str = ""  # and why
    counts: dict[str, int] = {}  # instants that enqueued nothing, by reason

    def overlapped(self, instant: float, counts: Mapping[Reason, int]) -> Tally:
        """The tally once `instant` was skipped, as the last job had not ended."""
        return self.after(instant, None, {**counts, "overlap": 1})

    def after(
        self, instant: float, job: str | None, counts: Mapping[Reason, int], before: str = ""
    ) -> Tally:
        """The tally once `instant` has enqueued `job`, or nothing, and `counts` were skipped.

        The job is held back until the one called `before` has ended, if there is one.
        """
        fired = {} if job is None else {"fired": instant, "job": job, "before": before}
        if not counts:
            return msgspec.structs.replace(self, **fired)
        known = self.counts
        added = {reason: known.get(reason, 0) + counts[reason] for reason in counts}
        *_, reason = counts
        return msgspec.structs.replace(
            self, skipped=instant, reason=reason, counts=known | added, **fired
        )
