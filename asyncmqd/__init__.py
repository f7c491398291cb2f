"""asyncmqd: background jobs for Python on Linux, run by a daemon that systemd manages."""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from asyncmqd.client import Job, JobFailed, JobGone, NotConfigured, Queue, Task, connect, task
from asyncmqd.domain.codec import NotSerialisable, PayloadTooLarge
from asyncmqd.domain.retry import Exponential, Fixed, Reject, Retry
from asyncmqd.domain.states import State

if TYPE_CHECKING:
    from asyncmqd.runtime.context import current_job
    from asyncmqd.runtime.execute import JobTimeout
    from asyncmqd.runtime.limiter import RateLimiter
    from asyncmqd.runtime.runners import (
        delayed_job_scanner,
        handle_job,
        process_job,
        repeatable_scheduler,
        run_worker,
        start_worker,
        worker_loop,
    )

__version__ = "0.1.0"

__all__ = [
    "Exponential",
    "Fixed",
    "Job",
    "JobFailed",
    "JobGone",
    "JobTimeout",
    "NotConfigured",
    "NotSerialisable",
    "PayloadTooLarge",
    "Queue",
    "RateLimiter",
    "Reject",
    "Retry",
    "State",
    "Task",
    "connect",
    "current_job",
    "delayed_job_scanner",
    "handle_job",
    "process_job",
    "repeatable_scheduler",
    "run_worker",
    "start_worker",
    "task",
    "worker_loop",
]

# Imported when they are asked for: a web process that only enqueues has no use for the runtime.
_RUNTIME = {
    "current_job": "context",
    "JobTimeout": "execute",
    "RateLimiter": "limiter",
    "delayed_job_scanner": "runners",
    "handle_job": "runners",
    "process_job": "runners",
    "repeatable_scheduler": "runners",
    "run_worker": "runners",
    "start_worker": "runners",
    "worker_loop": "runners",
}


def __getattr__(name: str) -> Any:
    if name not in _RUNTIME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(import_module(f"asyncmqd.runtime.{_RUNTIME[name]}"), name)
    globals()[name] = value
    return value
