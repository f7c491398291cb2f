"""asyncmqd: background jobs for Python on Linux, run by a daemon that systemd manages."""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from asyncmqd.client.connection import NotConfigured, connect
    from asyncmqd.client.job import Job, JobFailed, JobGone, NameTaken
    from asyncmqd.client.pending import Outgoing
    from asyncmqd.client.queue import Queue
    from asyncmqd.client.tasks import Task, task
    from asyncmqd.domain.codec import NotSerialisable, PayloadTooLarge
    from asyncmqd.domain.events import Event
    from asyncmqd.domain.middleware import around_enqueue, around_run
    from asyncmqd.domain.retry import Exponential, Fixed, Reject, Retry
    from asyncmqd.domain.states import State
    from asyncmqd.runtime.claiming.rate_limiter import RateLimiter
    from asyncmqd.runtime.execution.execute_job import JobTimeout
    from asyncmqd.runtime.execution.middleware import JobRun
    from asyncmqd.runtime.job_context import current_job
    from asyncmqd.runtime.runners import (
        delayed_job_scanner,
        handle_job,
        process_job,
        repeatable_scheduler,
        run_worker,
        start_worker,
        worker_loop,
    )
    from asyncmqd.runtime.tracing.spans import trace_jobs

__version__ = "0.1.0"

__all__ = [
    "Event",
    "Exponential",
    "Fixed",
    "Job",
    "JobFailed",
    "JobGone",
    "JobRun",
    "JobTimeout",
    "NameTaken",
    "NotConfigured",
    "NotSerialisable",
    "Outgoing",
    "PayloadTooLarge",
    "Queue",
    "RateLimiter",
    "Reject",
    "Retry",
    "State",
    "Task",
    "around_enqueue",
    "around_run",
    "connect",
    "current_job",
    "delayed_job_scanner",
    "handle_job",
    "process_job",
    "repeatable_scheduler",
    "run_worker",
    "start_worker",
    "task",
    "trace_jobs",
    "worker_loop",
]

# Imported when they are asked for: a web process that only enqueues has no use for the runtime, and
# `asyncmqd reload` for none of it.
_HOMES = {
    "Event": "domain.events",
    "Exponential": "domain.retry",
    "Fixed": "domain.retry",
    "Job": "client.job",
    "JobFailed": "client.job",
    "JobGone": "client.job",
    "JobRun": "runtime.execution.middleware",
    "JobTimeout": "runtime.execution.execute_job",
    "NameTaken": "client.job",
    "NotConfigured": "client.connection",
    "NotSerialisable": "domain.codec",
    "Outgoing": "client.pending",
    "PayloadTooLarge": "domain.codec",
    "Queue": "client.queue",
    "RateLimiter": "runtime.claiming.rate_limiter",
    "Reject": "domain.retry",
    "Retry": "domain.retry",
    "State": "domain.states",
    "Task": "client.tasks",
    "around_enqueue": "domain.middleware",
    "around_run": "domain.middleware",
    "connect": "client.connection",
    "current_job": "runtime.job_context",
    "delayed_job_scanner": "runtime.runners",
    "handle_job": "runtime.runners",
    "process_job": "runtime.runners",
    "repeatable_scheduler": "runtime.runners",
    "run_worker": "runtime.runners",
    "start_worker": "runtime.runners",
    "task": "client.tasks",
    "trace_jobs": "runtime.tracing.spans",
    "worker_loop": "runtime.runners",
}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(import_module(f"asyncmqd.{_HOMES[name]}"), name)
    globals()[name] = value
    return value
