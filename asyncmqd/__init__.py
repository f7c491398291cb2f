"""asyncmqd: background jobs for Python on Linux, run by a daemon that systemd manages."""

from asyncmqd.client import Job, JobFailed, JobGone, NotConfigured, Queue, Task, connect, task
from asyncmqd.domain.codec import NotSerialisable, PayloadTooLarge
from asyncmqd.domain.retry import Exponential, Fixed, Reject, Retry
from asyncmqd.domain.states import State
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
