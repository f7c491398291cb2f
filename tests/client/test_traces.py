"""Spans in a process of the application: whose they are, what is within them, and what is not."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from opentelemetry import trace
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import SpanKind, StatusCode

from asyncmqd import JobRun, Outgoing, Queue, around_enqueue, around_run, task, testing, trace_jobs
from asyncmqd.domain.middleware import AROUND_ENQUEUE, AROUND_RUN
from asyncmqd.runtime import tracing
from asyncmqd.runtime.tracing import spans as made

todo: list[Callable[[], Any]] = []  # what the next jobs do


@task(name="traces.plain")
def plain() -> None:
    todo.pop(0)()


@task(name="traces.in_loop", retries=1, backoff=0)
async def in_loop() -> None:
    todo.pop(0)()


class Broken(Exception):
    def __str__(self) -> str:
        raise RuntimeError("no text")


def fail() -> None:
    raise Broken


class Traced:
    """A provider of the application, and its spans by the order of their ends."""

    def __init__(self) -> None:
        self.provider = TracerProvider()
        self._exporter = InMemorySpanExporter()
        self.provider.add_span_processor(SimpleSpanProcessor(self._exporter))
        self.tracer = self.provider.get_tracer("shop")

    @property
    def spans(self) -> tuple[ReadableSpan, ...]:
        return self._exporter.get_finished_spans()

    def of(self, kind: SpanKind) -> list[ReadableSpan]:
        return [span for span in self.spans if span.kind is kind]


@pytest.fixture
def traced(monkeypatch: pytest.MonkeyPatch) -> Iterator[Traced]:
    for chain in (AROUND_RUN, AROUND_ENQUEUE):
        monkeypatch.setattr(chain, "declared", [])
    monkeypatch.setattr(tracing.TRACES, "execution", None)
    monkeypatch.setattr(made, "_tracer", made._tracer)
    todo.clear()
    one = Traced()
    trace_jobs(one.provider)
    return one


@pytest.mark.parametrize("job", [plain, in_loop], ids=["thread", "loop"])
async def test_a_run_links_to_its_enqueue_and_is_a_trace_of_its_own(traced: Traced, job) -> None:
    inside: list[Any] = []
    todo.append(lambda: inside.append(trace.get_current_span().get_span_context()))
    with testing.app() as app:
        with traced.tracer.start_as_current_span("request") as request:
            await job.enqueue()
        with traced.tracer.start_as_current_span("of the worker"):
            await app.run_dry()
    (sent,), (run,) = traced.of(SpanKind.PRODUCER), traced.of(SpanKind.CONSUMER)
    assert sent.parent == request.get_span_context()
    assert run.parent is None
    assert [link.context.span_id for link in run.links] == [sent.context.span_id]
    assert run.context.trace_id != sent.context.trace_id
    assert inside == [run.context]
    assert not trace.get_current_span().get_span_context().is_valid


async def test_code_without_a_loop_and_what_is_round_a_run_are_within(traced: Traced) -> None:
    seen: list[Any] = []

    @around_run
    def look(run: JobRun) -> Iterator[None]:
        seen.append(trace.get_current_span().get_span_context())
        yield
        seen.append(trace.get_current_span().get_span_context())

    todo.append(lambda: None)
    with testing.app() as app:

        def produce() -> None:
            with traced.tracer.start_as_current_span("script"):
                plain.enqueue_sync()

        await asyncio.to_thread(produce)
        await app.run_dry()
    sent, script, run = traced.spans
    assert sent.parent == script.context
    assert seen == [run.context] * 2


async def test_errors_are_recorded_as_bounded_and_as_safe_as_those_of_jobs(traced: Traced) -> None:
    @around_enqueue
    def refuse(outgoing: Outgoing) -> Iterator[None]:
        if outgoing.queue == "refused":
            raise Broken
        yield

    todo.extend([fail, lambda: None])
    with testing.app() as app:
        with pytest.raises(Broken):
            await Queue("refused").add(in_loop)
        await in_loop.enqueue()
        (ran,) = await app.run_dry()
    assert ran.state == "completed"
    refused, sent, first, second = traced.spans
    for span in (refused, first):
        (event,) = span.events
        assert event.attributes["exception.type"].endswith(".Broken")
        assert "cannot be shown" in event.attributes["exception.message"]
        assert span.status.status_code is StatusCode.ERROR
    assert [span.attributes["asyncmqd.job.attempt"] for span in (first, second)] == [1, 2]
    linked = [[link.context.span_id for link in run.links] for run in (first, second)]
    assert linked == [[sent.context.span_id]] * 2
    assert second.status.status_code is StatusCode.UNSET


@pytest.mark.parametrize("on_conflict", ["existing", "replace"])
async def test_the_span_of_an_enqueue_that_found_a_job_has_the_id_of_that_one(
    traced: Traced, on_conflict: str
) -> None:
    unique = plain.options(unique="one", on_conflict=on_conflict)
    with testing.app():
        first = await unique.enqueue()
        second = await unique.enqueue()
    assert (second.id, second.replaced) == (first.id, on_conflict == "replace")
    told = ("messaging.message.id", "asyncmqd.job.existed")
    found = [[span.attributes.get(name) for name in told] for span in traced.spans]
    assert found == [[first.id, None], [first.id, True]]


async def test_an_enqueue_of_nothing_is_no_span(traced: Traced) -> None:
    with testing.app():
        await Queue("mail").add_bulk([])
    assert traced.spans == ()
