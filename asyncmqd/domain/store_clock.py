"""The store's clock may jump: NTP steps it, its host was suspended, another host takes over.

Its time is compared with a steady clock of ours at each answer that carries one. A jump proves
nothing about anybody: leases that ended by it get one renewal to say otherwise, and schedules go on
by the new time. What a schedule noted in a future that is none any more is not believed. A jump
back that was undone before we looked again shows only in the leases that were given meanwhile.
"""

from __future__ import annotations

import math

TOLERANCE = 10.0  # seconds: a smaller distance may be a slow answer or a clock that is corrected


class StoreClock:
    """What is known of the store's clock. All other times are of our steady clock, in seconds."""

    def __init__(self) -> None:
        self._least: float | None = None  # the store's time minus ours, at the last answer
        self._most = 0.0

    def note(self, now: float, asked: float, answered: float) -> float:
        """The store said `now` to a question; seconds by which its clock has jumped, most often 0.

        It read its clock at some moment between the two, so that only a larger distance counts.
        """
        least, most = now - answered, now - asked
        before, self._least = self._least, least
        most_before, self._most = self._most, most
        if before is None:
            return 0.0
        jumped = least - most_before > TOLERANCE or before - most > TOLERANCE
        return least - before if jumped else 0.0


class LeaseEnds:
    """When the first lease of a queue ends, from one look at the store to the next."""

    def __init__(self) -> None:
        self._earliest = -math.inf  # the store's time before which none ends that is given later

    def note(self, now: float, first: float | None) -> bool:
        """The store said `now`, and when the first lease ends; whether its clock was another since.

        What is given or renewed after a look ends after that look. A lease that ends before it, and
        before all that were there, was given by a clock that went back and has come again.
        """
        end = math.inf if first is None else first
        went_back = end < self._earliest
        self._earliest = min(now, end)
        return went_back


def believed(moment: float, now: float) -> float:
    """A moment that was noted earlier, as far as `now` lets it be: it cannot lie in the future."""
    return moment if moment <= now + TOLERANCE else now


def outlasts(end: float, now: float, longest: float) -> bool:
    """Whether a lease ends later than any that is given now, if none is longer than `longest`.

    After a jump it was given in a future that is none any more: a living holder would have renewed
    it since.
    """
    return end > now + longest + TOLERANCE
