"""In a child process of an executor: the call of a task, within the span of the run.

That span is the daemon's, which tells also of a run whose process was killed. This one lets the
task's own code set attributes, and shows how long the way to the child took.
"""

from __future__ import annotations

from collections.abc import Iterator

from opentelemetry import propagate, trace
from opentelemetry.context import Context, attach, detach
from opentelemetry.trace import Status, StatusCode

from asyncmqd.domain.middleware import AROUND_ENQUEUE, AROUND_RUN
from asyncmqd.runtime.execution.middleware import JobRun
from asyncmqd.runtime.tracing.spans import enqueuing

_tracer = trace.get_tracer("asyncmqd")


def trace_calls() -> None:
    """To be called before the application declares what is around a run."""
    AROUND_ENQUEUE.declare(enqueuing)
    AROUND_RUN.declare(calling)


def calling(run: JobRun) -> Iterator[None]:
    """Around the call of a task."""
    context = propagate.extract(run.headers, Context())  # the span of the run, and the baggage
    span = _tracer.start_span(run.job.task, context)
    token = attach(trace.set_span_in_context(span, context))
    try:
        yield
    except BaseException:  # what it is goes to the daemon, which tells it of the run
        span.set_status(Status(StatusCode.ERROR))
        raise
    finally:
        span.end()
        detach(token)
