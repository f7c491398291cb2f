"""Count the instructions of a job: a figure that does not depend on what else the machine does.

    python benchmarks/instructions.py                  all steps, by the working tree
    python benchmarks/instructions.py --step drain     one of them; repeatable
    python benchmarks/instructions.py --against REV    the same by an earlier version as well

Valgrind (callgrind) counts those of our process, not those of Redis or of the kernel. It begins
once the process has done some hundred jobs, so that imports and first calls are not counted.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import against
import environments
import processes
from peers import OURS, PROGRAMS, Peer
from processes import Programs
from programs.marks import QUEUE
from report import markdown
from servers import USUAL, RedisServer
from stores import Redis

WARM_UP = 300  # jobs
START_UP = 5.0  # seconds: what a daemon imports at its first look at all is not counted either
LIMIT = 600.0  # seconds: a process that is counted takes fifty times as long
_TOTALS = re.compile(r"^(?:totals|summary): (\d+)", re.MULTILINE)


class Counted(Programs):
    """The programs of asyncmqd, run by valgrind, which counts nothing at first."""

    def counting(self) -> list[str]:
        out = self.place / "counts"
        return [
            "valgrind",
            "--tool=callgrind",
            "--instr-atstart=no",
            f"--callgrind-out-file={out}",
            f"--log-file={self.place / 'valgrind.log'}",
        ]

    def _worker_command(self) -> list[str]:
        return [*self.counting(), *super()._worker_command()]

    @contextlib.contextmanager
    def steps(self) -> Iterator[subprocess.Popen[str]]:
        """The program that does one step for each line."""
        command = [*self.counting(), sys.executable, str(PROGRAMS / "run_calls.py")]
        with subprocess.Popen(
            command, env=self._environ, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        ) as process:
            try:
                yield process
            finally:
                process.kill()

    def count(self, pid: int, work: Callable[[], None]) -> int:
        """The instructions of that process while `work` is done."""
        _control("--instr=on", pid)
        work()
        _control("--dump", pid)
        (dump,) = self.place.glob("counts.*")
        found = _TOTALS.search(dump.read_text())
        assert found is not None, dump
        if kept := os.environ.get("KEEP_COUNTS"):  # for callgrind_annotate
            shutil.copy(dump, kept)
        dump.unlink()
        _control("--instr=off", pid)
        return int(found[1])


def _control(what: str, pid: int) -> None:
    subprocess.run(["callgrind_control", what, str(pid)], check=True, capture_output=True)


def drained(programs: Counted, store: Redis, jobs: int) -> int:
    """Instructions of the daemon for `jobs` jobs that do nothing: claim, run, settle, log."""

    def run(number: int) -> None:
        programs.produce("fill", "noop", str(number))
        while store.left(OURS.looks([QUEUE])):
            worker.check()
            time.sleep(processes.LOOK)

    with programs.worker() as worker:
        run(WARM_UP)
        time.sleep(START_UP)
        return programs.count(worker.pid, lambda: run(jobs))


def step(name: str, *before: str) -> Callable[[Counted, Redis, int], int]:
    """Instructions of a client that does a step; those before it are done first, not counted."""

    def counted(programs: Counted, _store: Redis, jobs: int) -> int:
        with programs.steps() as process:

            def run(each: str, number: int) -> None:
                assert process.stdin is not None
                assert process.stdout is not None
                print(each, number, file=process.stdin, flush=True)
                assert process.stdout.readline() == "done\n"

            for each in (*before, name):
                run(each, WARM_UP)
            for each in before:
                run(each, jobs)
            return programs.count(process.pid, lambda: run(name, jobs))

    return counted


STEPS = {
    "enqueue, one at a time": step("one"),
    "enqueue, in bulk": step("many"),
    "claim, ten in a call": step("claim", "many"),
    "settle, ten in a call": step("settle", "many", "claim"),
    "drain: claim, run, settle, log": drained,
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--step", action="append", help="only those that begin so; repeatable")
    parser.add_argument("--jobs", type=int, default=3_000)
    parser.add_argument("--against", metavar="REV", help="an earlier version, as git names it")
    wanted = parser.parse_args()
    sides = [OURS]
    if wanted.against:
        sides = list(against.versions(wanted.against)[0])
    rows = [["instructions a job", *(side.name for side in sides)]]
    for name, counted in STEPS.items():
        if not wanted.step or any(name.startswith(each) for each in wanted.step):
            numbers = [_once(side, counted, wanted.jobs) for side in sides]
            rows.append([name, *(f"{number / wanted.jobs:,.0f}" for number in numbers)])
            print(*rows[-1], sep="\t", flush=True)
    print("\n" + "\n".join(markdown(rows)))


def _once(peer: Peer, counted: Callable[[Counted, Redis, int], int], jobs: int) -> int:
    with (
        tempfile.TemporaryDirectory(prefix="bench") as place,
        RedisServer(USUAL, Path(place), tcp=True) as server,
        server.client() as client,
    ):
        own = Path(place) / "own"
        own.mkdir()
        programs = Counted(peer, "drain", own, server.tcp_url, environments.prepare(peer))
        return counted(programs, Redis(client), jobs)


if __name__ == "__main__":
    processes.LIMIT = LIMIT
    os.environ.pop("PYTHONDONTWRITEBYTECODE", None)  # or each run compiles all modules
    os.environ["PYTHONHASHSEED"] = "0"  # so that two runs count the same
    main()
