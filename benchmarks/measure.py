"""One measurement of one peer: real processes, watched from outside.

The rule for a drain is the same for every peer: from the start of the first job, as the worker
notes it, until the store says that no job is left, as this process sees it.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import environments
import psutil
import redis
from peers import PROGRAMS, QUEUE, Peer, daemon_config
from work import Work

from asyncmqd import Queue

LIMIT = 180.0  # seconds that any one measurement may take
GLANCE = 0.005  # seconds between looks at the store
REST = 0.5  # seconds for a worker to become idle
WARM_UP = 20  # samples that do not count
LONG_SCAN = 60.0  # seconds: our scan_interval where starts are timed, to show that it has no part

Values = dict[str, float]


class MeasurementFailed(Exception):
    """A program of a peer failed or hung; the message has the end of its output."""


class Bench:
    """One peer on one empty store, in a directory of its own."""

    def __init__(self, peer: Peer, place: Path, server: redis.Redis, server_url: str) -> None:
        self.peer = peer
        self.place = place
        self.server = server
        self.url = f"sqlite://{place}/jobs.db" if peer.store == "sqlite" else server_url
        self._interpreter, self._environment = environments.prepare(peer)
        self._runner = asyncio.Runner()

    def close(self) -> None:
        self._runner.close()

    def measure(self, work: Work) -> Values | None:
        """The values of one piece of work; None if the peer has no such thing."""
        if self.peer.store == "none":
            return self._bare(work) if work.argument == "nap" else None
        if work.argument == "delayed" and not self.peer.delays:
            return None
        kinds = {"enqueue": self._enqueue, "drain": self._drain, "latency": self._latency}
        return kinds[work.kind](work)

    # ------------------------------------------------------------------ kinds of work

    def _bare(self, work: Work) -> Values:
        return {"rate": work.count / self._run(str(work.count))}

    def _enqueue(self, work: Work) -> Values:
        before = self._server_counters()
        seconds = self._run("produce", work.argument, str(work.count))
        counters = self._server_counters()
        return {"rate": work.count / seconds} | {
            f"{name}_per_job": (counters[name] - before[name]) / work.count for name in counters
        }

    def _drain(self, work: Work) -> Values:
        self._run("produce", "fill", work.argument, str(work.count))
        before = self._server_counters()
        with self._worker() as worker:
            started = self._await("started", worker) / 1e9
            cpu = _cpu(worker)
            glances = self._until_nothing_is_left(worker)
            took = time.monotonic() - started
            cpu = _cpu(worker) - cpu
            rss = _rss(worker)
            counters = self._server_counters()
        values = {
            "rate": work.count / took,
            "cpu_us": cpu / work.count * 1e6,
            "rss_mb": rss / 1e6,
        }
        if counters:
            used = {name: counters[name] - before[name] for name in counters}
            used["commands"] -= glances * len(self.peer.left)
            used["reads"] -= glances
            values |= {f"{name}_per_job": value / work.count for name, value in used.items()}
        return values

    def _latency(self, work: Work) -> Values:
        wanted = work.count + WARM_UP
        with self._worker(samples=wanted, scan_interval=LONG_SCAN) as worker:
            self._run("produce", "single", "1")
            self._await("started", worker)
            time.sleep(REST)
            self._run("produce", work.argument, str(wanted))
            samples = sorted(self._await("samples", worker)[WARM_UP:])
        return {
            "p50": samples[len(samples) // 2] / 1e6,
            "p95": samples[len(samples) * 95 // 100] / 1e6,
            "p99": samples[len(samples) * 99 // 100] / 1e6,
            "max": samples[-1] / 1e6,
        }

    # ------------------------------------------------------------------ processes

    def _environ(self, samples: int = 0) -> dict[str, str]:
        return os.environ | {
            "BENCH_URL": self.url,
            "BENCH_DIRECTORY": str(self.place),
            "BENCH_MODULES": str(self._environment),
            "BENCH_SAMPLES": str(samples),
        }

    def _run(self, *arguments: str) -> float:
        """Run the peer's program to its end; the seconds that it says it took."""
        command = [self._interpreter, PROGRAMS / self.peer.program, *arguments]
        done = subprocess.run(
            command,
            check=False,
            env=self._environ(),
            capture_output=True,
            text=True,
            timeout=LIMIT,
        )
        if done.returncode:
            raise MeasurementFailed(f"{self.peer.name} {arguments}: {done.stderr[-2000:]}")
        return float(json.loads(done.stdout.splitlines()[-1])["seconds"])

    @contextlib.contextmanager
    def _worker(
        self, samples: int = 0, scan_interval: float | None = None
    ) -> Iterator[psutil.Process]:
        """The peer's worker, with its standard output in a file, until the block ends."""
        for name in ("started", "samples"):
            (self.place / name).unlink(missing_ok=True)
        with (self.place / "worker.log").open("ab") as log:
            process = subprocess.Popen(
                self._worker_command(scan_interval),
                env=self._environ(samples),
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        try:
            yield psutil.Process(process.pid)
        finally:
            process.send_signal(signal.SIGTERM)
            try:
                process.wait(15)
            except subprocess.TimeoutExpired:
                os.killpg(process.pid, signal.SIGKILL)
                process.wait()

    def _worker_command(self, scan_interval: float | None) -> list[str]:
        if self.peer.kind == "own":
            config = daemon_config(self.place, self.url, scan_interval)
            return [sys.executable, "-m", "asyncmqd", "run", "--config", str(config)]
        return [str(self._interpreter), str(PROGRAMS / self.peer.program), "work"]

    # ------------------------------------------------------------------ watching

    def _await(self, name: str, worker: psutil.Process) -> Any:
        """What the jobs of the worker publish under this name, once they do."""
        path = self.place / name
        deadline = time.monotonic() + LIMIT
        while not path.exists():
            self._check(worker, deadline)
            time.sleep(0.0005)
        return json.loads(path.read_text())

    def _until_nothing_is_left(self, worker: psutil.Process) -> int:
        """Wait for an empty store; how many looks it took."""
        deadline = time.monotonic() + LIMIT
        glances = 1
        while self._left():
            self._check(worker, deadline)
            time.sleep(GLANCE)
            glances += 1
        return glances

    def _check(self, worker: psutil.Process, deadline: float) -> None:
        if worker.status() == psutil.STATUS_ZOMBIE or time.monotonic() > deadline:
            log = (self.place / "worker.log").read_text(errors="replace")
            raise MeasurementFailed(f"the worker of {self.peer.name} died or hangs:\n{log[-2000:]}")

    def _left(self) -> int:
        if self.peer.store == "sqlite":
            counts = self._runner.run(Queue(QUEUE, self.url).counts())
            return counts.waiting + counts.active
        with self.server.pipeline(transaction=False) as pipeline:
            for command in self.peer.left:
                pipeline.execute_command(*command)
            return sum(map(_jobs, pipeline.execute()))

    def _server_counters(self) -> dict[str, float]:
        """Commands (those inside of scripts too), reads of a socket, and CPU time in us."""
        if self.peer.store != "redis":
            return {}
        info = self.server.info("everything")
        return {
            "commands": info["total_commands_processed"],
            "reads": info["total_reads_processed"],
            "server_us": (info["used_cpu_user"] + info["used_cpu_sys"]) * 1e6,
        }


def _jobs(answer: Any) -> int:
    """Jobs that a store's answer speaks of: a number, or the groups of a stream."""
    if isinstance(answer, int):
        return answer
    return sum(group["pending"] + (group["lag"] or 0) for group in answer)


def _family(process: psutil.Process) -> list[psutil.Process]:
    return [process, *process.children(recursive=True)]


def _cpu(process: psutil.Process) -> float:
    times = [each.cpu_times() for each in _family(process)]
    return sum(each.user + each.system for each in times)


def _rss(process: psutil.Process) -> int:
    return sum(each.memory_info().rss for each in _family(process))
