"""How late jobs begin, and how fast a backlog is drained, while many look at a daemon over HTTP.

    python benchmarks/http_load.py                        measure SQLite and Redis, in five minutes
    python benchmarks/http_load.py nobody,dashboards      only these, in turns

In turns, on one daemon: nobody looks; 200 connections that never send the end of their request; 50
clients that ask /api/v1 and /metrics each second over connections that they keep; 50 event streams;
the half-open ones and the streams together; 50 live dashboards, each with the stream of a browser,
which asks for its page again as the script of the pages does. They are in a process of their own.
Latency is from the call that enqueues a job until it runs. The drain is of jobs that do nothing.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from servers import USUAL, RedisServer

from asyncmqd import Queue, task
from asyncmqd.backends.factory import open_backend

ROUNDS = 3  # of each kind, in turns
DRAIN = 20_000  # jobs of each drain
JOBS = 150  # of each round
BETWEEN = 0.02  # seconds between two jobs
HALF_OPEN, STREAMS, CLIENTS, DASHBOARDS = 200, 50, 50, 50
PATHS = ("/metrics", "/api/v1/status", "/api/v1/queues", "/readyz")
PAGES = ("/", "/queues/mail", "/queues/mail?state=completed", "/dead")
TASKS = """
import os, time
from asyncmqd import task

BEGUN = os.open(os.environ["BEGUN"], os.O_WRONLY)

@task(name="begin", queue="mail")
async def begin(number: int) -> None:
    os.write(BEGUN, f"{number} {time.monotonic()}\\n".encode())

@task(name="nothing", queue="mail")
async def nothing() -> None:
    pass
"""


KINDS = {
    "nobody": (),
    "half-open": ("_half_open",),
    "clients": ("_ask",),
    "streams": ("_stream",),
    "both": ("_half_open", "_stream"),
    "dashboards": ("_look",),
}
NUMBERS = {"_half_open": HALF_OPEN, "_ask": CLIENTS, "_stream": STREAMS, "_look": DASHBOARDS}


@task(name="nothing", queue="mail")
async def nothing() -> None:
    """Enqueued here, run by the daemon."""


class Load:
    """All that look at the daemon, until the process is ended."""

    def __init__(self, port: int) -> None:
        self._port = port
        self.answers = 0
        self._hearing: set[asyncio.Task[None]] = set()

    async def run(self, kind: str) -> None:
        doers = [getattr(self, name) for name in KINDS[kind] for _ in range(NUMBERS[name])]
        tasks = [asyncio.create_task(each(number)) for number, each in enumerate(doers)]
        asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, self._end)
        await asyncio.sleep(1.0)
        print("begun", flush=True)
        await asyncio.gather(*tasks)

    def _end(self) -> None:
        print(self.answers, flush=True)
        os._exit(0)

    async def _half_open(self, _: int) -> None:
        while True:
            reader, writer = await asyncio.open_connection("127.0.0.1", self._port)
            writer.write(b"GET /metrics HTTP/1.1\r\nHost: localhost\r\n")
            with contextlib.suppress(OSError):
                await reader.read()  # until the daemon has had enough
            writer.close()
            await asyncio.sleep(0.1)

    async def _stream(self, _: int) -> None:
        reader, writer = await asyncio.open_connection("127.0.0.1", self._port)
        writer.write(b"GET /api/v1/events HTTP/1.1\r\nHost: localhost\r\n\r\n")
        while await reader.read(65_536):
            pass
        writer.close()

    async def _look(self, number: int) -> None:
        """A page in a browser: asked for again after a change, at most every two seconds."""
        changed = asyncio.Event()
        self._hearing.add(asyncio.create_task(self._hear(changed)))
        while True:
            await self._get(PAGES[number % len(PAGES)])
            self.answers += 1
            await asyncio.sleep(2.0)
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(8.0):
                    await changed.wait()
            changed.clear()

    async def _hear(self, changed: asyncio.Event) -> None:
        reader, writer = await asyncio.open_connection("127.0.0.1", self._port)
        writer.write(b"GET /live HTTP/1.1\r\nHost: localhost\r\n\r\n")
        is_change = False  # the first event tells the state, which the page knows
        while line := await reader.readline():
            if line.startswith(b"data:"):
                if is_change:
                    changed.set()
                is_change = True
        writer.close()

    async def _get(self, path: str) -> None:
        reader, writer = await asyncio.open_connection("127.0.0.1", self._port)
        fields = "Host: localhost\r\nX-Fragment: 1\r\nConnection: close\r\n"
        writer.write(f"GET {path} HTTP/1.1\r\n{fields}\r\n".encode())
        answer = await reader.read()
        if b" 200 " not in answer[:20]:
            raise OSError(answer[:200])
        writer.close()

    async def _ask(self, number: int) -> None:
        while True:
            with contextlib.suppress(OSError, EOFError):  # the daemon may close a connection
                await self._ask_on(PATHS[number % len(PATHS)])
            await asyncio.sleep(0.1)

    async def _ask_on(self, path: str) -> None:
        reader, writer = await asyncio.open_connection("127.0.0.1", self._port)
        while True:
            writer.write(f"GET {path} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode())
            head = await reader.readuntil(b"\r\n\r\n")
            await self._read_body(reader, head.lower())
            self.answers += 1
            await asyncio.sleep(1.0)

    @staticmethod
    async def _read_body(reader: asyncio.StreamReader, head: bytes) -> None:
        if b"content-length:" in head:
            size = int(head.partition(b"content-length:")[2].split(b"\r\n")[0])
            await reader.readexactly(size)
            return
        while size := int(await reader.readline(), 16):  # in chunks
            await reader.readexactly(size + 2)
        await reader.readline()


async def latencies(queue: Queue, begun: asyncio.StreamReader) -> list[float]:
    """Milliseconds, of each job of a round."""
    found = []
    for number in range(JOBS):
        called = time.monotonic()
        await queue.add("begin", number)
        _, at = (await begun.readline()).split()
        found.append((float(at) - called) * 1_000)
        await asyncio.sleep(BETWEEN)
    return found


async def ready(port: int) -> None:
    while True:
        with contextlib.suppress(OSError):
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            writer.write(b"GET /readyz HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
            if b" 200 " in await reader.readline():
                return
        await asyncio.sleep(0.1)


class Drained(NamedTuple):
    """A backlog that was drained."""

    rate: float  # jobs a second
    cost: float  # microseconds of the daemon's processor time, a job


async def drain(queue: Queue, begun: asyncio.StreamReader, pid: int) -> Drained:
    """Jobs that do nothing, until the last one begins."""
    await queue.pause("benchmark")
    for _ in range(DRAIN // 1_000):
        await queue.add_bulk([nothing.job() for _ in range(1_000)])
    await queue.add("begin", DRAIN)
    used, at = processor_time(pid), time.monotonic()
    await queue.resume()
    await begun.readline()
    took = time.monotonic() - at
    return Drained(DRAIN / took, (processor_time(pid) - used) / DRAIN * 1e6)


def processor_time(pid: int) -> float:
    """Seconds that a process has computed."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


class Seen(NamedTuple):
    """What was measured while so many look."""

    late: list[float]
    drained: list[Drained]


async def beside(kind: str, port: int, work: Callable[[], Awaitable[None]]) -> None:
    """Do the work while so many look."""
    if kind == "nobody":
        await work()
        return
    load = await asyncio.create_subprocess_exec(
        sys.executable, __file__, "--load", kind, str(port), stdout=asyncio.subprocess.PIPE
    )
    assert load.stdout is not None
    await load.stdout.readline()
    await work()
    load.terminate()
    await load.wait()


async def measure(url: str, port: int, pipe: int, pid: int, kinds: Sequence[str]) -> None:
    begun = asyncio.StreamReader()
    await asyncio.get_running_loop().connect_read_pipe(
        lambda: asyncio.StreamReaderProtocol(begun), os.fdopen(pipe, "rb", 0)
    )
    await ready(port)
    store = open_backend(url)
    queue = Queue("mail", store)
    await latencies(queue, begun)  # warm
    await drain(queue, begun, pid)
    found = {kind: Seen([], []) for kind in kinds}
    for _ in range(ROUNDS):
        for kind, seen in found.items():

            async def work(seen: Seen = seen) -> None:
                seen.late.extend(await latencies(queue, begun))
                seen.drained.append(await drain(queue, begun, pid))

            await beside(kind, port, work)
    await store.close()
    show(found)


def show(found: Mapping[str, Seen]) -> None:
    for kind, seen in found.items():
        cuts = statistics.quantiles(seen.late, n=100)
        rate = statistics.median(each.rate for each in seen.drained)
        cost = statistics.median(each.cost for each in seen.drained)
        print(
            f"  {kind:10} half {cuts[49]:6.2f} ms  p95 {cuts[94]:6.2f} ms  p99 {cuts[98]:6.2f} ms"
            f"  drain {rate:8,.0f} jobs/s, {cost:5.1f} us of processor time a job"
        )
    if "nobody" not in found:
        return
    alone = found["nobody"].drained
    for kind, seen in found.items():
        ratios = [each.rate / before.rate for each, before in zip(seen.drained, alone, strict=True)]
        if kind != "nobody":
            print(f"  {kind:10} drain rate over that of nobody: {statistics.median(ratios):.3f}")


def with_daemon(url: str, place: Path, kinds: Sequence[str]) -> None:
    pipe = place / "begun"
    pipe.unlink(missing_ok=True)
    os.mkfifo(pipe)
    read = os.open(pipe, os.O_RDWR | os.O_NONBLOCK)
    port = 19_140 + os.getpid() % 1_000
    (place / "bench_tasks.py").write_text(TASKS)
    (place / "queues.toml").write_text(
        f'backend = "{url}"\ntasks = ["bench_tasks"]\npython_path = ["{place}"]\n'
        f'control_socket = "{place}/c"\n[http]\nlisten = "127.0.0.1:{port}"\n[queues.mail]\n'
    )
    daemon = subprocess.Popen(
        [sys.executable, "-m", "asyncmqd", "run", "--config", f"{place}/queues.toml"],
        env={**os.environ, "BEGUN": str(pipe)},
        stdout=subprocess.DEVNULL,
    )
    try:
        asyncio.run(measure(url, port, read, daemon.pid, kinds))
    finally:
        daemon.send_signal(signal.SIGTERM)
        daemon.wait(60)


def main(kinds: Sequence[str]) -> None:
    with tempfile.TemporaryDirectory(prefix="amq") as directory:
        place = Path(directory)
        print("SQLite")
        with_daemon(f"sqlite://{place}/jobs.db", place, kinds)
        (place / "redis").mkdir()
        with RedisServer(USUAL, place / "redis") as server:
            print(USUAL)
            with_daemon(server.url, place, kinds)


if __name__ == "__main__":
    if sys.argv[1:2] == ["--load"]:
        asyncio.run(Load(int(sys.argv[3])).run(sys.argv[2]))
    else:
        main(sys.argv[1].split(",") if len(sys.argv) > 1 else list(KINDS))
