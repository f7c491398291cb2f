#!/usr/bin/env bash
# opentelemetry-sdk and opentelemetry-exporter-otlp-proto-http 1.45.2: parent and forked child send on one
# TCP connection.
#
# The SDK looks after forks: it begins a new export thread in the child. The exporter keeps its HTTP session,
# and with it the kept-alive connection of the parent. Both processes then write their requests to the same
# socket, and each may read the answer to the other's: spans of either are lost or sent twice once they do
# it at the same moment. Here they do it one after the other, and the collector sees one client port.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check \
  opentelemetry-sdk==1.45.2 opentelemetry-exporter-otlp-proto-http==1.45.2
"$folder/venv/bin/python" - <<'PYTHON'
import os
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from importlib.metadata import version

from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor

ports = []


class Collector(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_POST(self):
        self.rfile.read(int(self.headers["Content-Length"]))
        ports.append(self.client_address[1])
        self.send_response(200)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *_):
        pass


server = ThreadingHTTPServer(("127.0.0.1", 0), Collector)
threading.Thread(target=server.serve_forever, daemon=True).start()
provider = TracerProvider()
url = f"http://127.0.0.1:{server.server_port}/v1/traces"
provider.add_span_processor(SimpleSpanProcessor(OTLPSpanExporter(endpoint=url)))
tracer = provider.get_tracer("finding")
with tracer.start_as_current_span("of the parent"):
    pass
child = os.fork()
if child == 0:
    with tracer.start_as_current_span("of the child"):
        pass
    os._exit(0)
_, status = os.waitpid(child, 0)
print("exporter", version("opentelemetry-exporter-otlp-proto-http"), "client ports of parent and child:", ports)
assert status == 0 and len(ports) == 2
assert ports[0] == ports[1], "the behaviour has changed: the child has a connection of its own"
PYTHON
