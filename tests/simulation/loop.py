"""The event loop of one simulated process, which runs only when the world lets it.

One loop for each process, rather than one for all, makes SIGSTOP and SIGKILL what they are: a loop
that is not turned for a while, whose timers then fire late and all at once, and one that is never
turned again, so that no `finally` of its runs. Cancelling its tasks would be neither.
"""

from __future__ import annotations

import asyncio
import heapq
import itertools
import math
import random
from asyncio import events
from collections.abc import Callable
from contextlib import suppress
from typing import Any

_TICK = 1e-7  # seconds that a timer is late, lest rounding make it early: time would stand still


class SimTask(asyncio.Task[Any]):
    """A task whose hash does not depend on its address: sets of tasks have the same order again."""

    def __init__(self, *args: Any, number: int, **kwargs: Any) -> None:
        self._number = number
        super().__init__(*args, **kwargs)

    def __hash__(self) -> int:
        return self._number


class SimLoop(asyncio.BaseEventLoop):
    """A loop without sockets and threads, on a monotonic clock of its own.

    `now` is the world's clock, `offset` and `rate` what this clock makes of it. What is ready at
    one moment runs in an order drawn from `rng`.
    """

    def __init__(
        self,
        now: Callable[[], float],
        rng: random.Random,
        offset: float = 0.0,
        rate: float = 1.0,
    ) -> None:
        super().__init__()
        self._now = now
        self._rng = rng
        self._offset, self._rate = offset, rate
        self._numbers = itertools.count()
        self._living: list[asyncio.Task[Any]] = []
        self._paused_until = 0.0  # on the world's clock
        self.turns = 0
        self.dead = False
        self.owner: Any = None  # the process that it belongs to
        self.errors: list[str] = []  # what nobody handled
        self.set_task_factory(self._make_task)

    @staticmethod
    def running() -> SimLoop:
        """The loop that is being turned."""
        loop = asyncio.get_running_loop()
        assert isinstance(loop, SimLoop)
        return loop

    def time(self) -> float:
        return self._offset + self._rate * self._now()

    def _make_task(self, loop: Any, coro: Any, context: Any = None) -> asyncio.Task[Any]:
        return SimTask(coro, loop=self, context=context, number=next(self._numbers))

    def _write_to_self(self) -> None:
        """Nothing to interrupt: the world looks at what is ready."""

    def run_in_executor(self, executor: Any, func: Any, *args: Any) -> Any:
        raise RuntimeError("threads are not simulated")

    def call_exception_handler(self, context: dict[str, Any]) -> None:
        self.errors.append(f"{context.get('message')}: {context.get('exception')!r}")

    # ------------------------------------------------------------------ turned by the world

    def next_moment(self) -> float:
        """When it has something to do, on the world's clock; infinity if never by itself."""
        if self._ready:
            return self._paused_until
        timers = self._scheduled
        while timers and timers[0]._cancelled:
            heapq.heappop(timers)._scheduled = False
        if not timers:
            return math.inf
        due = (timers[0]._when - self._offset) / self._rate + _TICK
        return max(self._paused_until, due)

    def turn(self) -> None:
        """Run once what is ready now, as `run_forever` would, in a drawn order."""
        timers, handles = self._scheduled, list(self._ready)
        self._ready.clear()
        end = self.time() if timers else 0.0
        while timers and timers[0]._when <= end:
            handle = heapq.heappop(timers)
            handle._scheduled = False
            handles.append(handle)
        if len(handles) > 1:
            self._rng.shuffle(handles)
        self.turns += 1
        events._set_running_loop(self)
        try:
            for handle in handles:
                if self.dead:  # one of them killed the process
                    return
                if not handle._cancelled:
                    handle._run()
        finally:
            events._set_running_loop(None)

    def pause(self, seconds: float) -> None:
        """SIGSTOP, and SIGCONT so many seconds later."""
        self._paused_until = max(self._paused_until, self._now() + seconds)

    def kill(self) -> None:
        """SIGKILL: nothing of it ever runs again."""
        self.dead = True
        self._living = list(asyncio.all_tasks(self))  # or a collected one would run its `finally`

    @property
    def leftovers(self) -> list[str]:
        """What is still to do: for a process that has ended in good order, nothing."""
        timers = [repr(handle) for handle in self._scheduled if not handle._cancelled]
        return [repr(task) for task in asyncio.all_tasks(self)] + timers

    def dispose(self) -> None:
        """Let go of everything, after the last look at the world."""
        events._set_running_loop(self)
        try:
            for task in {*asyncio.all_tasks(self), *self._living}:
                task._log_destroy_pending = False  # type: ignore[attr-defined]
                _close(task.get_coro())
        finally:
            events._set_running_loop(None)
        self.close()


def _close(coroutine: Any) -> None:
    for _ in range(10):  # each `await` in a `finally` refuses once
        with suppress(Exception, asyncio.CancelledError):
            coroutine.close()
            return
