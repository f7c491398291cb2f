"""Standing duties: what has to go on for as long as a process serves.

Each duty is watched. One that ends unasked, by an error that nobody expected or by a cancellation
that is not ours, is logged with its stack, told by `status`, and begun again after a pause. One
that ends again and again needs a new process: the owner of the duties is told. A cancellation that
the task which began the duty has got, too, is no crash: `asyncio.run` cancels all tasks at its end.
"""

from __future__ import annotations

import asyncio
import contextlib
import threading
import weakref
from collections.abc import Callable, Coroutine
from typing import Any

from asyncmqd.domain import clock
from asyncmqd.domain.loop_tasks import begin
from asyncmqd.observe.observer import Observer

FIRST_PAUSE, LAST_PAUSE = 0.1, 10.0  # seconds before a duty that crashed begins again
STEADY = 60.0  # seconds after which a crash counts as the first again, and is told no more
HOPELESS = 7  # crashes, one soon after the other, after which only a new process may help

Work = Callable[[], Coroutine[Any, Any, None]]


class Duty:
    """One standing duty. `ended` is done once the work has returned, or `end` was called."""

    def __init__(
        self,
        name: str,
        work: Work,
        on_crash: Callable[[Duty, BaseException], None],
        first_pause: float,
    ) -> None:
        self.name = name
        self.crashes = 0  # one soon after the other
        self.error = ""  # of the last crash
        self.pause = 0.0  # seconds before it begins again, after the last crash
        self.ended: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._first_pause = first_pause
        self._work = work
        self._on_crash = on_crash
        self._loop = asyncio.get_running_loop()
        beginner = asyncio.current_task()
        # Weakly, or it would stay as long as we do.
        self._beginner = None if beginner is None else weakref.ref(beginner)
        self._crashed_at = -STEADY  # loop time
        self._anew = False
        self._ending = False
        self._task: asyncio.Task[None] | None = None
        self._rest: asyncio.TimerHandle | None = None
        self._begin()

    def renew(self) -> None:
        """End the present round early, and begin again at once."""
        if self._rest is not None:
            self._begin()
        elif self._task is not None:
            self._anew = True
            self._task.cancel()

    def end(self) -> asyncio.Future[None]:
        """Have it end; `ended`, to wait for."""
        self._ending = True
        if self._rest is not None:
            self._rest.cancel()
            self._settle()
        if self._task is not None:
            self._task.cancel()
        return self.ended

    @property
    def crashed_lately(self) -> bool:
        """Whether it crashed in the last minute."""
        return self._loop.time() - self._crashed_at < STEADY

    # ------------------------------------------------------------------ inside

    def _begin(self) -> None:
        if self._rest is not None:
            self._rest.cancel()
            self._rest = None
        self._task = begin(self._work(), name=self.name)
        # Not a `try` inside the task: one that is cancelled before its first step runs none of it.
        self._task.add_done_callback(self._done)

    def _done(self, task: asyncio.Task[None]) -> None:
        self._task = None
        error = _error_of(task)
        anew, self._anew = self._anew and task.cancelled(), False
        if error is None or (self._ending and task.cancelled()):
            self._settle()
        elif anew:
            self._begin()
        elif task.cancelled() and self._beginner_was_cancelled():
            # Until it calls `end`: a worker that drains still has leases to renew.
            self._rest = self._loop.call_later(self._first_pause, self._begin)
        else:
            self._crash(error)

    def _beginner_was_cancelled(self) -> bool:
        task = None if self._beginner is None else self._beginner()
        return task is not None and (task.cancelled() or task.cancelling() > 0)

    def _crash(self, error: BaseException) -> None:
        self.crashes = self.crashes + 1 if self.crashed_lately else 1
        self._crashed_at = self._loop.time()
        self.error = told(error)
        longest = max(LAST_PAUSE, self._first_pause)
        bound = min(longest, self._first_pause * 2.0 ** min(self.crashes - 1, 10))
        self.pause = bound * (0.5 + clock.draw() / 2)
        if self._ending:
            self._settle()
        else:
            self._rest = self._loop.call_later(self.pause, self._begin)
        self._on_crash(self, error)

    def _settle(self) -> None:
        if not self.ended.done():
            self.ended.set_result(None)


class Duties:
    """The standing duties of one process. `on_hopeless` is told the name of one, and the reason."""

    def __init__(self, observer: Observer) -> None:
        self.on_hopeless: Callable[[str, str], None] = lambda _name, _reason: None
        self._observer = observer
        self._duties: set[Duty] = set()

    def begin(
        self,
        name: str,
        work: Work,
        *,
        event: str = "duty.crashed",
        vital: bool = True,
        first_pause: float = FIRST_PAUSE,
        **fields: Any,
    ) -> Duty:
        """Do `work` from now on, until it returns or `Duty.end` is called.

        `event` tells of a crash, with `fields`. One that is not vital may crash for ever. It rests
        for `first_pause` seconds after the first crash, and for longer after each that follows.
        """

        def on_crash(duty: Duty, error: BaseException) -> None:
            pause = None if duty.ended.done() else round(duty.pause, 3)
            self._observer.event(
                event, **fields, error=duty.error, restart_in=pause, exc_info=error
            )
            if vital and duty.crashes >= HOPELESS:
                self.on_hopeless(name, f"{name} crashed {duty.crashes} times: {duty.error}")

        if event == "duty.crashed":
            fields["duty"] = name
        duty = Duty(name, work, on_crash, first_pause)
        self._duties.add(duty)
        duty.ended.add_done_callback(lambda _: self._duties.discard(duty))
        return duty

    @property
    def crashed(self) -> list[str]:
        """The duties that crashed in the last minute, with the error of each."""
        return sorted(f"{duty.name}: {duty.error}" for duty in self._duties if duty.crashed_lately)


class DutyGroup:
    """Some of the duties of a process, which end together."""

    def __init__(self, duties: Duties) -> None:
        self._duties = duties
        self._begun: list[Duty] = []

    def begin(self, name: str, work: Work) -> Duty:
        """See `Duties.begin`."""
        self._begun.append(self._duties.begin(name, work))
        return self._begun[-1]

    async def end(self) -> None:
        """Have all of them end, and wait for it."""
        await asyncio.wait([duty.end() for duty in self._begun])


async def in_thread(name: str, work: Callable[[threading.Event], None]) -> None:
    """Do `work` in a thread of its own, for as long as this coroutine runs.

    It is given an event that tells it to end. Raises what ends the thread before that.
    """
    loop, stopped = asyncio.get_running_loop(), threading.Event()
    ended: asyncio.Future[BaseException] = loop.create_future()

    def note(error: BaseException) -> None:
        if not ended.done():
            ended.set_result(error)

    def run() -> None:
        try:
            work(stopped)
            error: BaseException = RuntimeError("the thread ended by itself")
        except Exception as caught:  # noqa: BLE001 - raised where it is waited for
            error = caught
        except BaseException as caught:  # noqa: BLE001 - or it would end the event loop, too
            error = RuntimeError(f"the thread ended by {type(caught).__name__}")
        with contextlib.suppress(RuntimeError):  # the loop was closed
            loop.call_soon_threadsafe(note, error)

    try:
        threading.Thread(target=run, name=name, daemon=True).start()
        raise await ended
    finally:
        stopped.set()


def told(error: BaseException) -> str:
    """The error that counts, in one line: a group wraps what happened in one of its tasks."""
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    if isinstance(error, asyncio.CancelledError):
        return "it was cancelled by code that is not asyncmqd's"
    return f"{type(error).__name__}: {error}"


def _error_of(task: asyncio.Task[None]) -> BaseException | None:
    try:
        task.result()
    except BaseException as error:  # noqa: BLE001 - a cancellation included
        return error
    return None
