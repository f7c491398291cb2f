"""Spans are sent to a collector by OTLP over HTTP, as OTEL_* variables say.

Of a process whose application has a provider of its own, nothing is sent by us.
"""

from __future__ import annotations

import atexit
import contextlib
import logging
import os
import threading
from collections.abc import Sequence
from multiprocessing import util as multiprocessing_util
from typing import Any

from opentelemetry import trace
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import SERVICE_NAME, Resource
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExporter, SpanExportResult
from opentelemetry.sdk.trace.sampling import Decision, ParentBased, Sampler, SamplingResult
from opentelemetry.trace import SpanKind

from asyncmqd.observe.event_names import rank
from asyncmqd.observe.log import own_event
from asyncmqd.runtime.forks import at_end_of_fork

FLUSH_LIMIT = 2.0  # seconds at the end of the process; `leave` gives all who flush three
_REASON_LIMIT = 300  # characters
_EXPORTER_LOG = OTLPSpanExporter.__module__


def export_spans() -> bool:
    """Send the spans of this process from now on, until its end; False if the application does.

    Raises ValueError for a variable that the SDK refuses.
    """
    if not isinstance(trace.get_tracer_provider(), trace.ProxyTracerProvider):
        return False
    provider = TracerProvider(resource=_resource(), shutdown_on_exit=False)
    if isinstance(provider.sampler, ParentBased):
        provider.sampler = LinkBased(provider.sampler)
    provider.add_span_processor(BatchSpanProcessor(ToldExporter()))
    trace.set_tracer_provider(provider)

    def flush(*_: Any) -> None:
        _flush(provider)

    atexit.register(flush)
    at_end_of_fork(flush)
    # Children of multiprocessing end by none of the two.
    multiprocessing_util.register_after_fork(
        flush, lambda _: multiprocessing_util.Finalize(None, flush, exitpriority=1)
    )
    return True


def _resource() -> Resource:
    resource = Resource.create()
    if str(resource.attributes.get(SERVICE_NAME, "")).startswith("unknown_service"):
        resource = resource.merge(Resource({SERVICE_NAME: "asyncmqd"}))
    return resource


def _flush(provider: TracerProvider) -> None:
    """Send what waits. By a thread: no call of the SDK ends at a limit that is given to it."""
    thread = threading.Thread(target=provider.shutdown, name="asyncmqd-traces", daemon=True)
    with contextlib.suppress(RuntimeError):  # none can be started
        thread.start()
        thread.join(FLUSH_LIMIT)
        if thread.is_alive():
            _tell("traces.failing", error=f"the last spans were not taken in {FLUSH_LIMIT:g} s")


def _tell(event: str, **fields: Any) -> None:
    own_event(rank(event), event, fields)


class LinkBased(Sampler):
    """Decides of a run as was decided of its enqueue, where the sampler would do so of a child.

    A run is no child of its enqueue. Without this, of two spans that a link joins only one might
    be kept.
    """

    def __init__(self, sampler: Sampler) -> None:
        self._sampler = sampler

    def should_sample(
        self,
        parent_context: Any,
        trace_id: int,
        name: str,
        kind: SpanKind | None = None,
        attributes: Any = None,
        links: Sequence[trace.Link] | None = None,
        trace_state: Any = None,
    ) -> SamplingResult:
        """See `Sampler`."""
        parent = trace.get_current_span(parent_context).get_span_context()
        if kind is SpanKind.CONSUMER and links and not parent.is_valid:
            if links[0].context.trace_flags.sampled:
                return SamplingResult(Decision.RECORD_AND_SAMPLE, attributes)
            return SamplingResult(Decision.DROP)
        return self._sampler.should_sample(
            parent_context, trace_id, name, kind, attributes, links, trace_state
        )

    def get_description(self) -> str:
        """See `Sampler`."""
        return f"LinkBased{{{self._sampler.get_description()}}}"


class ToldExporter(SpanExporter):
    """The SDK's exporter: one for each process, and one line when it begins to fail, or ends to.

    A forked child has the connection of its parent. If both write into it, their requests mix.
    """

    def __init__(self) -> None:
        self._reason = _Reason()
        logging.getLogger(_EXPORTER_LOG).addFilter(self._reason)
        self._lost: int | None = None  # spans, while it fails
        self._open()

    def _open(self) -> None:
        self._pid = os.getpid()
        self._exporter = OTLPSpanExporter()

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        """See `SpanExporter`."""
        if self._pid != os.getpid():
            self._open()
        self._reason.text = ""
        result = self._exporter.export(spans)
        if result is not SpanExportResult.SUCCESS:
            if self._lost is None:
                _tell("traces.failing", error=self._reason.text or "no answer")
            self._lost = (self._lost or 0) + len(spans)
        elif self._lost is not None:
            _tell("traces.recovered", lost=self._lost)
            self._lost = None
        return result

    def shutdown(self) -> None:
        """See `SpanExporter`."""
        self._exporter.shutdown()  # type: ignore[no-untyped-call]


class _Reason(logging.Filter):
    """Keeps the first message of the SDK's exporter for a batch, which would log all of them."""

    text = ""

    def filter(self, record: logging.LogRecord) -> bool:
        """See `logging.Filter`."""
        self.text = self.text or record.getMessage()[:_REASON_LIMIT]
        return False
