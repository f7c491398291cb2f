"""How late jobs begin while many look at a daemon over HTTP.

    python benchmarks/http_load.py        measure SQLite and Redis, in about two minutes

In turns, on one daemon: nobody looks; 200 connections that never send the end of their request; 50
clients that ask /api/v1 and /metrics each second over connections that they keep; 50 event streams;
the half-open ones and the streams together. They are in a process of their own. Latency is from the
call that enqueues a job until it runs.
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
from pathlib import Path

from servers import USUAL, RedisServer

from asyncmqd import Queue
from asyncmqd.backends.factory import open_backend

ROUNDS = 3  # of each kind, in turns
JOBS = 150  # of each round
BETWEEN = 0.02  # seconds between two jobs
HALF_OPEN, STREAMS, CLIENTS = 200, 50, 50
PATHS = ("/metrics", "/api/v1/status", "/api/v1/queues", "/readyz")
TASKS = """
import os, time
from asyncmqd import task

BEGUN = os.open(os.environ["BEGUN"], os.O_WRONLY)

@task(name="begin", queue="mail")
async def begin(number: int) -> None:
    os.write(BEGUN, f"{number} {time.monotonic()}\\n".encode())
"""


KINDS = {
    "nobody": (),
    "half-open": ("_half_open",),
    "clients": ("_ask",),
    "streams": ("_stream",),
    "both": ("_half_open", "_stream"),
}
NUMBERS = {"_half_open": HALF_OPEN, "_ask": CLIENTS, "_stream": STREAMS}


class Load:
    """All that look at the daemon, until the process is ended."""

    def __init__(self, port: int) -> None:
        self._port = port
        self.answers = 0

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


async def beside(kind: str, port: int, queue: Queue, begun: asyncio.StreamReader) -> list[float]:
    """The latencies of a round while so many look."""
    if kind == "nobody":
        return await latencies(queue, begun)
    load = await asyncio.create_subprocess_exec(
        sys.executable, __file__, kind, str(port), stdout=asyncio.subprocess.PIPE
    )
    assert load.stdout is not None
    await load.stdout.readline()
    found = await latencies(queue, begun)
    load.terminate()
    await load.wait()
    return found


async def measure(url: str, port: int, pipe: int) -> None:
    begun = asyncio.StreamReader()
    await asyncio.get_running_loop().connect_read_pipe(
        lambda: asyncio.StreamReaderProtocol(begun), os.fdopen(pipe, "rb", 0)
    )
    await ready(port)
    store = open_backend(url)
    queue = Queue("mail", store)
    await latencies(queue, begun)  # warm
    found: dict[str, list[float]] = {kind: [] for kind in KINDS}
    for _ in range(ROUNDS):
        for kind, late in found.items():
            late += await beside(kind, port, queue, begun)
    await store.close()
    for kind, late in found.items():
        cuts = statistics.quantiles(late, n=100)
        print(
            f"  {kind:10} half {cuts[49]:6.2f} ms  p95 {cuts[94]:6.2f} ms  p99 {cuts[98]:6.2f} ms"
        )


def with_daemon(url: str, place: Path) -> None:
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
        asyncio.run(measure(url, port, read))
    finally:
        daemon.send_signal(signal.SIGTERM)
        daemon.wait(60)


def main() -> None:
    with tempfile.TemporaryDirectory(prefix="amq") as directory:
        place = Path(directory)
        print("SQLite")
        with_daemon(f"sqlite://{place}/jobs.db", place)
        (place / "redis").mkdir()
        with RedisServer(USUAL, place / "redis") as server:
            print(USUAL)
            with_daemon(server.url, place)


if __name__ == "__main__":
    if len(sys.argv) > 1:
        asyncio.run(Load(int(sys.argv[2])).run(sys.argv[1]))
    else:
        main()
