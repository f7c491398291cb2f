"""Plain functions in threads, so that they do not block the event loop."""

from __future__ import annotations

import asyncio
import contextvars
import queue
import threading
from collections.abc import Callable
from typing import Any

from asyncmqd.runtime.run import Run

_Call = tuple[
    Callable[[], Any], contextvars.Context, asyncio.Future[Any], asyncio.AbstractEventLoop, Run
]


class Threads:
    """Daemon threads, one for each plain function that runs now; idle ones are used again.

    There is no queue before them, for a job is only claimed when its worker has a free slot. A
    `ThreadPoolExecutor` would do neither of two things: replace a thread whose function overstays
    its time, and let the process exit while such a function still runs.
    """

    def __init__(self) -> None:
        self._idle: list[_Thread] = []

    async def run(self, function: Callable[[], Any], run: Run) -> Any:
        """The function's result. When cancelled, the thread goes on alone, for nobody."""
        thread = self._idle.pop() if self._idle else _Thread(self._idle)
        loop = asyncio.get_running_loop()
        future: asyncio.Future[Any] = loop.create_future()
        thread.calls.put((function, contextvars.copy_context(), future, loop, run))
        return await future


class _Thread:
    """One thread that makes one call after the other."""

    def __init__(self, idle: list[_Thread]) -> None:
        self.calls: queue.SimpleQueue[_Call] = queue.SimpleQueue()
        self._idle = idle
        threading.Thread(target=self._work, name="asyncmqd-job", daemon=True).start()

    def _work(self) -> None:
        while True:
            function, context, future, loop, run = self.calls.get()
            run.thread_id = threading.get_ident()
            try:
                value, error = context.run(function), None
            except BaseException as raised:  # noqa: BLE001 - handed to the run, which judges it
                value, error = None, raised
            try:
                loop.call_soon_threadsafe(self._done, future, value, error)
            except RuntimeError:  # the loop was closed while the function ran
                return
            # Hold nothing of the job while waiting for the next.
            del function, context, future, loop, run, value, error

    def _done(self, future: asyncio.Future[Any], value: Any, error: BaseException | None) -> None:
        self._idle.append(self)
        if future.done():
            return
        if error is None:
            future.set_result(value)
        elif isinstance(error, StopIteration):  # a future refuses this one
            future.set_exception(RuntimeError("the task raised StopIteration"))
        else:
            future.set_exception(error)
