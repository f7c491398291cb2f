"""Plain functions in threads, so that they do not block the event loop."""

from __future__ import annotations

import asyncio
import contextvars
import queue
import threading
from collections.abc import Callable
from typing import Any, NamedTuple

from asyncmqd.runtime.claiming.start_shortage import CannotBegin
from asyncmqd.runtime.execution.run import Run
from asyncmqd.runtime.execution.stuck_threads import Overstays
from asyncmqd.runtime.forks import end_if_forked

_Call = tuple[
    Callable[[], Any], contextvars.Context, asyncio.Future[Any], asyncio.AbstractEventLoop, Run
]


class Thrown(NamedTuple):
    """What a function raised.

    A value, for futures refuse some errors, and one that keeps an error is kept in turn by the
    frames of the error's traceback.
    """

    error: BaseException


class Threads:
    """Daemon threads, one for each plain function that runs now; idle ones are used again.

    There is no queue before them, because a job is only claimed when its worker has a free slot. A
    `ThreadPoolExecutor` would do neither of two things: replace a thread whose function is stuck
    beyond its time, and let the process exit while such a function still runs.
    """

    def __init__(self, overstays: Overstays) -> None:
        self.idle: list[_Calls] = []
        self.overstays = overstays
        self.closed = False

    async def run(self, function: Callable[[], Any], run: Run) -> Any:
        """The function's result, or what it raised as `Thrown`.

        Raises CannotBegin. When cancelled, the thread goes on alone, for nobody.
        """
        thread = self._thread()
        loop = asyncio.get_running_loop()
        future: asyncio.Future[Any] = loop.create_future()
        thread.calls.put((function, contextvars.copy_context(), future, loop, run))
        try:
            return await future
        except asyncio.CancelledError:
            if future.cancelled():  # not if the function ends in this very moment
                self.overstays.begin(run)
            raise

    def _thread(self) -> _Calls:
        return self.idle.pop() if self.idle else _Thread(self)

    def close(self) -> None:
        """End the idle threads now, and each other one when its function returns."""
        self.closed = True
        while self.idle:
            self.idle.pop().calls.put(None)


class CallersThread(Threads):
    """The thread that calls `work` in place of them: what a function needs of it is there."""

    def __init__(self, overstays: Overstays) -> None:
        super().__init__(overstays)
        self._calls = _Calls(self)

    def work(self) -> None:
        """Make the calls, until `end`."""
        self._calls.work()

    def end(self) -> None:
        """Have `work` return; from any thread."""
        self._calls.calls.put(None)

    def _thread(self) -> _Calls:
        return self._calls

    def close(self) -> None:
        """A worker has ended; the thread is not its own."""


class _Calls:
    """Calls that one thread makes, one after the other."""

    def __init__(self, owner: Threads) -> None:
        self.calls: queue.SimpleQueue[_Call | None] = queue.SimpleQueue()  # None: end
        self._owner = owner

    def work(self) -> None:
        """Make them in this thread."""
        while (call := self.calls.get()) is not None:
            function, context, future, loop, run = call
            run.thread_id = threading.get_ident()
            try:
                value = context.run(function)
                end_if_forked()
            except BaseException as error:  # noqa: BLE001 - handed to the run, which judges it
                end_if_forked(error)
                value = Thrown(error)
            try:
                loop.call_soon_threadsafe(self._done, run, future, value)
            except RuntimeError:  # the loop was closed while the function ran
                return
            # Hold nothing of the job while waiting for the next.
            del call, function, context, future, loop, run, value

    def _done(self, run: Run, future: asyncio.Future[Any], value: Any) -> None:
        run.thread_id = None
        if self._owner.closed:
            self.calls.put(None)
        else:
            self._owner.idle.append(self)
        if future.done():  # its run was settled without it
            self._owner.overstays.end(run)
            return
        future.set_result(value)


class _Thread(_Calls):
    """The same with a thread of its own."""

    def __init__(self, owner: Threads) -> None:
        super().__init__(owner)
        try:
            threading.Thread(target=self.work, name="asyncmqd-job", daemon=True).start()
        except RuntimeError as error:
            raise CannotBegin(f"no thread could be started: {error}") from None
