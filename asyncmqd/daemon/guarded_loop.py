"""The event loop of the daemon, and of every other process of ours: no job's code ends it.

`sys.exit()` in a task or a callback, KeyboardInterrupt too, leaves asyncio's loops by the way of
`run_forever`. In a program of its own that is right; here it would end all jobs of the process.
"""

from __future__ import annotations

import asyncio
import gc
from collections.abc import Coroutine
from typing import Any

from asyncmqd.daemon.started_programs import ProgramsLoop
from asyncmqd.daemon.task_owners import begin_task, owner_of, raiser_of, was_told
from asyncmqd.observe.log import running_job
from asyncmqd.observe.observer import Observer
from asyncmqd.runtime.forks import end_if_forked, keep_loop


def run_loop(work: Coroutine[Any, Any, int], observer: Observer) -> int:
    """Run it to its end in a loop of this process; its exit code."""
    _tame_collector()
    loop = _Loop()
    loop.set_task_factory(begin_task)
    asyncio.set_event_loop(loop)
    keep_loop(loop)
    main = loop.create_task(work)
    main.add_done_callback(loop.end)
    while not main.done():
        try:
            loop.run_forever()
        except BaseException as error:
            end_if_forked(error)
            if loop.is_closed():
                raise
            loop.call_soon(_judge_later, loop, _Escape(error, observer))
    return main.result()


class _Loop(ProgramsLoop):
    """A loop that only its owner stops."""

    def stop(self) -> None:
        """Raises RuntimeError, in the job that called it."""
        job = running_job.get()
        who = "code of the application" if job is None else f"job {job.fields['job_id']}"
        raise RuntimeError(f"loop.stop(): expected nobody to stop the worker's loop, got {who}")

    def end(self, _: object = None) -> None:
        """Stop it."""
        super().stop()


class _Escape:
    """An error that left the loop."""

    def __init__(self, error: BaseException, observer: Observer) -> None:
        self.error = error
        self._observer = observer

    def judge(self) -> None:
        """Who waits for the task has got the error by now, and it is his. Otherwise it ends the
        job that began the task; where there is none any more, the log tells.
        """
        task, job = raiser_of(self.error), None
        if task is not None:
            if was_told(task):
                return
            task.exception()  # or asyncio would tell of it, too
            job = owner_of(task)
            if job is not None and job.context.exit(self.error):
                return
        self._observer.event(
            "loop.interrupted",
            **({} if job is None else job.fields),
            error=f"{type(self.error).__name__}: {self.error}",
            exc_info=self.error,
        )


def _judge_later(loop: _Loop, escape: _Escape) -> None:
    """Whoever waits through `asyncio.wait` gets the error a turn later than others."""
    loop.call_soon(escape.judge)


def _tame_collector() -> None:
    """What is loaded by now stays until the end: the collector need not walk through it.

    Jobs make few cycles; with the default thresholds the collector takes a tenth of a busy loop.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(20_000, 20, 50)
