"""How late jobs begin, and how fast a backlog is drained, while many look at a daemon over HTTP.

    python benchmarks/http_load.py                        SQLite and Redis, in ten minutes
    python benchmarks/http_load.py nobody,dashboards      only these, in turns
    python benchmarks/http_load.py --against HEAD~1       an earlier daemon in turns with ours

In turns: nobody looks; 200 connections that never send the end of their request; 50 clients that
ask /api/v1 and /metrics each second over connections that they keep; 50 event streams; the
half-open ones and the streams together; 50 live dashboards, each with the stream of a browser,
which asks for its page again as the script of the pages does. They are in a process of their own
(http_clients.py). Each turn has a store and a daemon of its own: events are told for a minute after
the last who watched, and would be paid by those who are measured next.

Latency is from the call that enqueues a job until it runs. The drain is of jobs that do nothing.
Where the clients share the cores with the daemon and its store, as they do here, the rate of a
drain also tells what they take. So their processor time stands beside it, and that of the daemon
and of Redis for a job.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import os
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Iterable, Iterator, Mapping
from pathlib import Path
from typing import NamedTuple

import against
import http_clients
from servers import USUAL, RedisServer, die_with_parent

from asyncmqd import Queue, task
from asyncmqd.backends.factory import open_backend

ROUNDS = 3  # of each kind, in turns
DRAIN = {"SQLite": 60_000, USUAL: 100_000}  # jobs of each drain
JOBS = 150  # of each round
BETWEEN = 0.02  # seconds between two jobs
NOBODY = "nobody"
OURS = ("daemon", "redis")  # whose processor time a job costs
KINDS = (NOBODY, *http_clients.KINDS)
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


@task(name="nothing", queue="mail")
async def nothing() -> None:
    """Enqueued here, run by the daemon."""


def processor_time(pid: int) -> float:
    """Seconds that all threads of a process have computed: the kernel has a clock for each."""
    return time.clock_gettime(~pid << 3 | 2)


class Drained(NamedTuple):
    """A backlog that was drained."""

    jobs: int
    took: float  # seconds
    used: dict[str, float]  # seconds of processor time of each process

    @property
    def rate(self) -> float:
        """Jobs a second."""
        return self.jobs / self.took

    def cost(self, *names: str) -> float:
        """Microseconds of processor time for a job."""
        return sum(self.used.get(name, 0.0) for name in names) / self.jobs * 1e6

    def share(self, name: str) -> float:
        """Of one core, in percent."""
        return self.used.get(name, 0.0) / self.took * 100


class Seen(NamedTuple):
    """What was measured while so many look."""

    late: list[float]
    drained: list[Drained]


class Setting(NamedTuple):
    """What one turn needs: a daemon with its store, and what its jobs tell."""

    queue: Queue
    begun: asyncio.StreamReader
    port: int
    pids: dict[str, int]


async def latencies(at: Setting) -> list[float]:
    """Milliseconds, of each job of a round."""
    found = []
    for number in range(JOBS):
        called = time.monotonic()
        await at.queue.add("begin", number)
        _, begun = (await at.begun.readline()).split()
        found.append((float(begun) - called) * 1_000)
        await asyncio.sleep(BETWEEN)
    return found


async def drain(at: Setting, jobs: int) -> Drained:
    """Jobs that do nothing, until the last one begins."""
    await at.queue.pause("benchmark")
    for _ in range(jobs // 1_000):
        await at.queue.add_bulk([nothing.job() for _ in range(1_000)])
    await at.queue.add("begin", jobs)
    await asyncio.sleep(1.0)  # what was told of them is behind us
    used, begun = _used(at.pids), time.monotonic()
    await at.queue.resume()
    await at.begun.readline()
    took, now = time.monotonic() - begun, _used(at.pids)
    return Drained(jobs, took, {name: now[name] - used[name] for name in used})


def _used(pids: Mapping[str, int]) -> dict[str, float]:
    return {name: processor_time(pid) for name, pid in pids.items()}


async def ready(port: int) -> None:
    while True:
        with contextlib.suppress(OSError):
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            writer.write(b"GET /readyz HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
            if b" 200 " in await reader.readline():
                return
        await asyncio.sleep(0.1)


@contextlib.asynccontextmanager
async def clients(kind: str, at: Setting) -> AsyncIterator[None]:
    """So many look."""
    if kind == NOBODY:
        yield
        return
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        http_clients.__file__,
        str(at.port),
        kind,
        stdout=asyncio.subprocess.PIPE,
        preexec_fn=die_with_parent(),
    )
    assert process.stdout is not None
    if await process.stdout.readline() != b"begun\n":
        raise SystemExit(f"{kind}: they could not begin")
    at.pids["clients"] = process.pid
    yield
    if process.returncode is not None:
        raise SystemExit(f"{kind}: they did not go on to the end")
    process.terminate()
    await process.wait()


async def measure(kind: str, jobs: int, url: str, place: Path, pids: dict[str, int]) -> Seen:
    """One turn."""
    begun = asyncio.StreamReader()
    pipe = os.open(place / "begun", os.O_RDWR | os.O_NONBLOCK)
    await asyncio.get_running_loop().connect_read_pipe(
        lambda: asyncio.StreamReaderProtocol(begun), os.fdopen(pipe, "rb", 0)
    )
    await ready(_port())
    store = open_backend(url)
    at = Setting(Queue("mail", store), begun, _port(), pids)
    await latencies(at)  # warm
    async with clients(kind, at):
        seen = Seen(await latencies(at), [await drain(at, jobs)])
    await store.close()
    return seen


def _port() -> int:
    return 19_140 + os.getpid() % 1_000


@contextlib.contextmanager
def stores(name: str, place: Path) -> Iterator[tuple[str, dict[str, int]]]:
    """An empty store: its URL, and the processes that it has."""
    if name == "SQLite":
        yield f"sqlite://{place}/jobs.db", {}
        return
    (place / "redis").mkdir()
    with RedisServer(name, place / "redis") as server:
        yield server.url, {"redis": server.pid}


def turn(kind: str, name: str, jobs: int, tree: Path | None) -> Seen:
    """A new daemon on an empty store."""
    with tempfile.TemporaryDirectory(prefix="amq") as directory:
        place = Path(directory)
        os.mkfifo(place / "begun")
        keep = os.open(place / "begun", os.O_RDWR)  # or a daemon that opens it would wait
        (place / "bench_tasks.py").write_text(TASKS)
        with stores(name, place) as (url, pids):
            (place / "queues.toml").write_text(
                f'backend = "{url}"\ntasks = ["bench_tasks"]\npython_path = ["{place}"]\n'
                f'control_socket = "{place}/c"\n[http]\nlisten = "127.0.0.1:{_port()}"\n'
                "[queues.mail]\n"
            )
            daemon = subprocess.Popen(
                [sys.executable, "-m", "asyncmqd", "run", "--config", f"{place}/queues.toml"],
                env={**os.environ, "BEGUN": f"{place}/begun", "PYTHONPATH": str(tree or "")},
                cwd=place,
                stdout=subprocess.DEVNULL,
                preexec_fn=die_with_parent(),  # noqa: PLW1509 - it only calls prctl
            )
            try:
                pids = {"daemon": daemon.pid, **pids}
                return asyncio.run(measure(kind, jobs, url, place, pids))
            finally:
                daemon.send_signal(signal.SIGTERM)
                daemon.wait(60)
                os.close(keep)


def show(found: Mapping[str, Seen]) -> None:
    """What was seen of each kind, and what it is of nobody's."""
    for kind, seen in found.items():
        cuts = statistics.quantiles(seen.late, n=100)
        print(
            f"  {kind:22} half {cuts[49]:6.2f} ms  p95 {cuts[94]:6.2f} ms  p99 {cuts[98]:6.2f} ms"
            f"  drain {_median(each.rate for each in seen.drained):8,.0f} jobs/s,"
            f" daemon {_median(each.cost('daemon') for each in seen.drained):5.1f} us a job,"
            f" Redis {_median(each.cost('redis') for each in seen.drained):5.1f},"
            f" clients {_median(each.share('clients') for each in seen.drained):4.1f} % of a core"
        )
    for kind, seen in found.items():
        alone = found.get(kind.replace(kind.split()[0], NOBODY, 1))
        if alone is not None and seen is not alone:
            pairs = [*zip(seen.drained, alone.drained, strict=True)]
            rate = _median(each.rate / before.rate for each, before in pairs)
            cost = _median(each.cost(*OURS) / before.cost(*OURS) for each, before in pairs)
            print(f"  {kind:22} of nobody: drain rate {rate:.3f}, processor time a job {cost:.3f}")


def _median(values: Iterable[float]) -> float:
    return statistics.median(values)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("kinds", nargs="?", default=",".join(KINDS))
    parser.add_argument("--store", action="append", choices=[*DRAIN], help="repeatable")
    parser.add_argument("--rounds", type=int, default=ROUNDS)
    parser.add_argument("--against", metavar="REV", help="an earlier version, as git names it")
    wanted = parser.parse_args()
    kinds = wanted.kinds.split(",")
    if unknown := {*kinds} - {*KINDS}:
        parser.error(f"expected some of {', '.join(KINDS)}, got {min(unknown)!r}")
    trees: dict[str, Path | None] = {"": None}
    if wanted.against:
        trees[f" at {wanted.against[:10]}"] = against.versions(wanted.against)[0][1].tree
    for store in wanted.store or DRAIN:
        print(store)
        found = {f"{kind}{of}": Seen([], []) for kind in kinds for of in trees}
        for _ in range(wanted.rounds):
            for kind in kinds:
                for of, tree in trees.items():
                    seen = turn(kind, store, DRAIN[store], tree)
                    found[f"{kind}{of}"].late.extend(seen.late)
                    found[f"{kind}{of}"].drained.extend(seen.drained)
        show(found)


if __name__ == "__main__":
    main()
