"""`Rate`: how many starts an interval allows, judged by one number (GCRA).

That number is the theoretical arrival time: when the bucket would be full again. One that is not
above now says nothing, and need not be kept. Times are microseconds of the store's clock.
"""

from __future__ import annotations

import math

import msgspec

_EPSILON = 1e-9  # starts: what rounding may have taken from a whole one
_LONGEST = 1e17  # microseconds: a date that far away can still be written


class Rate(msgspec.Struct, frozen=True, kw_only=True):
    """At most `burst` starts at once, and `starts` in each `interval` (microseconds) on average.

    No window of T microseconds has more than burst + starts * T / interval. 0 allows none, ever.
    """

    starts: float
    interval: float
    burst: float

    @property
    def gap(self) -> float:
        """Microseconds from one start to the next, once the burst is used up."""
        return min(self.interval / self.starts, _LONGEST) if self.starts else math.inf

    def allowed(self, arrival: float, now: float) -> int:
        """How many starts are allowed now."""
        if not self.starts:
            return 0
        used = max(0.0, self.bounded(arrival, now) - now) / self.gap
        return max(0, math.floor(self.burst - used + _EPSILON))

    def after(self, arrival: float, now: float, number: int) -> float:
        """The arrival time after so many starts, of which all were allowed.

        To be written for 0 of them, too: else a clock that was set back would keep the bucket empty
        until it is there again.
        """
        arrival = self.bounded(arrival, now)
        return max(arrival, now) + number * self.gap if number else arrival

    def refunded(self, arrival: float, held: float) -> float:
        """The arrival time after a claim was handed back `held` microseconds after it was made.

        What came back by itself meanwhile stays out: the bucket may have been full without the
        claim, and nobody knows.
        """
        return arrival - max(0.0, self.gap - max(0.0, held)) if self.starts else arrival

    def emptied(self, now: float) -> float:
        """The arrival time of a bucket of which nobody knows what was taken: it is empty."""
        return now + self.burst * self.gap if self.starts else 0.0

    def opens_in(self, arrival: float, now: float) -> float | None:
        """Microseconds until one start is allowed; None: never."""
        if not self.starts:
            return None
        missing = self.bounded(arrival, now) - now - (self.burst - 1) * self.gap
        return max(0.0, missing)

    def bounded(self, arrival: float, now: float) -> float:
        """No bucket is emptier than empty: after a jump of the clock, or under a new rate."""
        return min(arrival, self.emptied(now)) if self.starts else arrival
