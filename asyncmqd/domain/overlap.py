"""What an instant does whose schedule has jobs that have not ended."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Literal, NamedTuple

from asyncmqd.domain.schedule_counts import Tally
from asyncmqd.domain.states import State
from asyncmqd.domain.typed_keywords import Overlap


class Step(NamedTuple):
    """start: it adds its job; skip: it adds none; hold: it adds one that waits for another."""

    what: Literal["start", "skip", "hold"]
    after: str = ""  # hold: the id of the one that has to end first, or the name of a ghost
    # These are cancelled first, in this order. If one was active, the new job waits for its ghost.
    cancels: tuple[str, ...] = ()


def at_overlap(overlap: Overlap, tally: Tally, state: Callable[[str], State | None]) -> Step:
    """What an instant does. `state` tells where a job is; None: it is gone.

    Of the last two jobs of a schedule both may be live: the last one is blocked then. If somebody
    cancels it, the one before it counts. In the place of the latter there may be a ghost, which is
    active as long as jobs have to wait for it.
    """
    if overlap == "allow":
        return Step("start")
    cancels: tuple[str, ...] = ()
    for id in filter(None, (tally.job, tally.before)):
        known = state(id)
        if known is None or known.terminal:
            continue
        is_held = known is State.BLOCKED
        if overlap == "skip" or (overlap == "queue" and is_held):  # one is held back already
            return Step("skip")
        if overlap == "queue" or job_of_ghost(id) is not None:
            return Step("hold", id, cancels)
        cancels = (*cancels, id)
        if not is_held:
            break
    return Step("start", "", cancels)


def ghost_name(id: str, token: int) -> str:
    """What a blocked job waits for where the code of a job has to end, and not only the job."""
    return f"{token} {id}"  # no id has a blank


_GHOST = re.compile(r"[0-9]+ (.+)", re.DOTALL)


def job_of_ghost(name: str) -> str | None:
    """The id of the job whose code it is; None if that is the name of no ghost."""
    found = _GHOST.fullmatch(name)
    return None if found is None else found[1]
