"""The hang detector: a thread that notices when the event loop is blocked, and says by which job.

The loop cannot tell that it is blocked, and the watchdog only ends the process; this tells which
job it is and where in its code, long before that.
"""

from __future__ import annotations

import asyncio
import re
import threading
from collections.abc import Callable, Iterable
from typing import Any

from asyncmqd.daemon.task_owners import owner_of
from asyncmqd.domain import clock
from asyncmqd.observe.observer import Observer
from asyncmqd.runtime.duties import in_thread
from asyncmqd.runtime.execution.call_stacks import stack_of_thread
from asyncmqd.runtime.execution.run import Run

EVERY = 0.5  # seconds between two looks
KEPT = 60.0  # seconds for which the longest wait is told, at least; twice that at most
BLOCKED = 1.0  # seconds without a turn after which it is told, and told again at twice the time


class LoopMonitor:
    """Watches the event loop that starts it.

    `runs` gives the runs under way.
    """

    def __init__(self, observer: Observer, runs: Callable[[], Iterable[Run]]) -> None:
        self._observer = observer
        self._runs = runs
        self._turned = threading.Event()
        # Seconds: the longest wait for a turn since `_lag_since`, and in the time before.
        self._lag = self._lag_before = 0.0
        self._lag_since = clock.monotonic()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._loop_thread = 0

    async def run(self) -> None:
        """Watch the running loop, which must run in this thread, until cancelled."""
        self._loop = asyncio.get_running_loop()
        self._loop_thread = threading.get_ident()
        try:
            await in_thread("asyncmqd-monitor", self._watch)
        finally:
            self._turned.set()

    @property
    def lag(self) -> float:
        """The longest that the loop kept a call waiting lately, in seconds.

        Who asks takes nothing away: a second Prometheus has the same, and so has the next scrape,
        after one that came in vain while the loop was blocked.
        """
        return max(self._lag, self._lag_before)

    def _note_lag(self, lag: float) -> None:
        now = clock.monotonic()
        if now - self._lag_since > KEPT:
            self._lag_before, self._lag, self._lag_since = self._lag, 0.0, now
        self._lag = max(self._lag, lag)

    # ------------------------------------------------------------------ in the thread

    def _watch(self, stopped: threading.Event) -> None:
        assert self._loop is not None
        while not stopped.wait(EVERY):
            self._turned.clear()
            asked = clock.monotonic()
            self._loop.call_soon_threadsafe(self._turned.set)
            if not self._turned.wait(BLOCKED):
                self._tell_until_it_turns(asked, stopped)
            self._note_lag(clock.monotonic() - asked)

    def _tell_until_it_turns(self, since: float, stopped: threading.Event) -> None:
        pause = BLOCKED
        while not self._turned.is_set():
            self._tell("loop.blocked", since, **self._culprit(), stack=self._stack())
            self._turned.wait(pause)
            pause *= 2
        if not stopped.is_set():
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
        job = owner_of(task)
        return {} if job is None else dict(job.fields)

    def _stack(self) -> list[str]:
        """Where the loop's thread is, without the way to the job's code or at least to the loop."""
        stack = stack_of_thread(self._loop_thread)
        calls = [at for at, line in enumerate(stack) if _CALL.search(line)]
        return stack[calls[-1] + 1 :] if calls else stack


# Where our code calls the job's, and where the process enters the loop.
_CALL = re.compile(
    r"/execution/execute_job\.py:\d+ _call(_in_time)?$|/daemon/guarded_loop\.py:\d+ run_loop$"
)
