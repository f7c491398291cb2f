"""Real daemons for tests: started with a configuration, watched through their log, and ended.

Everything that a test waits for is a log line, a message to systemd, a line in the ledger or the
end of a process; nothing is waited for by the clock.
"""

from __future__ import annotations

import asyncio
import json
import os
import signal
import socket
import sqlite3
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Iterable, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any, TypeVar

import psutil

from asyncmqd.backends.base import BaseBackend
from asyncmqd.backends.factory import open_backend
from asyncmqd.daemon.control_client import NoDaemon, ask
from asyncmqd.domain.codec import encode_spec
from asyncmqd.domain.heartbeat import serving_of
from asyncmqd.domain.job import Counts, JobSpec, NewJob, Record

LIMIT = 60.0  # seconds; against a hang only: a machine under load is slow, and no failure
# For tests of what must not be waited for: so long that whoever waits for it is not within LIMIT.
PATIENT = "shutdown_timeout = 600\n"
APPLICATION = Path(__file__).parent / "app"
COMMAND = (sys.executable, "-m", "asyncmqd")  # a process that Python begins, and no fork

Answer = TypeVar("Answer")


def until(look: Callable[[], Answer], limit: float = LIMIT) -> Answer:
    """Look again and again until the answer is true; that answer.

    A look may start a program or open a store: it takes at most a fifth of the time, and leaves the
    rest to what is waited for.
    """
    began = time.monotonic()
    deadline = began + limit
    while not (answer := look()):
        ended = time.monotonic()
        if ended > deadline:
            raise AssertionError(f"not within {limit} s; the last answer was {answer!r}")
        time.sleep(min(max(0.005, 4 * (ended - began)), 0.2))
        began = time.monotonic()
    return answer


class Notified:
    """A NOTIFY_SOCKET: what systemd would be told, with the time of each message."""

    def __init__(self, address: str) -> None:
        self.address = address
        self.messages: list[tuple[float, dict[str, str]]] = []
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._socket.bind(address.replace("@", "\0", 1))
        threading.Thread(target=self._read, daemon=True).start()

    def _read(self) -> None:
        while data := self._socket.recv(65_536):
            fields = dict(line.split("=", 1) for line in data.decode().splitlines())
            self.messages.append((time.monotonic(), fields))

    def all(self, key: str) -> list[str]:
        """The values of a key, in the order in which they came."""
        return [fields[key] for _, fields in list(self.messages) if key in fields]

    def times(self, key: str) -> list[float]:
        """When the key came."""
        return [at for at, fields in list(self.messages) if key in fields]

    def wait_for(self, key: str, count: int = 1) -> None:
        """Until the key came so many times."""
        until(lambda: len(self.all(key)) >= count)


class Daemon:
    """`asyncmqd run` in a directory of its own; may be started again after its end."""

    def __init__(
        self,
        place: Path,
        backend: str,
        queues: str,
        *,
        name: str = "d",
        top: str = "",
        tasks: Iterable[str] = ("ledger",),
        environ: dict[str, str] | None = None,
        command: Sequence[str] = COMMAND,
    ) -> None:
        self.place = place
        self.command = command
        self.control = place / f"{name}.sock"
        self.config = place / f"{name}.toml"
        self.ledger = place / "ledger"
        self.gate = place / "gate"
        self.ledger.touch()
        self._head = (
            f'backend = "{backend}"\n'
            f"tasks = {json.dumps(list(tasks))}\n"
            f'python_path = ["{APPLICATION}", "{place}"]\n'
            f'control_socket = "{self.control}"\n'
        )
        self.configure(queues, top)
        self.environ = {
            "PATH": os.environ["PATH"],
            "LEDGER": str(self.ledger),
            "GATE": str(self.gate),
            **(environ or {}),
        }
        self.events: list[dict[str, Any]] = []
        self.stderr = ""
        self._news = threading.Condition()
        self._process: subprocess.Popen[bytes] | None = None
        self._readers: list[threading.Thread] = []

    # ------------------------------------------------------------------ the process

    def configure(self, queues: str, top: str = "") -> None:
        """Write the configuration; whoever runs does not know yet.

        In one step, as good editors do: a reload by somebody else must not see a half of it.
        """
        whole = self.config.with_suffix(".new")
        whole.write_text(self._head + top + "\n" + queues)
        whole.replace(self.config)

    def start(self, *, ready: bool = True, read: bool = True) -> Daemon:
        """Start the process, and wait until it is ready.

        Without `read` nobody reads its standard output, until `read` is called.
        """
        self.events = []
        self._process = self.launch()
        self._readers = []
        self._read(self._read_errors)
        if read:
            self.read()
        if ready and read:
            self.wait_for("daemon.ready")
        elif ready:
            until(lambda: self.answers() and self.ask("status")["phase"] == "ready")
        return self

    def launch(self) -> subprocess.Popen[bytes]:
        """Begin the process."""
        return subprocess.Popen(
            [*self.command, "run", "--config", str(self.config)],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env=self.environ,
            cwd=self.place,
        )

    def read(self) -> None:
        """Read what it logs, from now on."""
        self._read(self._read_events)

    def _read(self, target: Callable[[subprocess.Popen[bytes]], None]) -> None:
        reader = threading.Thread(target=target, args=(self.process,), daemon=True)
        self._readers.append(reader)
        reader.start()

    @property
    def pid(self) -> int:
        return self.process.pid

    @property
    def process(self) -> subprocess.Popen[bytes]:
        assert self._process is not None, "not started"
        return self._process

    def signal(self, number: signal.Signals) -> None:
        self.process.send_signal(number)

    def freeze(self, store: Store) -> None:
        """Stop it where it stands, but for the middle of a transaction; SIGCONT lets it go on."""
        store.freeze(self.pid)

    def wait(self, limit: float = LIMIT) -> int:
        """The exit code, once all that it wrote was read."""
        code = self.process.wait(limit)
        for reader in self._readers:
            reader.join(limit)
            assert not reader.is_alive(), "a process that it has started lives on with its output"
        return code

    def stop(self) -> int:
        self.signal(signal.SIGTERM)
        return self.wait()

    def kill(self) -> None:
        """End it if it runs, so that it cannot do anything about it."""
        if self._process is None:
            return
        self.process.kill()
        self.wait()
        for stream in (self.process.stdout, self.process.stderr):
            if stream is not None:
                stream.close()

    # ------------------------------------------------------------------ what it says

    def _read_events(self, process: subprocess.Popen[bytes]) -> None:
        assert process.stdout is not None
        for line in process.stdout:
            if not line.endswith(b"\n") and process.wait() == -signal.SIGKILL:
                return  # it was killed within a line
            event = json.loads(line)
            with self._news:
                self.events.append(event)
                self._news.notify_all()

    def _read_errors(self, process: subprocess.Popen[bytes]) -> None:
        assert process.stderr is not None
        self.stderr = process.stderr.read().decode()

    def all(self, event: str, **fields: Any) -> list[dict[str, Any]]:
        """All log lines so far with this event and these fields."""
        wanted = {"event": event, **fields}
        return [e for e in list(self.events) if wanted.items() <= _hashable(e).items()]

    def wait_for(
        self, event: str, count: int = 1, limit: float = LIMIT, **fields: Any
    ) -> dict[str, Any]:
        """The `count`-th such log line, as soon as it is there."""
        with self._news:
            came = self._news.wait_for(lambda: len(self.all(event, **fields)) >= count, limit)
        assert came, f"no {count} x {event} {fields} in {self.events} {self.stderr}"
        return self.all(event, **fields)[count - 1]

    def ask(self, command: Any, **arguments: Any) -> Any:
        """The result of a command over the control socket."""
        reply = ask(self.control, command, **arguments)
        assert reply.ok, reply.error
        return reply.result

    def answers(self) -> bool:
        try:
            return ask(self.control, "ping").ok
        except NoDaemon:
            return False

    def cli(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """Run `asyncmqd` with this configuration, as a person would."""
        return subprocess.run(
            [*self.command, *arguments, "--config", str(self.config)],
            capture_output=True,
            text=True,
            timeout=LIMIT,
            env=self.environ,
            cwd=self.place,
        )

    # ------------------------------------------------------------------ what its jobs did

    def lines(self, word: str = "ran", queue: str | None = None) -> list[str]:
        """The ids of the jobs that wrote this word into the ledger, in order."""
        noted = [line.split() for line in self.ledger.read_text().splitlines()]
        return [n[2] for n in noted if n[0] == word and queue in {None, n[1]}]

    def tally(self, word: str = "ran") -> Counter[str]:
        """How often each job wrote this word."""
        return Counter(self.lines(word))

    def open_gate(self) -> None:
        """Let the jobs that hold go on."""
        self.gate.touch()


def _hashable(event: dict[str, Any]) -> dict[str, Any]:
    return {k: v for k, v in event.items() if isinstance(v, str | int | float | bool | None)}


def run_each(d: Daemon, store: Store, queue: str, tasks: Iterable[str]) -> None:
    """A daemon's whole life: a job of each task, with its name for an id, and an end in order."""
    d.start()
    for name in tasks:
        store.add(queue, name, [name])
    for name in tasks:
        d.wait_for("job.completed", job_id=name)
    assert d.stop() == 0
    assert d.all("daemon.stopped")


class Store:
    """A test's own look at the store, from outside of all daemons."""

    def __init__(self, url: str) -> None:
        self.url = url

    def do(self, work: Callable[[BaseBackend], Awaitable[Answer]]) -> Answer:
        async def whole() -> Answer:
            backend = open_backend(self.url)
            try:
                return await work(backend)
            finally:
                await backend.close()

        return asyncio.run(whole())

    def add(
        self,
        queue: str,
        task: str,
        ids: Iterable[str],
        *args: Any,
        delay: float = 0.0,
        key: str | None = None,
    ) -> list[str]:
        """Enqueue a job for each id, due in `delay` seconds."""
        specs = [JobSpec(id=each, task=task, args=list(args), key=key) for each in ids]
        jobs = [
            NewJob(id=spec.id, payload=encode_spec(spec), delay=delay, key=key or "")
            for spec in specs
        ]
        added = self.do(lambda backend: backend.add(queue, jobs))
        assert all(added)
        return [job.id for job in jobs]

    def freeze(self, pid: int) -> None:
        """SIGSTOP, at a moment at which the process keeps no lock of the store.

        While a stopped process is in the middle of a write to SQLite, nobody else can write.
        """
        while True:
            os.kill(pid, signal.SIGSTOP)
            until(lambda: psutil.Process(pid).status() == psutil.STATUS_STOPPED)
            if self._can_be_written:
                return
            os.kill(pid, signal.SIGCONT)

    @property
    def _can_be_written(self) -> bool:
        if not self.url.startswith("sqlite://"):
            return True
        path = self.url.removeprefix("sqlite://")
        with closing(sqlite3.connect(path, timeout=0, isolation_level=None)) as connection:
            try:
                connection.execute("BEGIN IMMEDIATE")
            except sqlite3.OperationalError:
                return False
            connection.execute("ROLLBACK")
        return True

    def counts(self, queue: str) -> Counts:
        return self.do(lambda backend: backend.counts([queue]))[queue]

    def serving(self) -> set[int]:
        """The pids of the processes that are listed as workers."""
        records = self.do(lambda backend: backend.workers())
        return {serving_of(each.info).pid for each in records}

    def get(self, queue: str, id: str) -> Record:
        (record,) = self.do(lambda backend: backend.get(queue, [id]))
        assert record is not None
        return record
