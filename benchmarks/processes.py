"""The programs of a peer as processes: run to their end, or kept while a block runs."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import struct
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
from peers import PROGRAMS, Peer, daemon_config
from servers import die_with_parent

LIMIT = 60.0  # seconds that any one step of a measurement may take
LOOK = 0.005  # seconds between looks at what the jobs have noted


class MeasurementFailed(Exception):
    """A program of a peer failed or hung; the message has the end of its output."""


class Programs:
    """What one peer runs for one measurement, in a directory of its own."""

    def __init__(
        self, peer: Peer, work: str, place: Path, url: str, environment: tuple[Path, Path]
    ) -> None:
        self.peer = peer
        self.work = work
        self.place = place
        self.url = url
        self._interpreter, directory = environment
        self._environ = os.environ | {
            "BENCH_URL": url,
            "BENCH_DIRECTORY": str(place),
            "BENCH_MODULES": str(directory),
            "BENCH_WORK": work,
            "BENCH_VARIANT": peer.variant,
        }
        if peer.kind == "own":
            self._environ["PYTHONPATH"] = str(peer.tree)

    def run(self, program: str, *arguments: str) -> dict[str, float]:
        """Run a program to its end; what it printed last."""
        command = [self._interpreter, PROGRAMS / program, *arguments]
        try:
            done = subprocess.run(
                command,
                check=False,
                env=self._environ,
                capture_output=True,
                text=True,
                timeout=LIMIT,
            )
        except subprocess.TimeoutExpired:
            took = f"took more than {LIMIT:.0f} s"
            raise MeasurementFailed(f"{' '.join(arguments)}: {took}") from None
        if done.returncode:
            error = done.stderr.strip()[-2000:]
            last = error.rpartition("\n")[2] or f"exit code {done.returncode}"
            raise MeasurementFailed(f"{' '.join(arguments)}: {last}\n{error}")
        answer: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
        return answer

    def produce(self, *arguments: str) -> dict[str, float]:
        return self.run(self.peer.program, "produce", *arguments)

    @contextlib.contextmanager
    def worker(self) -> Iterator[Worker]:
        """The peer's worker, with its output in a file, until the block ends."""
        log = self.place / "worker.log"
        with log.open("ab") as output:
            process = subprocess.Popen(
                self._worker_command(),
                env=self._environ,
                stdout=output,
                stderr=output,
                start_new_session=True,
                preexec_fn=die_with_parent(),  # noqa: PLW1509 - it only calls prctl
            )
        try:
            yield Worker(psutil.Process(process.pid), self.place, log)
        finally:
            with contextlib.suppress(ProcessLookupError):  # at once, for all that it has is emptied
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()

    def _worker_command(self) -> list[str]:
        if self.peer.kind == "own":
            config = daemon_config(self.place, self.url, self.work)
            return [sys.executable, "-P", "-m", "asyncmqd", "run", "--config", str(config)]
        return [str(self._interpreter), str(PROGRAMS / self.peer.program), "work"]


class Worker:
    """A running worker, as seen from outside."""

    def __init__(self, process: psutil.Process, place: Path, log: Path) -> None:
        self._process = process
        self._place = place
        self._log = log
        self._deadline = time.monotonic() + LIMIT

    @property
    def pid(self) -> int:
        return int(self._process.pid)

    def started(self) -> float:
        """When its first job began, once that has happened."""
        path = self._place / "started"
        while not path.exists():
            self.check()
            time.sleep(LOOK / 10)
        return int(path.read_text()) / 1e9

    def until_runs(self, wanted: int, deadline: float = float("inf")) -> int:
        """Wait for so many runs, or for the moment; how many there are then."""
        while (runs := self.runs()) < wanted and time.monotonic() < deadline:
            self.check()
            time.sleep(LOOK)
        return runs

    def runs(self) -> int:
        """Runs that the jobs have counted, in all processes."""
        files = [file.read_bytes() for file in self._place.glob("runs-*")]
        return sum(struct.unpack("<q", each)[0] for each in files if len(each) == 8)

    def samples(self, wanted: int) -> list[int]:
        """What the jobs have measured, in ns, once there is so much of it."""
        path = self._place / "samples"
        while not path.exists() or path.stat().st_size < wanted * 8:
            self.check()
            time.sleep(LOOK)
        return list(struct.unpack(f"<{wanted}q", path.read_bytes()[: wanted * 8]))

    def check(self) -> None:
        """Raises MeasurementFailed when the worker is dead or late."""
        dead = self._process.status() == psutil.STATUS_ZOMBIE
        if dead or time.monotonic() > self._deadline:
            what = "died" if dead else f"had done {self.runs()} runs after {LIMIT:.0f} s"
            end = self._log.read_text(errors="replace")[-2000:]
            raise MeasurementFailed(f"the worker {what}:\n{end}")

    def cpu(self) -> float:
        """CPU seconds of it and its children so far."""
        return sum(sum(times[:2]) for times in self._ask("cpu_times"))

    def rss_mb(self) -> float:
        return sum(memory.rss for memory in self._ask("memory_info")) / 1e6

    def peak_mb(self) -> float:
        """The most that it has ever had, of those processes that live now."""
        return sum(_peak(each.pid) for each in self._family()) / 1e6

    def _ask(self, what: str) -> list[Any]:
        answers = []
        for each in self._family():
            with contextlib.suppress(psutil.NoSuchProcess):
                answers.append(getattr(each, what)())
        return answers

    def _family(self) -> list[psutil.Process]:
        return [self._process, *self._process.children(recursive=True)]


def _peak(pid: int) -> int:
    with contextlib.suppress(FileNotFoundError):
        for line in Path(f"/proc/{pid}/status").read_text().splitlines():
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) * 1024
    return 0
