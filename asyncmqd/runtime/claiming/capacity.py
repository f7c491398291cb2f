"""`Capacity`: the slots and the tokens of its rate limit that a worker has for more jobs."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import NamedTuple

from asyncmqd.runtime.claiming.rate_limiter import RateLimiter
from asyncmqd.runtime.claiming.slots import Slots


class Reservation(NamedTuple):
    """Slots that are kept for what a round trip may bring, with a token for each."""

    number: int
    limiter: RateLimiter | None = None  # whose tokens: a reload may change it meanwhile


NOTHING = Reservation(0)


class Capacity:
    """Slots and tokens are taken together, before a claim, and given back if it brings less."""

    def __init__(self, slots: Slots, limiter: RateLimiter | None) -> None:
        self.slots = slots
        self.limiter = limiter  # may be exchanged at any time
        self._alarm: asyncio.TimerHandle | None = None

    @property
    def tokens(self) -> int | None:
        """How many tokens can be reserved now; None without a rate limit."""
        return None if self.limiter is None else self.limiter.available

    def reserve(self, limit: int) -> Reservation:
        """Take free slots, at most the share of one round trip, and a token for each."""
        number = self.slots.take(min(self.slots.share, limit))
        if self.limiter is None or not number:
            return Reservation(number, self.limiter)
        tokens = self.limiter.reserve(number)
        self.slots.give(number - tokens)
        return Reservation(tokens, self.limiter)

    def use(self, reserved: Reservation, started: int = 0, kept: int = 0) -> None:
        """Jobs that start now, jobs that keep their slot and token until they do; no more came."""
        unused = reserved.number - started - kept
        self.slots.give(unused)
        if reserved.limiter is not None:
            reserved.limiter.start(started)
            reserved.limiter.refund(unused)

    def call_when_available(self, callback: Callable[[], None]) -> None:
        """Call once when a slot or a token that is missing now may be free.

        A call that was asked for before is dropped.
        """
        if self._alarm is not None:
            self._forget_alarm()
        self.slots.call_when_free(callback)
        pause = 0.0 if self.limiter is None else self.limiter.wait_time()
        if 0 < pause < float("inf"):
            self._alarm = asyncio.get_running_loop().call_later(pause, callback)

    def call_no_more(self) -> None:
        """Forget the call: it would keep everything that it refers to in memory until then."""
        if self._alarm is not None:
            self._forget_alarm()

    def _forget_alarm(self) -> None:
        assert self._alarm is not None
        self._alarm.cancel()
        self._alarm = None

    def close(self) -> None:
        """The claim loop has ended, or has another capacity from now on."""
        self.call_no_more()
