"""`Declaring`: what one claim loop knows of the limits over all daemons, and declares of them."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from asyncmqd.backends.base import BaseBackend, Turn
from asyncmqd.domain import clock
from asyncmqd.domain.shared_limits import NO_LIMITS, DeclaredLimits, SharedLimits

SPREAD = 0.005  # seconds


class Declaring:
    """The limits of one queue over all daemons, as a worker sees them.

    `by` is the id of the process. Who never calls `declare` goes by what others declare. `wake` is
    called when time alone may have let more jobs start.
    """

    def __init__(self, queue: str, backend: BaseBackend, by: str, wake: Callable[[], None]) -> None:
        self.known: DeclaredLimits | None = None  # in force, by the store's last word
        self._queue = queue
        self._backend = backend
        self._by = by
        self._wake = wake
        self._pending: SharedLimits | None = None  # to be declared before anything is claimed
        self._unlimited = False  # ours are none, and those of an older declaration may be there
        self._alarm: asyncio.TimerHandle | None = None
        self._moment = 0.0  # of the alarm; uvloop does not tell it of one that is all but now

    def declare(self, limits: SharedLimits) -> None:
        """Have these hold, at a start or a reload; the store is told before the next claim.

        Having none is told only if a claim finds that there are some.
        """
        self._unlimited = limits == NO_LIMITS
        if not self._unlimited or self.known is not None:
            self._pending = limits

    def resume(self, limits: SharedLimits) -> None:
        """These were declared by a worker or a process that this one follows.

        A newer declaration stands. A store that has none takes these with the first claim.
        """
        if limits != NO_LIMITS:
            self.known = DeclaredLimits(since=0.0, by=self._by, limits=limits)

    @property
    def is_pending(self) -> bool:
        """Whether the store is to be told before anything is claimed."""
        return self._pending is not None

    async def tell(self) -> None:
        """Tell the store. Raises StoreError."""
        if (pending := self._pending) is not None:
            self.known = await self._backend.declare_limits(self._queue, pending, self._by)
            self._unlimited = False
            if self._pending is pending:  # no reload has come meanwhile
                self._pending = None

    def note(self, turn: Turn) -> None:
        """What a turn was judged by."""
        if turn.limits is None and self.known is None:
            self._unlimited = False
            return
        self.known = turn.limits or self.known
        if self._unlimited:
            self._unlimited = False
            if self.known is not None and self.known.limits != NO_LIMITS:
                self._pending = NO_LIMITS
                self._wake()
        if turn.opens_in is not None:
            self._call_in(max(0.0, turn.opens_in) + clock.draw() * self._spread)

    def _call_in(self, pause: float) -> None:
        """Call `wake` then, if not before: a reply of an earlier turn may come after a later."""
        loop = asyncio.get_running_loop()
        moment = loop.time() + pause
        if self._alarm is None or self._moment > moment:
            self.call_no_more()
            self._alarm, self._moment = loop.call_at(moment, self._call), moment

    def _call(self) -> None:
        self._alarm = None
        self._wake()

    @property
    def _spread(self) -> float:
        """All who wait for one moment come within so many seconds: more would slow a fast rate."""
        rate = None if self.known is None else self.known.limits.rate
        return SPREAD if rate is None else min(SPREAD, rate.gap / 1e6 / 20)

    def close(self) -> None:
        """The loop has ended: have it freed now, and not when the garbage collector runs."""
        self.call_no_more()
        self._wake = _nobody

    def call_no_more(self) -> None:
        """Forget the call of `wake`."""
        if self._alarm is not None:
            self._alarm.cancel()
            self._alarm = None


def _nobody() -> None:
    """Instead of a loop that has ended."""
