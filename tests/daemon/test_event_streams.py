"""GET /api/v1/events of real daemons: live, resumed, refused, ended."""

from __future__ import annotations

import contextlib
import http.client
import signal
import socket
import threading
from hashlib import sha256
from pathlib import Path

from tests.daemon.conftest import mostly_on
from tests.daemon.harness import Store, until
from tests.daemon.test_http import Client, Make, section
from tests.servers import RedisServer, free_port


class Events:
    """A stream, and the lines that it has sent."""

    def __init__(self, port: int, query: str = "", **headers: str) -> None:
        self._connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
        self._connection.request("GET", f"/api/v1/events{query}", headers=headers)
        self._socket = self._connection.sock  # which the answer takes from it
        self.response = self._connection.getresponse()
        self.lines: list[str] = []
        self.reader = threading.Thread(target=self._read, daemon=True)
        self.reader.start()

    def _read(self) -> None:
        with contextlib.suppress(OSError, ValueError, http.client.HTTPException):
            while line := self.response.readline():
                self.lines.append(line.decode().rstrip("\n"))

    def events(self, name: str, text: str = "") -> list[str]:
        """The ids of those of a name, whose data has a text."""
        lines = list(self.lines)
        starts = [at for at, line in enumerate(lines[:-1]) if line == f"event: {name}"]
        return [lines[at - 1] for at in starts if text in lines[at + 1]]

    def until(self, name: str, text: str = "") -> str:
        """The position of the first such event."""
        return until(lambda: self.events(name, text))[0].removeprefix("id: ")

    def close(self) -> None:
        with contextlib.suppress(OSError):
            self._socket.shutdown(socket.SHUT_RDWR)
        self.reader.join()
        self.response.close()
        self._connection.close()


@mostly_on("sqlite")
def test_events_come_as_they_happen_and_again_after_a_break(daemon: Make, store: Store) -> None:
    port = free_port()
    d = daemon(store.url, section(port) + "[queues.mail]\n[queues.web]\n").start()
    stream = Events(port, "?queue=mail")
    assert stream.response.status == 200
    assert stream.response.headers["Content-Type"] == "text/event-stream"
    assert stream.response.headers["X-Accel-Buffering"] == "no"

    store.add("mail", "mark", ["a"])  # with the head of the answer the stream has begun
    position = stream.until("job.completed", '"job_id":"a"')
    assert stream.events("job.started", '"job_id":"a"')
    stream.close()
    assert stream.lines[0].startswith("retry: ")
    store.add("web", "mark", ["b"])
    store.add("mail", "mark", ["c"])
    d.wait_for("job.completed", job_id="c")
    again = Events(port, "?queue=mail", **{"Last-Event-ID": position})
    again.until("job.completed", '"job_id":"c"')
    assert not again.events("job.completed", '"job_id":"a"')
    assert not again.events("job.completed", "web")
    assert not again.events("events.missed")
    d.signal(signal.SIGTERM)
    again.reader.join()  # not for as long as a stream lasts
    assert d.wait() == 0
    again.close()
    assert not d.all("http.failed")


def test_who_may_not_read_sees_no_events(daemon: Make, file: Store, place: Path) -> None:
    port, tokens = free_port(), place / "tokens"
    tokens.write_text(f"prom read {sha256(b'secret').hexdigest()}\n")
    d = daemon(file.url, section(port, f'token_file = "{tokens}"') + "[queues.mail]\n").start()
    client = Client(port)
    assert client.get("/api/v1/events").status == 401
    token = {"Authorization": "Bearer secret"}
    assert client.get("/api/v1/events?after=x", **token).status == 400
    assert client.get("/api/v1/events", method="POST", **token).status == 405
    assert client.get("/api/v1/events", method="HEAD", **token) == (200, "")
    stream = Events(port, **token)
    until(lambda: stream.lines)
    stream.close()
    assert d.stop() == 0


def test_a_store_that_lost_the_events_is_no_silence(daemon: Make, server: RedisServer) -> None:
    port, store = free_port(), Store(server.url)
    d = daemon(server.url, section(port) + "[queues.mail]\n").start()
    stream = Events(port)

    def is_watched() -> bool:
        return bool(store.do(lambda backend: backend.publish([])))

    until(is_watched)
    server.flush()
    until(is_watched)
    stream.until("events.missed")
    stream.close()
    assert d.stop() == 0
