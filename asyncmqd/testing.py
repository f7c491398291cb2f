"""Test an application's tasks without a daemon, without a server and without waiting.

```python
from asyncmqd import testing

async def test_a_reminder_follows_an_order():
    with testing.app() as app:
        await place_order.enqueue(17)          # enqueues a reminder for the day after
        ran = await app.run_dry()
        assert [run.task for run in ran] == ["shop.place_order", "shop.remind"]
```

Inside of the `with`, tasks and queues that name no store use one in memory, whose clock jumps to
the next due moment whenever nothing else is left to run. What is enqueued there is read back at
once: TypeError for an argument that does not fit its hint, NotSerialisable for one that would
arrive changed, and a UserWarning, with parameter and type, where no hint would bring it back.
"""

from __future__ import annotations

import asyncio
import contextvars
import copy
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any

import msgspec

from asyncmqd.backends.memory import InMemoryBackend
from asyncmqd.client import connection
from asyncmqd.client.job import Job, JobFailed
from asyncmqd.client.tasks import Task
from asyncmqd.domain import clock
from asyncmqd.domain.codec import decode
from asyncmqd.domain.hints.producer_check import WATCH
from asyncmqd.domain.job import Claim, Failure, Record
from asyncmqd.domain.queue_options import QueueOptions
from asyncmqd.domain.settle import decode_failure
from asyncmqd.domain.states import State
from asyncmqd.domain.tasks import REGISTRY, Registry, TaskDef
from asyncmqd.observe.observer import Observer
from asyncmqd.runtime.execution.thread_executor import CallersThread, Threads
from asyncmqd.runtime.handle_job import run_one
from asyncmqd.runtime.process.context import ProcessContext

__all__ = ["App", "Ran", "app", "unregister"]

_LEASE = 15.0  # seconds; it never ends, because the clock does not move while a job runs


class Ran(msgspec.Struct, frozen=True, kw_only=True):
    """One job that ended in `run_dry`, however many runs it took."""

    id: str
    queue: str
    task: str
    args: list[Any]
    kwargs: dict[str, Any]
    state: State  # completed, failed, expired or cancelled
    attempt: int  # the one that it ended in: 1 for the first run
    result: Any  # as JSON has it; None unless completed
    failure: Failure | None  # the last one, also of a job that completed in the end


class App:
    """An application's jobs on a virtual clock; `app()` makes one.

    Jobs run one after the other, best priority first. They use the options of their tasks, and not
    the retries, time limits and rates of queues.toml. Functions for child processes run in a thread
    here, so that fixtures and patches reach them. Only the store's clock jumps: the sleeps of a
    task, and its time limit, are real.
    """

    def __init__(self) -> None:
        self.now = clock.wall()  # the store's clock, in Unix seconds
        self.backend = InMemoryBackend(now=lambda: self.now)
        # No log between the lines of the tests: `Ran` says what became of a job.
        self._context = ProcessContext(
            self.backend, lease=_LEASE, registry=_InThreads(), observer=Observer([])
        )
        self._threads: Threads | None = None  # else those of each run

    def advance(self, seconds: float) -> None:
        """Let time pass, for a ttl or for a delayed job that has to run between others."""
        self.now += seconds

    async def run_dry(
        self, *queues: str, max_jobs: int = 1_000, raise_failures: bool = False
    ) -> list[Ran]:
        """Run the jobs of these queues (default: of all) until none is left.

        The answer has the jobs that ended, in that order. Delayed jobs and retries run too, because
        the clock jumps to them, and so do jobs that other jobs enqueue. A paused queue keeps its
        jobs.

        Raises JobFailed at the first job that failed, with `raise_failures`; RuntimeError when
        `max_jobs` runs were not enough, as for jobs that enqueue themselves for ever; LookupError
        for a job of a task that nobody imported.
        """
        ended: list[Ran] = []
        runs = 0
        while (claim := await self._next(queues)) is not None:
            if runs == max_jobs:
                raise RuntimeError(f"run_dry: jobs are left after max_jobs={max_jobs} runs")
            runs += 1
            record = await self._run(claim)
            if record is None or not record.state.terminal:
                continue
            if raise_failures and record.state is State.FAILED:
                raise JobFailed.of(record)
            ended.append(_ran(record, claim.attempt, self.backend))
        return ended

    def run_dry_sync(self, *queues: str, **options: Any) -> list[Ran]:
        """`run_dry` for tests without an event loop, which enqueue with `enqueue_sync`.

        Plain tasks run in the caller's thread, with its database connections and open transactions;
        async tasks in a loop in another one. Raises RuntimeError where a loop runs.
        """
        if _loop_runs():
            raise RuntimeError("run_dry_sync would block the loop here: await run_dry instead")
        thread = self._threads = CallersThread(self._context.overstays)
        with ThreadPoolExecutor(1, "asyncmqd-testing") as others:
            work = contextvars.copy_context().run
            ran = others.submit(work, asyncio.run, self.run_dry(*queues, **options))
            ran.add_done_callback(lambda _: thread.end())
            try:
                thread.work()
            finally:
                self._threads = None
        return ran.result()

    async def _next(self, queues: Sequence[str]) -> Claim | None:
        """The next job to run, whenever it is due; None when there is none."""
        while True:
            names = queues or await self.backend.queues()
            for queue in names:
                for claim in await self.backend.claim(queue, 1, _LEASE, self._context.presence.id):
                    return claim
            if not await self._promote_first(names):
                return None

    async def _promote_first(self, queues: Sequence[str]) -> bool:
        """Jump to the first delayed job's time; whether there is one."""
        outlooks = await self.backend.outlook(queues)
        moments = [each.next_due for each in outlooks.values() if each.next_due is not None]
        if not moments:
            return False
        self.now = max(self.now, min(moments))
        for queue in queues:
            await self.backend.move_due(queue)
        return True

    async def _run(self, claim: Claim) -> Record | None:
        await run_one(self._context, claim, QueueOptions(), self._threads)
        (record,) = await self.backend.get(claim.queue, [claim.id])
        if record is not None and record.place != record.state:
            task = Job.of(record, self.backend).task
            raise LookupError(f"job {claim.id}: no task is named {task!r} here; import its module")
        return record


def unregister(task: Task[..., Any] | str) -> None:
    """Remove a task that a test has declared, so that the next test may declare the same name.

    This is for tasks in fixtures and in the bodies of tests. Tasks of modules stay, because a
    module is imported only once. Raises LookupError if no task is registered by that name.
    """
    REGISTRY.remove(task if isinstance(task, str) else task.name)


class _InThreads(Registry):
    """The process's tasks, none of them for a child process: that would not see this store."""

    def get(self, name: str) -> TaskDef | None:
        task = REGISTRY.get(name)
        if task is None or task.options.executor != "process":
            return task
        task = copy.copy(task)
        task.options = msgspec.structs.replace(task.options, executor="thread")
        return task


def _loop_runs() -> bool:
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return False
    return True


def _ran(record: Record, attempt: int, backend: InMemoryBackend) -> Ran:
    job = Job.of(record, backend)
    return Ran(
        id=record.id,
        queue=record.queue,
        task=job.task,
        args=job.args,
        kwargs=job.kwargs,
        state=record.state,
        attempt=attempt,
        result=decode(record.result) if record.result else None,
        failure=decode_failure(record.error),
    )


@contextmanager
def app() -> Iterator[App]:
    """Give tasks and queues a store of their own until the end of the `with` block.

    Afterwards the former store is the default again. For pytest:

    ```python
    @pytest.fixture
    def jobs():
        with testing.app() as app:
            yield app
    ```
    """
    before = connection._default  # noqa: SLF001 - `connect` can set the default, not unset it
    watched, WATCH.on = WATCH.on, True
    running = App()
    connection.connect(running.backend)
    try:
        yield running
    finally:
        connection._default = before  # noqa: SLF001 - the same
        WATCH.on = watched
