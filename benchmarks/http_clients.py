"""Clients that look at a daemon over HTTP, and cost as little as they can.

    python benchmarks/http_clients.py PORT KIND    until it is ended

In life they are on other machines, here they share the cores with what is measured. So all of them
are one loop over an epoll: the kernel throws away what comes, and only the begin of an answer is
looked at. It writes "begun" once all are there, and ends with an error if an answer is wrong.
"""

from __future__ import annotations

import heapq
import itertools
import os
import select
import signal
import socket
import sys
import time
from collections.abc import Callable, Iterator
from typing import NoReturn

HALF_OPEN, STREAMS, CLIENTS, DASHBOARDS = 200, 50, 50, 50
PATHS = ("/metrics", "/api/v1/status", "/api/v1/queues", "/readyz")
PAGES = ("/", "/queues/mail", "/queues/mail?state=completed", "/dead")
BEGIN = 1.0  # seconds over which they come
_GOOD = b"HTTP/1.1 200"
_ROOM = memoryview(bytearray(1 << 20))  # the kernel writes nothing into it


class Loop:
    """Waits for all sockets, and for moments."""

    def __init__(self) -> None:
        self._poll = select.epoll()
        self._readers: dict[int, Callable[[], None]] = {}
        self._timers: list[tuple[float, int, Callable[[], None]]] = []
        self._numbers = itertools.count()

    def later(self, seconds: float, call: Callable[[], None]) -> None:
        at = time.monotonic() + seconds
        heapq.heappush(self._timers, (at, next(self._numbers), call))

    def add(self, file: int, read: Callable[[], None]) -> None:
        self._readers[file] = read
        self._poll.register(file, select.EPOLLIN)

    def discard(self, file: int) -> None:
        self._poll.unregister(file)
        del self._readers[file]

    def run(self) -> NoReturn:
        while True:
            wait = self._timers[0][0] - time.monotonic() if self._timers else -1
            for file, _ in self._poll.poll(max(0, wait) if self._timers else None):
                self._readers[file]()
            while self._timers and self._timers[0][0] <= time.monotonic():
                heapq.heappop(self._timers)[2]()


class Connection:
    """Sends requests. `heard` is called when something has come."""

    def __init__(
        self, loop: Loop, port: int, heard: Callable[[], None], ended: Callable[[], None]
    ) -> None:
        self._loop = loop
        self._heard = heard
        self._ended = ended
        self._begins = False  # what comes next is the begin of an answer
        self._socket = socket.create_connection(("127.0.0.1", port))
        self._socket.setblocking(False)
        loop.add(self._socket.fileno(), self._read)

    def ask(self, path: str, *fields: str, end: str = "\r\n") -> None:
        head = "".join(f"{each}\r\n" for each in ("Host: localhost", *fields))
        self._begins = bool(end)
        self._socket.send(f"GET {path} HTTP/1.1\r\n{head}{end}".encode())

    def _read(self) -> None:
        if self._begins:
            self._begins = False
            begin = self._socket.recv(len(_GOOD))
            if begin != _GOOD:
                raise SystemExit(f"expected {_GOOD!r}, got {begin!r}")
        try:
            size = self._socket.recv_into(_ROOM, flags=socket.MSG_TRUNC)  # thrown away
        except BlockingIOError:
            return
        except ConnectionResetError:
            size = 0
        if size:
            self._heard()
            return
        self._loop.discard(self._socket.fileno())
        self._socket.close()
        self._ended()


def nothing() -> None:
    """What came is of no interest."""


def failed() -> NoReturn:
    """Nobody may close a connection that is kept."""
    raise SystemExit("the daemon has closed a connection")


def half_open(loop: Loop, port: int, _: int) -> None:
    """A request that never ends. Once the daemon has had enough comes the next."""

    def again() -> None:
        loop.later(0.1, lambda: half_open(loop, port, 0))

    Connection(loop, port, nothing, again).ask("/metrics", end="")


def client(loop: Loop, port: int, number: int) -> None:
    """Asks once a second over a connection that it keeps."""
    connection = Connection(loop, port, nothing, failed)

    def ask() -> None:
        connection.ask(PATHS[number % len(PATHS)])
        loop.later(1.0, ask)

    ask()


def stream(loop: Loop, port: int, _: int) -> None:
    """All events, as they come."""
    Connection(loop, port, nothing, failed).ask("/api/v1/events")


class Dashboard:
    """A page in a browser: asked for again after a change, at most every two seconds."""

    def __init__(self, loop: Loop, port: int, number: int) -> None:
        self._loop = loop
        self._page = PAGES[number % len(PAGES)]
        self._answers = Connection(loop, port, nothing, failed)
        self._told = 0  # the stream has told so often: first its head, then the present state
        self._asked = 0.0
        self._will_ask = False
        self._ask()
        Connection(loop, port, self._hear, failed).ask("/live")

    def _hear(self) -> None:
        self._told += 1
        if self._told > 2 and not self._will_ask:
            self._will_ask = True
            self._loop.later(max(0.0, self._asked + 2.0 - time.monotonic()), self._ask)

    def _ask(self) -> None:
        self._will_ask = False
        self._asked = now = time.monotonic()
        self._answers.ask(self._page, "X-Fragment: 1")
        self._loop.later(10.0, lambda: self._ask_again(now))

    def _ask_again(self, asked: float) -> None:
        if self._asked == asked:
            self._ask()


Kind = Callable[[Loop, int, int], object]
KINDS: dict[str, list[tuple[Kind, int]]] = {
    "half-open": [(half_open, HALF_OPEN)],
    "clients": [(client, CLIENTS)],
    "streams": [(stream, STREAMS)],
    "both": [(half_open, HALF_OPEN), (stream, STREAMS)],
    "dashboards": [(Dashboard, DASHBOARDS)],
}


def main(port: int, kind: str) -> None:
    signal.signal(signal.SIGTERM, lambda *_: os._exit(0))
    loop = Loop()
    starts: Iterator[tuple[Kind, int]] = (
        (each, number) for each, many in KINDS[kind] for number in range(many)
    )
    all = list(starts)
    for at, (each, number) in enumerate(all):
        start = at / len(all) * BEGIN
        loop.later(start, lambda each=each, number=number: each(loop, port, number))
    loop.later(BEGIN + 0.5, lambda: print("begun", flush=True))
    loop.run()


if __name__ == "__main__":
    main(int(sys.argv[1]), sys.argv[2])
