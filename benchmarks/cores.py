"""Measure what more processes bring: the same jobs, drained by one and by several, in turn.

    python benchmarks/cores.py                       jobs of 200 us of Python, 1 and 2 processes
    python benchmarks/cores.py --micro 0 --runs 5    jobs that do nothing

The clock runs from the start of the first job until the store says that none is left. A daemon of
several processes has one more, which runs no jobs. This file is also the application that runs.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any, NamedTuple, Self

from asyncmqd import Queue, task

LIMIT = 300.0  # seconds that one drain may take
GLANCE = 0.01  # seconds between looks at the store
SLOTS = 100


_began: list[float] = []  # in this process


@task(name="compute")
async def compute(rounds: int) -> None:
    _note_begin()
    grind(rounds)


def grind(rounds: int) -> int:
    """Plain Python, which only another process can do at the same time."""
    value = 0
    for number in range(rounds):
        value ^= number
    return value


def _note_begin() -> None:
    if not _began:
        _began.append(time.monotonic())
        Path(os.environ["BEGUN"], f"{os.getpid()}").write_text(f"{_began[0]}")


class Drain(NamedTuple):
    """What one drain came to."""

    rate: float  # jobs a second
    cpu: float  # seconds, of all processes of the daemon
    rss: list[float]  # MB: the daemon, then its children


def main() -> int:
    """Measure, print."""
    from servers import KINDS, USUAL, RedisServer

    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--processes", type=int, nargs="+", default=[1, 2])
    parser.add_argument("--micro", type=int, default=200, help="microseconds that a job computes")
    parser.add_argument("--jobs", type=int, default=20_000)
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--server", choices=KINDS, default=USUAL)
    wanted = parser.parse_args()
    rounds = _rounds(wanted.micro / 1e6)
    drains: dict[int, list[Drain]] = {number: [] for number in wanted.processes}
    with (
        tempfile.TemporaryDirectory(prefix="bench") as place,
        RedisServer(wanted.server, Path(place), tcp=True) as server,
    ):
        for run in range(wanted.runs):
            for number, done in drains.items():  # in turn, so that all see the same weather
                server.flush()
                done.append(_drain(server.tcp_url, number, rounds, wanted.jobs))
                print(f"{run + 1}: processes = {number}: {done[-1].rate:,.0f} jobs/s", flush=True)
    _print(drains, wanted.jobs)
    return 0


def _rounds(seconds: float) -> int:
    """How many rounds of `grind` take so long here, at best."""
    if not seconds:
        return 0
    best = min(_timed(100_000) for _ in range(20))
    return max(1, round(100_000 * seconds / best))


def _timed(rounds: int) -> float:
    began = time.perf_counter()
    grind(rounds)
    return time.perf_counter() - began


def _drain(url: str, processes: int, rounds: int, jobs: int) -> Drain:
    asyncio.run(_fill(url, rounds, jobs))
    with tempfile.TemporaryDirectory(prefix="cores") as place, _Daemon(place, url, processes) as d:
        while not d.begun:
            d.check()
            time.sleep(GLANCE)
        before, began = d.cpu(), min(d.begun)
        asyncio.run(_empty(url, d))
        took = time.monotonic() - began
        return Drain(jobs / took, d.cpu() - before, d.rss())


async def _fill(url: str, rounds: int, jobs: int) -> None:
    await Queue("bench", backend=url).add_bulk([compute.job(rounds) for _ in range(jobs)])


async def _empty(url: str, daemon: _Daemon) -> None:
    queue = Queue("bench", backend=url)
    while (counts := await queue.counts()).waiting or counts.active:
        daemon.check()
        await asyncio.sleep(GLANCE)


class _Daemon:
    """`asyncmqd run` with its defaults; its log lines go into a file."""

    def __init__(self, place: str, url: str, processes: int) -> None:
        self._place = Path(place)
        self._config = self._place / "queues.toml"
        self._config.write_text(
            f'backend = "{url}"\ntasks = ["cores"]\npython_path = ["{Path(__file__).parent}"]\n'
            f'control_socket = "{place}/control.sock"\nprocesses = {processes}\n'
            f"[queues.bench]\nconcurrency = {SLOTS}\n"
        )
        (self._place / "begun").mkdir()
        self._deadline = time.monotonic() + LIMIT

    def __enter__(self) -> Self:
        import psutil

        with (self._place / "log").open("w") as log:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "asyncmqd", "run", "--config", self._config],
                stdout=log,
                env=os.environ | {"BEGUN": f"{self._place}/begun"},
                cwd=self._place,
            )
        self._watched = psutil.Process(self._process.pid)
        return self

    def __exit__(self, *_: object) -> None:
        self._process.send_signal(signal.SIGTERM)
        self._process.wait(60)

    def check(self) -> None:
        if self._process.poll() is not None or time.monotonic() > self._deadline:
            raise SystemExit((self._place / "log").read_text()[-2_000:] or "it takes too long")

    @property
    def begun(self) -> list[float]:
        """When each process began its first job."""
        notes = (path.read_text() for path in (self._place / "begun").iterdir())
        return [json.loads(note) for note in notes if note]

    def _all(self) -> list[Any]:
        return [self._watched, *self._watched.children()]

    def cpu(self) -> float:
        return sum(sum(each.cpu_times()[:2]) for each in self._all())

    def rss(self) -> list[float]:
        return [each.memory_info().rss / 1e6 for each in self._all()]


def _print(drains: dict[int, list[Drain]], jobs: int) -> None:
    first = next(iter(drains.values()))
    for number, done in drains.items():
        rate = statistics.median(drain.rate for drain in done)
        ratio = statistics.median(
            drain.rate / base.rate for drain, base in zip(done, first, strict=True)
        )
        cpu = statistics.median(drain.cpu for drain in done) / jobs * 1e6
        rss = ", ".join(f"{each:.0f}" for each in done[-1].rss)
        print(f"processes = {number}: {rate:,.0f} jobs/s, {ratio:.2f} times the first,", end=" ")
        print(f"{cpu:.0f} us of CPU a job, RSS {rss} MB")


if __name__ == "__main__":
    # The daemon imports this file by its own name: its task must not be __main__'s.
    sys.exit(main())
