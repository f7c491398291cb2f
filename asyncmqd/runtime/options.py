"""What one worker is told: plain values, so that the runtime knows nothing of files."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

import msgspec

from asyncmqd.domain.keywords import ExecutorKind
from asyncmqd.domain.retry import DEFAULT_BACKOFF
from asyncmqd.domain.schedule import Repeatable
from asyncmqd.domain.settle import Policy, Retention
from asyncmqd.domain.tasks import TaskDef

Scanner = Callable[..., Awaitable[Any]]
"""A custom scanner: `await scanner(queue_name, backend=..., interval=...)` runs until cancelled."""


class WorkerOptions(msgspec.Struct, frozen=True, kw_only=True):
    """The limits and defaults of one queue in one process."""

    concurrency: int = 3  # jobs at the same time
    rate_limit: float | None = None  # starts per rate_interval; 0 blocks, None is no limit
    rate_interval: float = 1.0  # seconds
    burst: float | None = None  # starts at once after a quiet time; None means rate_limit
    scan_interval: float = 1.0  # seconds: the scanner's longest sleep while anything is pending
    drain_timeout: float = 0.0  # seconds that running jobs get when the worker stops
    retries: int = 0  # runs after the first, for tasks that do not say
    timeout: float | None = None  # seconds for one run, for tasks that do not say; None or 0: none
    executor: ExecutorKind = "thread"  # for plain functions of tasks that do not say
    retention: Retention = Retention()
    repeatables: tuple[Repeatable, ...] = ()
    scanners: tuple[Scanner, ...] = ()

    def policy(self, task: TaskDef | None, retries: int | None) -> Policy:
        """The rules for a job: what it asked for, then what its task declares, then the queue."""
        if task is None:
            return Policy(retention=self.retention)
        declared = task.options
        if retries is None:
            retries = self.retries if declared.retries is None else declared.retries
        return Policy(
            retries=retries,
            backoff=declared.backoff or DEFAULT_BACKOFF,
            retry_on=declared.retry_on,
            dont_retry_on=declared.dont_retry_on,
            retention=self.retention,
        )

    def time_limit(self, task: TaskDef, timeout: float | None) -> float | None:
        """Seconds for one run, looked up in the same order; None means no limit."""
        for value in (timeout, task.options.timeout, self.timeout):
            if value is not None:
                return value or None
        return None
