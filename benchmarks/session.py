"""One session of measuring: all peers in turn, each value kept as soon as it is there."""

from __future__ import annotations

import argparse
import json
import os
import platform
import shutil
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import environments
from measure import Bench
from peers import Peer
from processes import LIMIT, MeasurementFailed, Programs
from report import Results, number
from servers import RedisServer
from stores import Redis, Sqlite, Store
from work import Work

HERE = Path(__file__).parent
BUSY = 0.7  # load average above which the figures are not worth much
TRIES = 2  # failures after which a peer is not asked to do that work again


class Session:
    """Measures pairs of a work and a peer as often as wanted, and fills the results."""

    def __init__(
        self, wanted: argparse.Namespace, results: Results, pairs: Sequence[tuple[Work, Peer]]
    ) -> None:
        self._wanted = wanted
        self._results = results
        self._pairs = _possible(pairs, results)
        self._failures: Counter[tuple[str, str]] = Counter()

    def measure(self) -> None:
        """Do all that is wanted and not there yet; what was measured is in the file at any time."""
        turns = [
            (run, work, peer)
            for run in range(self._wanted.runs)
            for work, peer in (self._pairs, self._pairs[::-1])[run % 2]  # all see the same weather
            if run >= len(self._results.column(work.name, peer.name, work.column))
        ]
        if not turns:
            return
        with (
            tempfile.TemporaryDirectory(prefix="bench") as place,
            RedisServer(self._wanted.server, Path(place), tcp=True) as server,
        ):
            self._results.machine = self._machine(server)
            for run, work, peer in turns:
                began = time.monotonic()
                self._one(run, work, peer, server)
                self._results.seconds += time.monotonic() - began
                self._save()

    def _one(self, run: int, work: Work, peer: Peer, server: RedisServer) -> None:
        """Measure once, or note why not."""
        if self._failures[work.name, peer.name] >= TRIES:
            return
        if reason := self._too_slow(work, peer):
            self._results.note(work.name, peer.name, f"left out: {reason}")
            return
        began = time.monotonic()
        try:
            shown = self._measured(work, peer, server)
        except Exception as error:  # one peer's trouble must not cost the others' figures
            self._failures[work.name, peer.name] += 1
            shown = f"failed: {error if isinstance(error, MeasurementFailed) else repr(error)}"
            self._results.note(work.name, peer.name, shown.splitlines()[0].rstrip(":"))
        took = time.monotonic() - began
        print(f"{run + 1}: {work.title}: {peer.name}: {shown} ({took:.1f} s)", flush=True)

    def _too_slow(self, work: Work, peer: Peer) -> str | None:
        """Whether this run has shown that the peer cannot even enqueue the jobs in time."""
        rate = self._results.median("bulk", peer.name, "rate")
        if work.kind == "backlog" and rate:
            seconds = work.jobs_for(peer, self._wanted.scale) / rate
            if seconds > LIMIT:
                return f"enqueuing them would take it {seconds:,.0f} s"
        return None

    def _measured(self, work: Work, peer: Peer, server: RedisServer) -> str:
        count = work.jobs_for(peer, self._wanted.scale)
        server.flush()
        with tempfile.TemporaryDirectory(prefix="bench") as place, server.client() as client:
            url, store = server.tcp_url, _redis(client)
            if peer.store == "sqlite":
                url = f"sqlite://{place}/jobs.db{peer.options}"
                store = Sqlite(Path(place) / "jobs.db")
            environment = environments.prepare(peer)
            programs = Programs(peer, work.name, Path(place), url, environment)
            values = Bench(peer, work, count, programs, store).measure()
        self._results.add(work.name, peer.name, count, values)
        if more := values.get("more_runs"):
            self._results.note(work.name, peer.name, f"ran {more:.0f} jobs once more than asked")
        return f"{number(values[work.column])} {work.unit}"

    # ------------------------------------------------------------------ what goes with the values

    def _save(self) -> None:
        path: Path = self._wanted.json
        path.parent.mkdir(parents=True, exist_ok=True)
        unfinished = path.with_name(path.name + ".part")
        unfinished.write_text(json.dumps(self._results.as_json(), indent=1) + "\n")
        unfinished.rename(path)

    def _machine(self, server: RedisServer) -> dict[str, str]:
        with server.client() as client:
            version = client.info("server")["redis_version"]
        load = os.getloadavg()[0]
        if load > BUSY:
            print(f"the machine is busy (load {load:.1f}): do not trust these figures")
        facts = Path("/proc/cpuinfo").read_text().splitlines()
        model = [line.split(":")[1].strip() for line in facts if "model name" in line]
        earlier = self._results.machine
        resumed = f"{earlier['when']}, resumed " if earlier else ""
        arguments = [each for each in sys.argv[1:] if earlier or each != "--resume"]
        command = " ".join(["python", "benchmarks/run.py", *arguments])
        peers = earlier.get("peers", "").split(", ") if earlier else []
        peers += [each for _, peer in self._pairs for each in peer.requirements]
        return {
            "when": resumed + time.strftime("%Y-%m-%d %H:%M UTC", time.gmtime()),
            "command": f"{earlier['command']}, then {command}" if earlier else command,
            "machine": f"{model[0] if model else platform.machine()}, {os.cpu_count()} cores,"
            f" Linux {platform.release()}, load {load:.1f} at the start",
            "software": f"Python {platform.python_version()}, Redis {version}"
            f" ({self._wanted.server}, no persistence), commit {_commit()}",
            "peers": ", ".join(dict.fromkeys(peers)),
        }


def _possible(pairs: Sequence[tuple[Work, Peer]], results: Results) -> list[tuple[Work, Peer]]:
    """The pairs that can be measured here; why the others cannot goes into the results."""
    missing: dict[Peer, str] = {}
    for peer in dict.fromkeys(peer for _, peer in pairs):
        try:
            environments.prepare(peer)
        except environments.Unavailable as reason:
            print(f"{peer.name} is left out: {reason}", flush=True)
            missing[peer] = str(reason)
    possible = []
    for work, peer in pairs:
        reason = missing.get(peer) or peer.lacks.get(work.name)
        if reason:
            results.note(work.name, peer.name, f"left out: {reason}")
        else:
            possible.append((work, peer))
    return possible


def load(path: Path) -> Results:
    """What a run that was stopped has measured, but for failures. Exits when there is none."""
    if not path.exists():
        raise SystemExit(f"--resume: expected the values of a run in {path}, found no such file")
    results = Results(**json.loads(path.read_text()))
    for work, notes in results.notes.items():
        kept = {peer: text for peer, text in notes.items() if not text.startswith("failed")}
        results.notes[work] = kept
    return results


def _redis(client: object) -> Store:
    return Redis(client)  # type: ignore[arg-type]


def _commit() -> str:
    git = shutil.which("git")
    if git is None:
        return "unknown"
    command = [git, "describe", "--always", "--dirty"]
    asked = subprocess.run(command, check=False, cwd=HERE, capture_output=True, text=True)
    return asked.stdout.strip() or "unknown"
