"""Spans of OpenTelemetry: one around each enqueue, and one around each run, linked to the former.

Names are those of the semantic conventions for messaging, which are still in development; what is
ours alone begins with `asyncmqd.`. Whose provider makes them does not matter here.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from opentelemetry import baggage, propagate, trace
from opentelemetry.context import Context
from opentelemetry.trace import Link, Span, SpanKind, Status, StatusCode, TracerProvider

from asyncmqd.client.pending import Outgoing
from asyncmqd.domain.job import Claim, Failure, JobSpec
from asyncmqd.domain.middleware import AROUND_ENQUEUE
from asyncmqd.observe import journal
from asyncmqd.runtime.execution.failures import failure_of
from asyncmqd.runtime.tracing import TRACES

# Of the provider that there is when it makes a span: the application's, or ours if it has none.
_tracer = trace.get_tracer("asyncmqd")


def trace_jobs(tracer_provider: TracerProvider | None = None) -> None:
    """Make a span of each enqueue and of each run of this process, by OpenTelemetry.

    By the provider that the application sets up with `set_tracer_provider`, before or after, unless
    one is given. To be called before workers start. A daemon with `[otel]` does so by itself.
    Raises ImportError without the packages of `asyncmqd[otel]`.
    """
    global _tracer  # noqa: PLW0603 - one a process
    from asyncmqd.runtime.tracing.execution import TracedExecution

    if tracer_provider is not None:
        _tracer = trace.get_tracer("asyncmqd", tracer_provider=tracer_provider)
    AROUND_ENQUEUE.declare(enqueuing)
    TRACES.execution = TracedExecution
    journal.JOB_FIELDS["trace_id"] = b"TRACE_ID"


def enqueuing(outgoing: Outgoing) -> Iterator[None]:
    """Around an enqueue: one span, however many jobs it is for, and each job knows it."""
    jobs = outgoing.jobs
    if not jobs:
        yield
        return
    attributes = _attributes("enqueue", "send", outgoing.queue)
    if len(jobs) == 1:
        attributes["messaging.message.id"] = jobs[0].spec.id
        attributes["asyncmqd.job.task"] = jobs[0].spec.task
    else:
        attributes["messaging.batch.message_count"] = len(jobs)
    with _tracer.start_as_current_span(
        f"enqueue {outgoing.queue}",
        kind=SpanKind.PRODUCER,
        attributes=attributes,
        record_exception=False,  # if the text of an error raises, the SDK raises that
        set_status_on_exception=False,
    ) as span:
        carrier: dict[str, str] = {}
        propagate.inject(carrier)
        for job in jobs if carrier else ():
            job.headers.update(carrier)
        try:
            yield
        except Exception as error:
            record_failure(span, type_name(type(error)), failure_of(error))
            raise
        if len(outgoing.enqueued) == 1 and outgoing.enqueued[0].existed:
            span.set_attribute("messaging.message.id", outgoing.enqueued[0].id)
            span.set_attribute("asyncmqd.job.existed", True)


def start_run(claim: Claim, spec: JobSpec) -> tuple[Span, Context]:
    """The span of a run, and the context that is the run's from now on.

    A link, and no child: a job that is delayed for a day, or retried for one, would make a trace of
    a day. Nothing of the context here goes into it: a worker may have been started within a span.
    """
    sent = propagate.extract(spec.headers or {}, Context())
    producer = trace.get_current_span(sent).get_span_context()
    context = Context()
    for name, value in baggage.get_all(sent).items():
        context = baggage.set_baggage(name, value, context)
    attributes = _attributes("run", "process", claim.queue)
    attributes["messaging.message.id"] = claim.id
    attributes["messaging.client.id"] = claim.worker
    attributes["asyncmqd.job.task"] = spec.task
    attributes["asyncmqd.job.attempt"] = claim.attempt
    span = _tracer.start_span(
        f"run {claim.queue}",
        context,
        SpanKind.CONSUMER,
        attributes,
        [Link(producer)] if producer.is_valid else [],
    )
    return span, trace.set_span_in_context(span, context)


def record_failure(span: Span, type: str, failure: Failure) -> None:
    """The error of a run, as bounded as the one that is stored with the job."""
    event = {
        "exception.type": type,
        "exception.message": failure.message,
        "exception.stacktrace": failure.traceback,
    }
    span.add_event("exception", {name: text for name, text in event.items() if text})
    span.set_attribute("error.type", type)
    span.set_status(Status(StatusCode.ERROR, f"{failure.type}: {failure.message}"))


def type_name(type: type[BaseException]) -> str:
    """As the conventions have it: with its module, unless it is Python's own."""
    module = type.__module__
    return type.__qualname__ if module == "builtins" else f"{module}.{type.__qualname__}"


def trace_id_of(span: Span) -> str | None:
    """As text; None of a span that nobody has made."""
    context = span.get_span_context()
    return trace.format_trace_id(context.trace_id) if context.is_valid else None


def with_present_context(headers: Mapping[str, str] | None) -> dict[str, str]:
    """Headers by which another process goes on within the present span."""
    carrier = dict(headers or {})
    propagate.inject(carrier)
    return carrier


def _attributes(operation: str, kind: str, queue: str) -> dict[str, Any]:
    return {
        "messaging.system": "asyncmqd",
        "messaging.destination.name": queue,
        "messaging.operation.name": operation,
        "messaging.operation.type": kind,
    }
