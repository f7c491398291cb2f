"""`SignUps`: what a claim loop knows of the jobs that are assigned to it when they are added."""

from __future__ import annotations

import asyncio

from asyncmqd.backends.base import Assigned
from asyncmqd.domain import clock
from asyncmqd.runtime.claiming import claim_decision
from asyncmqd.runtime.claiming.claim_decision import News

KEPT = 4  # sign-ups that a message may still answer: two polls may be under way
_DIGITS = 12  # hexadecimal, of a number
NEVER = float("-inf")


class SignUps:
    """The sign-ups of one loop, and how certain the messages are that came to them.

    Each has a number that nobody can guess, and that is good for one message. All others may be
    old, come twice, or be of somebody else: what they tell is looked for at the store.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._last = 0
        # Loop time at which each was sent, by its number; `NEVER` if that was before the last look.
        self._began: dict[int, float] = {}
        self._looked_at = NEVER  # loop time at which that look had its answer

    def next(self) -> int:
        """The number of one that is sent now."""
        self._last = int(clock.new_id()[:_DIGITS], 16) or 1
        self._began[self._last] = self._loop.time()
        if len(self._began) > KEPT:
            del self._began[next(iter(self._began))]
        return self._last

    def news(self, assigned: Assigned) -> News:
        """What a message tells: after an older one, the last may hold all the same."""
        is_last = assigned.sign_up == self._last
        return claim_decision.ASSIGN if is_last else claim_decision.WAKE

    def certain_since(self, assigned: Assigned) -> float:
        """Loop time before which the job was not claimed; minus infinity if nothing is certain,
        or it may have been found by a look at the store: nothing must be started twice.
        """
        began = self._began.get(assigned.sign_up)
        if began is None or (began == NEVER and assigned.since <= self._looked_at):
            return NEVER
        return max(assigned.since, began)

    def note_look(self) -> None:
        """The store has told what it holds: what was assigned before may be among that.

        The next sign-up may be sent at the same loop time: uvloop counts milliseconds.
        """
        self._looked_at = self._loop.time()
        self._began = dict.fromkeys(self._began, NEVER)

    def forget(self, assigned: Assigned) -> None:
        """It was the answer to its sign-up."""
        self._began.pop(assigned.sign_up, None)
