"""A collector that listens: OTLP over HTTP, its protobuf read by the classes of its authors."""

from __future__ import annotations

import gzip
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.trace.v1.trace_pb2 import Span

from tests.daemon.harness import until

PRODUCER, CONSUMER, INTERNAL = (
    Span.SPAN_KIND_PRODUCER,
    Span.SPAN_KIND_CONSUMER,
    Span.SPAN_KIND_INTERNAL,
)
ERROR = 2


class Received:
    """A span, and what named its service."""

    def __init__(self, span: Span, resource: dict[str, Any]) -> None:
        self.name = span.name
        self.kind = span.kind
        self.trace_id = span.trace_id.hex()
        self.id = span.span_id.hex()
        self.parent = span.parent_span_id.hex()
        self.links = [(link.trace_id.hex(), link.span_id.hex()) for link in span.links]
        self.attributes = _values(span.attributes)
        self.events = {event.name: _values(event.attributes) for event in span.events}
        self.status = span.status
        self.resource = resource

    @property
    def context(self) -> tuple[str, str]:
        return self.trace_id, self.id


class Collector:
    """`answers` False: it takes requests and says nothing, until it is set again."""

    def __init__(self) -> None:
        self.spans: list[Received] = []
        self.connections: set[Any] = set()
        self.requests = 0
        self.headers: dict[str, str] = {}
        self.status = 200
        self.answers = threading.Event()
        self.answers.set()
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), self._handler())
        self._server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self._server.server_port}"
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        collector = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"  # which keeps connections

            def do_POST(self) -> None:
                names = {name.lower(): value for name, value in self.headers.items()}
                body = self.rfile.read(int(self.headers["Content-Length"]))
                collector.requests += 1
                collector.answers.wait()
                if collector.status == 200:
                    collector.take(self.path, names, body, self.client_address)
                self.send_response(collector.status)
                self.send_header("Content-Length", "0")
                self.end_headers()

            def log_message(self, *_: Any) -> None:
                pass

        return Handler

    def take(self, path: str, headers: dict[str, str], body: bytes, client: Any) -> None:
        assert path == "/v1/traces"
        assert headers["content-type"] == "application/x-protobuf"
        self.headers = headers
        self.connections.add(client)
        if headers.get("content-encoding") == "gzip":
            body = gzip.decompress(body)
        for group in ExportTraceServiceRequest.FromString(body).resource_spans:
            resource = _values(group.resource.attributes)
            for scope in group.scope_spans:
                self.spans += [Received(span, resource) for span in scope.spans]

    def wait_for(self, count: int) -> list[Received]:
        """So many spans, sorted by name."""
        until(lambda: len(self.spans) >= count)
        return sorted(self.spans, key=lambda span: span.name)

    def of(self, job: str) -> list[Received]:
        """The runs of a job, in the order of attempts."""
        runs = [each for each in self.spans if each.kind == CONSUMER]
        mine = [each for each in runs if each.attributes["messaging.message.id"] == job]
        return sorted(mine, key=lambda each: int(each.attributes["asyncmqd.job.attempt"]))

    def close(self) -> None:
        self.answers.set()
        self._server.shutdown()
        self._server.server_close()


@contextmanager
def collecting() -> Iterator[Collector]:
    collector = Collector()
    try:
        yield collector
    finally:
        collector.close()


def _values(attributes: Any) -> dict[str, Any]:
    return {each.key: getattr(each.value, each.value.WhichOneof("value")) for each in attributes}
