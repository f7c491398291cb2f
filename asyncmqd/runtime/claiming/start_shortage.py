"""`Brake`: a worker claims less while this host gives it no more threads or processes."""

from __future__ import annotations

import asyncio
from collections.abc import Sized

from asyncmqd.observe.observer import Observer

PAUSE = 2.0  # seconds before more jobs are tried


class CannotBegin(Exception):
    """There was no thread or process for a run. Its task has not been called."""


class Brake:
    """Lets as many jobs run as there were when one could not begin, and twice as many after each
    pause, until all slots are in use again or the next one cannot begin.

    `running` are the jobs that run; `wakeup` is set when more may be claimed. It has no
    reference to its claim loop: in a cycle both would stay until the garbage collector runs.
    """

    def __init__(
        self, queue: str, observer: Observer, running: Sized, slots: int, wakeup: asyncio.Event
    ) -> None:
        self.reason = ""  # why it holds back; empty if it does not
        self.slots = slots  # jobs that may run at once otherwise
        self._queue = queue
        self._observer = observer
        self._running = running
        self._wakeup = wakeup
        self._limit = 0  # jobs, while there is a reason
        self._timer: asyncio.TimerHandle | None = None

    @property
    def left(self) -> int | None:
        """How many more jobs may be claimed; None: as many as there are slots."""
        return max(0, self._limit - len(self._running)) if self.reason else None

    def press(self, error: CannotBegin) -> None:
        """A run could not begin, and is still counted among those that run."""
        self._limit = max(0, len(self._running) - 1)
        if not self.reason:
            self._tell("queue.held_back", running=self._limit, error=str(error))
        self.reason = str(error)
        if self._timer is None:
            self._wait()

    def close(self) -> None:
        """Try no more."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _wait(self) -> None:
        self._timer = asyncio.get_running_loop().call_later(PAUSE, self._ease)

    def _ease(self) -> None:
        self._timer = None
        if self._limit >= self.slots:
            self.reason = ""
            self._tell("queue.recovered")
        else:
            self._limit = max(1, 2 * self._limit)
            self._wait()
        self._wakeup.set()

    def _tell(self, event: str, **fields: object) -> None:
        self._observer.event(event, queue=self._queue, **fields)
