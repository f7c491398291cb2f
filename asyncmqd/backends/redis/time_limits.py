"""The time limit of calls: all of a link may take as long, so that one timer does for all of them.

`asyncio.timeout` makes and cancels a timer for each call: a sixth of what one enqueue costs.
"""

from __future__ import annotations

import asyncio
from types import TracebackType

_EARLY = 0.001  # seconds by which a timer may come too soon


class TimeLimits:
    """The calls that are under way, and when each has to end."""

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self._ends: dict[Limited, float] = {}  # loop times, the first to end comes first
        self._timer: asyncio.TimerHandle | None = None

    def begin(self, call: Limited) -> None:
        """Count from now on."""
        loop = asyncio.get_running_loop()
        self._ends[call] = loop.time() + self._seconds
        if self._timer is None:
            self._timer = loop.call_later(self._seconds, self._expire)

    def end(self, call: Limited) -> None:
        """It is over."""
        del self._ends[call]

    def close(self) -> None:
        """Have no timer any more, unless calls are under way."""
        if self._timer is not None and not self._ends:
            self._timer.cancel()
            self._timer = None

    def _expire(self) -> None:
        loop = asyncio.get_running_loop()
        over = loop.time() + _EARLY
        for call, end in [*self._ends.items()]:
            if end > over:
                self._timer = loop.call_at(end, self._expire)
                return
            call.expire()
        self._timer = None


class Limited:
    """A call with a time limit: `with` it, whose block raises TimeoutError once that is over."""

    def __init__(self, limits: TimeLimits) -> None:
        self._limits = limits
        self._task: asyncio.Task[object] | None = None
        self._cancelling = 0  # of the task, by others
        self.has_expired = False

    def __enter__(self) -> None:
        self._task = asyncio.current_task()
        assert self._task is not None, "expected to run in a task"
        self._cancelling = self._task.cancelling()
        self._limits.begin(self)

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._limits.end(self)
        task, self._task = self._task, None
        if self.has_expired and task is not None:
            cancelled = task.uncancel() > self._cancelling  # by somebody else as well
            if kind is asyncio.CancelledError and not cancelled:
                raise TimeoutError from error

    def expire(self) -> None:
        """End it now."""
        if self._task is not None and not self.has_expired:
            self.has_expired = True
            self._task.cancel()
