"""What an instant does whose schedule has jobs that have not ended."""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal, NamedTuple

from asyncmqd.domain.keywords import Overlap
from asyncmqd.domain.states import State
from asyncmqd.domain.tally import Tally


class Step(NamedTuple):
    """start: it adds its job; skip: it adds none; hold: it adds one that waits for another."""

    what: Literal["start", "skip", "hold"]
    after: str = ""  # hold: the id of the one that has to end first


def at_overlap(overlap: Overlap, tally: Tally, state: Callable[[str], State | None]) -> Step:
    """What an instant does. `state` tells where a job is; None: it is gone.

    Of the last two jobs of a schedule both may be live: the last one is blocked then. If somebody
    cancels it, the one before it counts.
    """
    if overlap == "allow":
        return Step("start")
    for id in filter(None, (tally.job, tally.before)):
        known = state(id)
        if known is None or known.terminal:
            continue
        if overlap == "skip" or known is State.BLOCKED:  # one is held back already
            return Step("skip")
        return Step("hold", id)
    return Step("start")
