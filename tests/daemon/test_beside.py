"""Libraries that applications log, report and show progress with, beside the daemon."""

from __future__ import annotations

import gzip
import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from tests.daemon.harness import Store, run_each
from tests.scale import scaled

TASKS = ("work", "work_thread", "work_process")
SETUPS = scaled(
    ("loguru_intercepts",),
    ("loguru", "loguru_intercepts", "loguru_propagates", "loguru_queue", "sentry", "tqdm"),
)
TOPS = {"one": "", "children": "processes = 2\n"}


@pytest.fixture
def envelopes() -> Iterator[tuple[str, list[str]]]:
    """A server that Sentry reports to: its address, and the types of what it got."""
    got: list[str] = []

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            if self.headers["Content-Encoding"] == "gzip":
                body = gzip.decompress(body)
            for line in (json.loads(each) for each in body.splitlines() if each[:1] == b"{"):
                if "type" in line and "event_id" not in line:
                    got.extend([line["type"]] * line.get("item_count", 1))
            self.send_response(200)
            self.end_headers()

        def log_message(self, *_: object) -> None:
            """Nothing is said of a request."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever).start()
        yield f"http://key@127.0.0.1:{server.server_port}/1", got
        server.shutdown()


@pytest.mark.parametrize("top", scaled(["one"], [*TOPS]))
@pytest.mark.parametrize("setup", SETUPS)
def test_jobs_are_heard_and_the_daemon_ends(
    daemon, file: Store, envelopes: tuple[str, list[str]], setup: str, top: str
) -> None:
    dsn, got = envelopes
    environ = {"SETUP": setup, "DSN": dsn}
    d = daemon(file.url, "[queues.mail]\n", tasks=["beside"], top=TOPS[top], environ=environ)
    run_each(d, file, "mail", TASKS)
    said = [each for each in d.events if "said by a job" in each["event"]]
    assert len(said) == len(TASKS)
    if setup != "loguru_queue":  # there another thread says it, which has no job
        assert {each["job_id"] for each in said} == set(TASKS)
    if setup == "tqdm":
        bars = [each for each in d.events if each["event"].startswith("bar: 100%")]
        assert {each["job_id"] for each in bars} == set(TASKS)
    if setup == "sentry":  # which sends its logs every few seconds, and the rest at exit
        assert (got.count("event"), got.count("log") >= len(TASKS)) == (len(TASKS), True)
