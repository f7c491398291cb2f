"""Plain functions that go on in their threads though their runs were settled without them.

A thread cannot be stopped. Its slot is free, its result is refused, and what is left to do is to
say so, and to count: a process that gathers such threads has to end some day.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from asyncmqd.observe.observer import Observer
from asyncmqd.runtime.execution.call_stacks import stack_of
from asyncmqd.runtime.execution.run import Run

FIRST_PAUSE, LAST_PAUSE = 1.0, 3_600.0  # seconds between two log lines on the same function


class Overstays:
    """Those of one process, by their runs. Use it in the event loop only."""

    def __init__(self, observer: Observer) -> None:
        self.on_more: Callable[[int], None] = lambda _: None  # told how many there are now
        self._observer = observer
        self._timers: dict[Run, asyncio.TimerHandle] = {}
        self._then: dict[Run, Callable[[Run], None]] = {}

    def __len__(self) -> int:
        return len(self._timers)

    def begin(self, run: Run) -> None:
        """The run ends and its function does not."""
        self._tell(run, FIRST_PAUSE)
        self.on_more(len(self))

    def end(self, run: Run) -> None:
        """The function has returned after all."""
        timer, then = self._timers.pop(run, None), self._then.pop(run, None)
        if timer is not None:
            timer.cancel()
        if then is not None:
            then(run)

    def goes_on(self, run: Run) -> bool:
        """Whether its function has not returned, though the run has ended."""
        return run in self._timers

    def then(self, run: Run, action: Callable[[Run], None]) -> None:
        """Do this once its function has returned."""
        self._then[run] = action

    def close(self) -> None:
        """Say no more of any."""
        self._then.clear()
        for run in list(self._timers):
            self.end(run)

    def _tell(self, run: Run, pause: float) -> None:
        """Log where it is; again after `pause` seconds, and then at ever greater intervals."""
        loop = asyncio.get_running_loop()
        self._observer.about(
            run.claim,
            run.task_name,
            "job.stuck",
            run.stop_reason or "cancelled",
            running_ms=round((loop.time() - run.started) * 1000),
            stack=stack_of(run),
        )
        later = min(pause * 2, LAST_PAUSE)
        self._timers[run] = loop.call_later(pause, self._tell, run, later)
