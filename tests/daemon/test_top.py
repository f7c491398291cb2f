"""`asyncmq top` on a terminal without colours, of 80 columns and 24 lines, beside real daemons."""

from __future__ import annotations

import fcntl
import os
import re
import select
import signal
import struct
import subprocess
import sys
import tempfile
import termios
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.cli.terminal import Terminal
from tests.daemon.harness import LIMIT, Daemon, Store, until
from tests.servers import RedisServer

Make = Callable[..., Daemon]
SCRIPT = Path(sys.executable).with_name("asyncmq")
CLEARED = "\x1b[H\x1b[J"  # how a VT100 is told to begin anew
ESCAPES = re.compile(r"\x1b(\[[0-9;?]*[A-Za-z]|[()][A-Z0-9]|[=>78])|[\x0e\x0f]")
REDRAW = "\x0c"


@pytest.fixture
def place() -> Iterator[Path]:
    """Of a short path, wherever other tests have their files: what is told of it is wrapped."""
    with tempfile.TemporaryDirectory(prefix="amq", dir="/tmp") as directory:
        yield Path(directory)


class Top(Terminal):
    """The command, whose screen is read whole, by having it drawn anew."""

    def __init__(self, url: str, **options: str) -> None:
        environ = {**os.environ, "TERM": "vt100", "ASYNCMQD_BACKEND": url, **options}
        environ.pop("COLUMNS", None)
        environ.pop("LINES", None)

        def spawn(*arguments: str, stdin: int, **streams: int) -> subprocess.Popen[str]:
            fcntl.ioctl(stdin, termios.TIOCSWINSZ, struct.pack("HHHH", 24, 80, 0, 0))
            everything = {"stdin": stdin, **streams}
            return subprocess.Popen([SCRIPT, *arguments], env=environ, text=True, **everything)

        super().__init__(spawn, ["top"])

    def resize(self, width: int, height: int) -> None:
        """As a window's edge that is dragged. It is not the terminal of its session: no signal."""
        fcntl.ioctl(self._fd, termios.TIOCSWINSZ, struct.pack("HHHH", height, width, 0, 0))
        self.process.send_signal(signal.SIGWINCH)

    def until(self, *texts: str) -> str:
        """The screen, once all of these are on it at the same time."""
        deadline = time.monotonic() + LIMIT
        while not all(text in (screen := self._screen()) for text in texts):
            assert time.monotonic() < deadline, f"no {texts} in {screen!r}"
        return screen

    def _screen(self) -> str:
        self.shown = ""
        # Before it has taken the terminal, a key would be lost, or be shown.
        self.type(REDRAW)
        while select.select([self._fd], [], [], 0.2)[0]:
            self._read()
        return ESCAPES.sub("", self.shown.rpartition(CLEARED)[2])


@pytest.fixture
def top(request: pytest.FixtureRequest) -> Iterator[Callable[..., Top]]:
    """Starts it; at the end of the test it ends as it should."""
    started: list[Top] = []

    def start(url: str, **options: str) -> Top:
        started.append(Top(url, **options))
        return started[-1]

    yield start
    for each in started:
        with each:
            each.process.kill()
            each.process.wait()


def test_a_night_by_keyboard(daemon: Make, file: Store, top: Callable[..., Top]) -> None:
    d = daemon(file.url, "[queues.mail]\nconcurrency = 1\n[queues.web]\n").start()
    file.do(lambda backend: backend.pause("mail", True, by="bob", reason="provider is down"))
    file.add("mail", "hold", ["first", "second"])
    screen = top(file.url)
    screen.until("! mail: Queue mail is paused since", "asyncmq queue resume mail", "1 daemon")
    screen.type("p")
    screen.until("[y/n] resume queue mail, as ")
    screen.type("y")
    until(lambda: d.lines("began"))
    screen.until("resume queue mail, by ", ": done", "first", "1/1")
    screen.type("\t\tc")
    screen.until("[y/n] cancel job first of queue mail, as ")
    screen.type("n")
    screen.until("nothing was done")
    screen.type("cy")
    screen.until("cancel job first of queue mail, by ", ": done")
    until(lambda: "second" in d.lines("began"))
    screen.resize(40, 10)
    small = screen.until("second")
    assert "HOST" not in small
    screen.resize(120, 40)
    screen.until("HOST", "RATE/S")
    screen.type("q")
    assert screen.end() == 0
    d.open_gate()


def test_what_producers_wrote_does_not_reach_the_terminal(
    file: Store, top: Callable[..., Top]
) -> None:
    bad = "\x1b]0;owned\x07\x1b[41m\r\n日本語"
    file.add("mail", f"task{bad}", ["a"])
    file.do(lambda backend: backend.pause("mail", True, by=bad, reason=bad))
    screen = top(file.url, NO_COLOR="1")
    screen.until("1 waiting")
    screen.type("w")
    screen.until("\\x1b]0;owned\\x07\\x1b[41m\\r\\n")
    screen.type(" SSS")  # the states before active: blocked, delayed, waiting
    screen.until("task\\x1b]0;owned\\x07\\x1b[41m")
    assert "\x1b]0;" not in screen.shown
    assert "\x1b[41m" not in screen.shown
    screen.process.send_signal(signal.SIGTERM)
    assert screen.end() == 0


def test_a_store_that_goes_and_comes(server: RedisServer, top: Callable[..., Top]) -> None:
    store = Store(server.url)
    store.add("mail", "mark", ["a"])
    screen = top(server.url)
    screen.until("! mail: No living daemon serves queue mail, since ", "1 waiting")
    server.kill()
    screen.until("! degraded: ", "asyncmq store info", "1 waiting")
    screen.type("p\r")  # what cannot be done is said, and ends nothing
    screen.until("pause queue mail, by ")
    server.start()
    screen.until("! No living daemon uses this store.", "0 waiting")
    screen.process.send_signal(signal.SIGINT)
    assert screen.end() == 0


def test_a_store_that_stands_still_does_not_keep_anybody(
    server: RedisServer, top: Callable[..., Top]
) -> None:
    Store(server.url).add("mail", "mark", ["a"])
    screen = top(server.url)
    screen.until("mail", "1 waiting")
    server.freeze()
    screen.until("! degraded: ", "1 waiting")
    screen.type("?")
    screen.until("the next pane")
    screen.type("xq")
    assert screen.end() == 0
    server.thaw()


def test_it_ends_with_its_terminal(file: Store, top: Callable[..., Top]) -> None:
    file.add("mail", "mark", ["a"])
    screen = top(file.url)
    screen.until("1 waiting")
    os.close(screen._fd)
    screen._fd = os.open(os.devnull, os.O_RDWR)
    assert screen.process.wait(LIMIT) == 1  # what it had to write did not arrive
