"""Which of the instants that have come fire, and why the others do not. Pure."""

from __future__ import annotations

from typing import NamedTuple

from asyncmqd.domain.schedule import Repeatable, count_instants, latest_instants
from asyncmqd.domain.schedule_counts import Reason

PROMPT = 10.0  # seconds: an instant that fires so late was not missed
MOST_AT_ONCE = 1_000  # instants that `missed = "all"` makes up for


class Due(NamedTuple):
    """What is to be done about the instants that have come."""

    instants: list[float]  # those that fire, in order
    until: float  # the latest of all
    skipped: dict[Reason, int]  # the others, by reason


def due(repeatable: Repeatable, after: float, now: float) -> Due | None:
    """What becomes of the instants in (after, now]; None if there are none.

    What was missed for longer than `catch_up` is late. Of the others "all" fires the newest
    thousand, "once" the latest, and "skip" the latest if it was not missed.
    """
    patience = max(repeatable.catch_up, PROMPT)
    latest = latest_instants(
        repeatable, after, now, MOST_AT_ONCE if repeatable.missed == "all" else 1
    )
    if not latest:
        return None
    edge = max(after, now - patience)
    first = edge if repeatable.missed != "skip" else max(after, now - PROMPT)
    fires = [each for each in latest if each > first]
    skipped: dict[Reason, int] = {}
    if late := count_instants(repeatable, after, edge):
        skipped["late"] = late
    until = fires[0] if fires else latest[-1]
    if missed := count_instants(repeatable, edge, until) - bool(fires):
        skipped["missed"] = missed
    return Due(fires, latest[-1], skipped)
