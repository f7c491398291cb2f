"""`Rate`: how many tokens an interval brings, and `Filling`: what is in a bucket (GCRA).

A start takes the tokens that its job costs, one as a rule. What a bucket lacks is told by one
number, the theoretical arrival time: when it would be full again. One that is not above now says
nothing, and need not be kept. Times are microseconds of the store's clock.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import NamedTuple

import msgspec

_EPSILON = 1e-9  # tokens: what rounding may have taken from a whole one
_LONGEST = 1e17  # microseconds: a date that far away can still be written


class Filling(NamedTuple):
    """What a store keeps of a bucket."""

    arrival: float = 0.0
    # When a job was claimed that is dearer than the burst, so that it lacks more than that; or 0
    owes_since: float = 0.0


FULL = Filling()


class Rate(msgspec.Struct, frozen=True, kw_only=True):
    """At most `burst` tokens at once, and `starts` in each `interval` (microseconds) on average.

    No window of T microseconds has more than burst + starts * T / interval. A job that costs more
    than the burst starts when the bucket is full, and nothing starts after it until all is paid. 0
    allows nothing, ever.
    """

    starts: float
    interval: float
    burst: float

    @property
    def gap(self) -> float:
        """Microseconds from one token to the next, once the burst is used up."""
        return min(self.interval / self.starts, _LONGEST) if self.starts else math.inf

    def allowed(self, arrival: float, now: float, taken: int = 0) -> int:
        """How many tokens are there now, without those that are `taken` since.

        As many starts are allowed that cost one.
        """
        if not self.starts:
            return 0
        return max(0, math.floor(self._left(arrival, now) - taken + _EPSILON))

    def covered(self, arrival: float, now: float, costs: Iterable[int], taken: int = 0) -> int:
        """How many jobs of these costs may start now, one after the other."""
        if not self.starts:
            return 0
        left, number = self._left(arrival, now) - taken, 0
        for cost in costs:
            if left + _EPSILON < min(cost, self.burst):
                break
            left, number = left - cost, number + 1
        return number

    def _left(self, arrival: float, now: float) -> float:
        return self.burst - max(0.0, arrival - now) / self.gap

    def after(self, arrival: float, now: float, tokens: int) -> float:
        """The arrival time after so many tokens were taken."""
        return max(arrival, now) + tokens * self.gap if tokens else arrival

    def refunded(self, arrival: float, held: float, cost: int = 1) -> float:
        """The arrival time after a claim was handed back `held` microseconds after it was made.

        What came back by itself meanwhile stays out: the bucket may have been full without the
        claim, and nobody knows.
        """
        return arrival - max(0.0, cost * self.gap - max(0.0, held)) if self.starts else arrival

    def emptied(self, now: float) -> float:
        """The arrival time of a bucket of which nobody knows what was taken: it is empty."""
        return now + self.burst * self.gap if self.starts else 0.0

    def opens_in(self, arrival: float, now: float, cost: int = 1) -> float | None:
        """Microseconds until a job of this cost may start; None: never."""
        if not self.starts:
            return None
        return max(0.0, arrival - now - (self.burst - min(cost, self.burst)) * self.gap)

    def bounded(self, arrival: float, now: float) -> float:
        """No bucket is emptier than empty: after a jump of the clock, or under a new rate."""
        return min(arrival, self.emptied(now)) if self.starts else arrival
