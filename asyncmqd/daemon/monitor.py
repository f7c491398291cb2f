"""The hang detector: a thread that notices when the event loop stands still, and says who is at it.

The loop cannot tell that it is blocked, and the watchdog only ends the process; this tells which
job it is and where in its code, long before that.
"""

from __future__ import annotations

import asyncio
import re
import threading
from collections.abc import Callable, Iterable
from typing import Any

from asyncmqd.domain import clock
from asyncmqd.observe.events import Observer
from asyncmqd.observe.log import running_job
from asyncmqd.runtime.run import Run
from asyncmqd.runtime.stacks import stack_of_thread

EVERY = 0.5  # seconds between two looks
BLOCKED = 1.0  # seconds without a turn after which it is told, and told again at twice the time


class LoopMonitor:
    """Watches the event loop that starts it.

    `runs` gives the runs under way.
    """

    def __init__(self, observer: Observer, runs: Callable[[], Iterable[Run]]) -> None:
        self._observer = observer
        self._runs = runs
        self._stopped = threading.Event()
        self._turned = threading.Event()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._loop_thread = 0

    def start(self) -> None:
        """Watch the running loop, which must run in this thread, until `stop`."""
        self._loop = asyncio.get_running_loop()
        self._loop_thread = threading.get_ident()
        threading.Thread(target=self._watch, name="asyncmqd-monitor", daemon=True).start()

    def stop(self) -> None:
        """Watch no more."""
        self._stopped.set()
        self._turned.set()

    # ------------------------------------------------------------------ in the thread

    def _watch(self) -> None:
        assert self._loop is not None
        while not self._stopped.wait(EVERY):
            self._turned.clear()
            asked = clock.monotonic()
            try:
                self._loop.call_soon_threadsafe(self._turned.set)
            except RuntimeError:  # it was closed
                return
            if not self._turned.wait(BLOCKED):
                self._tell_until_it_turns(asked)

    def _tell_until_it_turns(self, since: float) -> None:
        pause = BLOCKED
        while not self._turned.is_set():
            self._tell("loop.blocked", since, **self._culprit(), stack=self._stack())
            self._turned.wait(pause)
            pause *= 2
        if not self._stopped.is_set():
            self._tell("loop.resumed", since)

    def _tell(self, event: str, since: float, **fields: Any) -> None:
        blocked = round((clock.monotonic() - since) * 1000)
        self._observer.event(event, blocked_ms=blocked, **fields)

    def _culprit(self) -> dict[str, Any]:
        """The fields of the job whose code holds the loop, as far as it can be told."""
        task = asyncio.current_task(self._loop)
        if task is None:
            return {}
        for run in list(self._runs()):
            if run.asyncio_task is task:
                return run.fields
        return _job_of(task)

    def _stack(self) -> list[str]:
        """Where the loop's thread is; of a job, without the way to its task function."""
        stack = stack_of_thread(self._loop_thread)
        calls = [at for at, line in enumerate(stack) if _CALL.search(line)]
        return stack[calls[-1] + 1 :] if calls else stack


_CALL = re.compile(r"/runtime/execute\.py:\d+ _call$")


def _job_of(task: asyncio.Task[Any]) -> dict[str, Any]:
    """The job that a task was begun for, by the context that it inherited."""
    get_context = getattr(task, "get_context", None)  # Python 3.12
    job = get_context().get(running_job) if get_context is not None else None
    return {} if job is None else dict(job.fields)
