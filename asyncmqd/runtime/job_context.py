"""`current_job()`: what a running task may know and say of its own run."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from typing import Any, Protocol

import msgspec

from asyncmqd.domain.codec import PayloadTooLarge, encode
from asyncmqd.observe.log import logger, running_job

PROGRESS_LIMIT = 64 * 1024  # bytes


class RunOfJob(Protocol):
    """What a run is to the code of its job."""

    def report(self, progress: bytes) -> None:
        """Progress, encoded."""

    def keep(self, events: Iterable[Mapping[str, Any]]) -> None:
        """Lines that the code has logged or printed. From any thread."""

    def exit(self, error: BaseException) -> bool:
        """End it by this error; False if it is over."""


class JobContext(msgspec.Struct, eq=False):
    """The run of a job, as its task sees it, in the loop, in a thread or in a child process."""

    id: str
    queue: str
    task: str
    attempt: int  # 1 for the first run
    worker: str
    _ends: float | None  # Unix time at which its time is over; None without a limit
    _run: RunOfJob
    labels: dict[str, str] | None = None  # what else its log lines have
    instant: datetime | None = None  # of the schedule, in UTC, for which it runs; None without one

    def __repr__(self) -> str:
        return f"<job {self.id} of {self.task}, attempt {self.attempt}>"

    @property
    def context(self) -> JobContext:
        """See `HasFields`."""
        return self

    @property
    def deadline(self) -> datetime | None:
        """When the run's time is over, in UTC; None if it has no limit."""
        return None if self._ends is None else datetime.fromtimestamp(self._ends, UTC)

    @property
    def key(self) -> str | None:
        """Whose job it is; None: it has no key."""
        return self.labels.get("job_key") if self.labels else None

    @property
    def fields(self) -> dict[str, Any]:
        """The fields that every log line of this run carries."""
        fields: dict[str, Any] = {
            "queue": self.queue,
            "worker": self.worker,
            "job_id": self.id,
            "task": self.task,
            "attempt": self.attempt,
        }
        return {**fields, **self.labels} if self.labels else fields

    @property
    def log(self) -> Any:
        """A structlog logger; its lines carry the job's id."""
        return logger().bind(**self.fields)

    def progress(self, value: Any) -> None:
        """Report progress, any JSON value; what `job.progress()` returns from then on.

        Returns at once; of values reported in quick succession only the last is stored. Refused
        silently once the claim is lost. Raises NotSerialisable, and PayloadTooLarge for more than
        64 KiB.
        """
        data = encode(value, "progress")
        if len(data) > PROGRESS_LIMIT:
            raise PayloadTooLarge(
                f"progress: expected at most {PROGRESS_LIMIT} bytes, got {len(data)}"
            )
        self._run.report(data)

    def exit(self, error: BaseException) -> bool:
        """For the process that runs the job: end it by this error; False if it is over."""
        return self._run.exit(error)

    def keep(self, events: Iterable[Mapping[str, Any]]) -> None:
        """See `HasFields`."""
        self._run.keep(events)


def current_job() -> JobContext:
    """The run that this code is part of. Raises RuntimeError outside of a job."""
    job = running_job.get()
    context = None if job is None else job.context
    if not isinstance(context, JobContext):
        raise RuntimeError("current_job() is only known within a running job")
    return context


def enter(context: JobContext) -> None:
    """Make `context` the current job of the present execution context."""
    running_job.set(context)
