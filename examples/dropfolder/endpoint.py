"""A web service of the kind one has to live with: most of the time it says 503.

Each file is accepted at the third to fifth attempt, so that two to four of five requests fail, and
yet every job gets through. `python -m dropfolder.endpoint [PORT]` runs it alone.
"""

from __future__ import annotations

import sys
import threading
from collections import Counter
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

PORT = 8008


class FlakyEndpoint(ThreadingHTTPServer):
    """Listens on loopback; port 0 means a free one."""

    daemon_threads = True

    def __init__(self, port: int = 0) -> None:
        super().__init__(("127.0.0.1", port), _Handler)
        self._lock = threading.Lock()
        self._refused: Counter[str] = Counter()
        self.answers: Counter[HTTPStatus] = Counter()

    @property
    def url(self) -> str:
        """Where it can be reached."""
        return f"http://127.0.0.1:{self.server_port}"

    def answer(self, path: str) -> HTTPStatus:
        """What to say to the next request for `path`."""
        with self._lock:
            status = HTTPStatus.NO_CONTENT
            if self._refused[path] < 2 + sum(path.encode()) % 3:
                self._refused[path] += 1
                status = HTTPStatus.SERVICE_UNAVAILABLE
            else:
                del self._refused[path]
            self.answers[status] += 1
            return status


class _Handler(BaseHTTPRequestHandler):
    server: FlakyEndpoint

    def do_PUT(self) -> None:
        self.rfile.read(int(self.headers["Content-Length"]))
        self.send_response(self.server.answer(self.path))
        self.send_header("Retry-After", "1")
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *_: Any) -> None:
        """Say nothing: the daemon logs every attempt."""


if __name__ == "__main__":
    FlakyEndpoint(int(sys.argv[1]) if len(sys.argv) > 1 else PORT).serve_forever()
