"""A run inside of what the application has put around it (`@around_run`)."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any, Literal

from asyncmqd.domain.job import JobSpec
from asyncmqd.domain.middleware import AROUND_RUN
from asyncmqd.domain.tasks import is_awaitable
from asyncmqd.runtime.execution.thread_executor import Thrown
from asyncmqd.runtime.forks import end_if_forked
from asyncmqd.runtime.job_context import JobContext

RunOutcome = Literal["returned", "raised", "cancelled", "timed out"]


class JobRun:
    """One run of a job, as what is around it sees it."""

    __slots__ = ("_why_stopped", "args", "headers", "job", "kwargs", "outcome", "result")

    def __init__(
        self,
        job: JobContext,
        spec: JobSpec,
        args: list[Any],
        kwargs: dict[str, Any],
        why_stopped: Callable[[], str | None] = lambda: None,
    ) -> None:
        self.job = job  # what `current_job()` returns: id, queue, task, attempt, deadline, log
        self.args = tuple(args)  # as the task gets them
        self.kwargs = dict(kwargs)
        self.headers = spec.headers or {}  # what `@around_enqueue` gave the job on its way
        self.outcome: RunOutcome | None = None  # None until the task has ended
        self.result: Any = None  # what it returned
        self._why_stopped = why_stopped

    def call(self, task: Callable[[], Any]) -> Any:
        """Run a plain task in this thread, inside of the plain functions."""
        with AROUND_RUN.plain(self):
            try:
                value = task()
                end_if_forked()
            except BaseException as error:
                end_if_forked(error)
                self._end(error)
                raise
            self._end(None, value)
        return value

    async def call_async(self, task: Callable[[], Awaitable[Any]]) -> Any:
        """Run an async task inside of all functions."""
        async with AROUND_RUN.inside(self, "plain", "async"):
            return await self._await(task())

    async def call_elsewhere(self, start: Callable[[], Awaitable[Any]]) -> Any:
        """Run what `start` has another thread `call`, inside of the async functions."""
        async with AROUND_RUN.inside(self, "async"):
            return await self._await(start())

    async def _await(self, value: Any) -> Any:
        try:
            while is_awaitable(value):
                value = await value
                end_if_forked()
            if isinstance(value, Thrown):
                raise value.error
        except BaseException as error:
            end_if_forked(error)
            self._end(error)
            raise
        self._end(None, value)
        return value

    def _end(self, error: BaseException | None, value: Any = None) -> None:
        self.result = value
        why = self._why_stopped()
        if why is not None:
            self.outcome = "timed out" if why == "timeout" else "cancelled"
        elif isinstance(error, asyncio.CancelledError):
            self.outcome = "cancelled"
        else:
            self.outcome = "returned" if error is None else "raised"
