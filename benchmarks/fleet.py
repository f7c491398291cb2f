"""Real daemons for scale.py: started, waited for, watched and stopped."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import signal
import struct
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import plan
import psutil
import redis
from peers import PROGRAMS
from programs.marks import QUEUE
from stores import Redis

from asyncmqd import Queue
from asyncmqd.client.pending import NO_OPTIONS, CallOptions, PendingJob, pending

LIMIT = 120.0  # seconds that anything may take
LOOK = 0.005
REST = 3.0  # seconds for daemons to become idle
IDLE = 20.0  # seconds of watching an idle daemon
MET = 300  # jobs that meet idle daemons
PAUSE = 0.02  # seconds between them
JOBS = 40_000  # whose cost is measured
ARGUMENT = "x" * 100


@dataclass(frozen=True)
class Idle:
    """What a daemon costs that has nothing to do."""

    ready: float  # seconds from its start
    cpu_ms: float  # a second
    requests: float  # a second
    rss_mb: float


@dataclass(frozen=True)
class Met:
    """What it costs to run single jobs, with daemons that wait for them."""

    p50: float  # ms from enqueue to start
    p99: float
    requests: float  # a job, that of the producer among them
    cpu_us: float  # a job, of all daemons


def idle(url: str, place: Path, queues: int, store: Redis) -> Idle:
    """A daemon with so many queues, watched while nothing happens."""
    place.mkdir()
    names = [f"q{number}" for number in range(queues)]
    began = time.monotonic()
    with _daemons(url, place, 1, names, slots=10) as daemons:
        ready = time.monotonic() - began
        time.sleep(REST)
        cpu, reads = _cpu(daemons), store.counters()["reads"]
        time.sleep(IDLE)
        return Idle(
            ready,
            (_cpu(daemons) - cpu) / IDLE * 1e3,
            (store.counters()["reads"] - reads - 1) / IDLE,
            daemons[0].memory_info().rss / 1e6,
        )


def meet(url: str, place: Path, count: int, store: Redis) -> Met:
    """Single jobs, and so many idle daemons on their queue."""
    place.mkdir()
    with _daemons(url, place, count, [QUEUE], slots=10) as daemons:
        time.sleep(REST)
        cpu, reads = _cpu(daemons), store.counters()["reads"]
        asyncio.run(_enqueue_paced(url))
        samples = sorted(_samples(place, MET))
        used = store.counters()["reads"] - reads - 1
        return Met(
            samples[MET // 2] / 1e6,
            samples[MET * 99 // 100] / 1e6,
            used / MET,
            (_cpu(daemons) - cpu) / MET * 1e6,
        )


async def _enqueue_paced(url: str) -> None:
    queue = Queue(QUEUE, url)
    for _ in range(MET):
        await queue.add("stamp", time.monotonic_ns())
        await asyncio.sleep(PAUSE)
    await queue.backend.close()


def new_keys(url: str, place: Path) -> list[float]:
    """Milliseconds from the enqueue of the first job of a new key to its start, each in turn, while
    a daemon works on the backlogs of others.
    """
    place.mkdir()
    with _daemons(url, place, 1, [QUEUE], slots=10):
        time.sleep(REST)
        asyncio.run(_enqueue_new_keys(url))
        return [each / 1e6 for each in _samples(place, MET)]


async def _enqueue_new_keys(url: str) -> None:
    queue = Queue(QUEUE, url)
    for number in range(MET):
        options = CallOptions(key=f"new-{number}")
        await queue.add_bulk([pending("stamp", [time.monotonic_ns()], {}, options)])
        await asyncio.sleep(PAUSE)
    await queue.backend.close()


def unit_costs(url: str, place: Path, client: redis.Redis) -> plan.Costs:
    """What a job with 100 B of arguments takes on its way, from enqueue until it is forgotten."""
    place.mkdir()
    jobs = [pending("weigh", [ARGUMENT], {}, NO_OPTIONS) for _ in range(JOBS)]
    before = _server(client)
    producer = time.process_time()
    asyncio.run(_add(url, jobs))
    producer = time.process_time() - producer
    added = _server(client)
    with _daemons(url, place, 1, [QUEUE], slots=100) as daemons:
        while not (place / "started").exists():
            time.sleep(LOOK)
        began, cpu = time.monotonic(), _cpu(daemons)
        _until(lambda: client.zcard(f"asyncmq:{{{QUEUE}}}:waiting") == 0)
        took, cpu = time.monotonic() - began, _cpu(daemons) - cpu
        done = _server(client)
        rss = daemons[0].memory_info().rss / 1e6
    return plan.Costs(
        producer_us=producer / JOBS * 1e6,
        daemon_us=cpu / JOBS * 1e6,
        redis_us=(done["cpu"] - before["cpu"]) / JOBS * 1e6,
        waiting_bytes=(added["memory"] - before["memory"]) / JOBS,
        network_bytes=(done["network"] - before["network"]) / JOBS,
        drained=JOBS / took,
        rss_mb=rss,
    )


async def _add(url: str, jobs: list[PendingJob]) -> None:
    queue = Queue(QUEUE, url)
    await queue.add_bulk(jobs)
    await queue.backend.close()


def _server(client: redis.Redis) -> dict[str, float]:
    info: dict[str, Any] = client.info("everything")
    return {
        "cpu": info["used_cpu_user"] + info["used_cpu_sys"],
        "memory": info["used_memory"] - info.get("mem_clients_normal", 0),
        "network": info["total_net_input_bytes"] + info["total_net_output_bytes"],
    }


# ---------------------------------------------------------------------- processes


@contextlib.contextmanager
def _daemons(
    url: str, place: Path, count: int, queues: Sequence[str], slots: int
) -> Iterator[list[psutil.Process]]:
    """So many daemons, all of them ready, until the block ends."""
    started = [_start(url, place, number, queues, slots) for number in range(count)]
    try:
        for number in range(count):
            log = place / f"{number}.log"
            _until(lambda log=log: b'"daemon.ready"' in log.read_bytes())
        yield [psutil.Process(process.pid) for process in started]
    finally:
        for process in started:
            process.send_signal(signal.SIGTERM)
        for process in started:
            process.wait()


def _start(
    url: str, place: Path, number: int, queues: Sequence[str], slots: int
) -> subprocess.Popen[bytes]:
    lines = [
        f"backend = {json.dumps(url)}",
        'tasks = ["run_asyncmqd"]',
        f"python_path = [{json.dumps(str(PROGRAMS))}]",
        f"control_socket = {json.dumps(str(place / f'{number}.sock'))}",
        *(f"[queues.{name}]\nconcurrency = {slots}" for name in queues),
    ]
    config = place / f"{number}.toml"
    config.write_text("\n".join(lines) + "\n")
    environ = {"BENCH_DIRECTORY": str(place), "BENCH_WORK": "", "BENCH_VARIANT": ""}
    with (place / f"{number}.log").open("wb") as log:
        return subprocess.Popen(
            [sys.executable, "-m", "asyncmqd", "run", "--config", str(config)],
            env=os.environ | environ | {"BENCH_URL": url},
            stdout=log,
            stderr=log,
        )


def _samples(place: Path, count: int) -> list[int]:
    path = place / "samples"
    _until(lambda: path.exists() and path.stat().st_size >= 8 * count)
    return list(struct.unpack(f"<{count}q", path.read_bytes()[: 8 * count]))


def _until(true: Any) -> None:
    deadline = time.monotonic() + LIMIT
    while not true():
        if time.monotonic() > deadline:
            raise TimeoutError(f"not within {LIMIT:.0f} s")
        time.sleep(LOOK)


def _cpu(daemons: Sequence[psutil.Process]) -> float:
    return sum(sum(each.cpu_times()[:2]) for each in daemons)
