"""Measure asyncmqd and other job queues: the same work, side by side, in turn.

    python benchmarks/run.py                  the short comparison: medians of 3
    python benchmarks/run.py --all --runs 5   all peers
    python benchmarks/run.py --write          also replace the tables of docs/performance.md

All peers use one real Redis server of a wheel, over loopback, emptied before each measurement; each
peer lives in an environment of its own under .bench/, made at the first run.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import subprocess
import sys
import tempfile
import time
from itertools import product
from pathlib import Path

import environments
from goals import GOALS
from measure import Bench, MeasurementFailed
from peers import PEERS, Peer
from report import Results, number, tables
from servers import KINDS, RedisServer
from work import WORKS, Work

HERE = Path(__file__).parent
PAGE = HERE.parent / "docs" / "performance.md"
BEGIN, END = "<!-- measured: begin -->", "<!-- measured: end -->"
BUSY = 0.7  # load average above which the figures are not worth much


def main() -> int:
    """Measure, print, write; 1 if a goal was missed."""
    wanted = _arguments()
    peers = _available(wanted)
    works = [work for work in WORKS if not wanted.work or work.name in wanted.work]
    with (
        tempfile.TemporaryDirectory(prefix="bench") as place,
        RedisServer(wanted.server, Path(place), tcp=True) as server,
    ):
        results = Results(_machine(wanted, peers, server))
        for run in range(wanted.runs):
            for work, peer in product(works, peers):  # in turn, so that all see the same weather
                _measure(peer, work, run, server, results)
    wanted.json.parent.mkdir(parents=True, exist_ok=True)
    wanted.json.write_text(json.dumps(results.as_json(), indent=1) + "\n")
    text, met = _report(results)
    print(f"\n{text}\n\nall values: {wanted.json}")
    if wanted.write:
        _write(text)
    return 0 if met else 1


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    names = [peer.name for peer in PEERS]
    parser.add_argument("--runs", type=int, default=3, help="measurements of each (default 3)")
    parser.add_argument("--all", action="store_true", help="all peers, not only the short list")
    parser.add_argument("--peer", action="append", choices=names, help="only this one; repeatable")
    parser.add_argument(
        "--work", action="append", choices=[w.name for w in WORKS], help="only this"
    )
    parser.add_argument("--server", choices=KINDS, default="redis8", help="default redis8")
    parser.add_argument("--json", type=Path, default=environments.HOME / "results.json")
    parser.add_argument("--write", action="store_true", help=f"replace the tables of {PAGE.name}")
    return parser.parse_args()


def _available(wanted: argparse.Namespace) -> list[Peer]:
    chosen = [
        peer
        for peer in PEERS
        if (peer.name in wanted.peer if wanted.peer else wanted.all or peer.quick)
    ]
    available = []
    for peer in chosen:
        try:
            environments.prepare(peer)
        except environments.Unavailable as reason:
            print(f"{peer.name} is left out: {reason}")
        else:
            available.append(peer)
    return available


def _measure(peer: Peer, work: Work, run: int, server: RedisServer, results: Results) -> None:
    server.flush()
    with tempfile.TemporaryDirectory(prefix="bench") as place, server.client() as client:
        bench = Bench(peer, Path(place), client, server.tcp_url)
        began = time.monotonic()
        try:
            values = bench.measure(work)
        except MeasurementFailed as error:  # one peer's trouble must not cost the others' figures
            print(f"{run + 1}: {work.title}: {error}", flush=True)
            return
        finally:
            bench.close()
    if values is not None:
        results.add(work.name, peer.name, values)
        shown = f"{number(values[work.column])} {work.unit}"
        took = time.monotonic() - began
        print(f"{run + 1}: {work.title}: {peer.name}: {shown} ({took:.0f} s)", flush=True)


def _machine(wanted: argparse.Namespace, peers: list[Peer], server: RedisServer) -> dict[str, str]:
    with server.client() as client:
        version = client.info("server")["redis_version"]
    load = os.getloadavg()[0]
    if load > BUSY:
        print(f"the machine is busy (load {load:.1f}): do not trust these figures")
    model = [
        line for line in Path("/proc/cpuinfo").read_text().splitlines() if "model name" in line
    ]
    return {
        "when": time.strftime("%Y-%m-%d %H:%M UTC", time.gmtime()),
        "command": " ".join(["python", "benchmarks/run.py", *sys.argv[1:]]),
        "machine": f"{model[0].split(':')[1].strip() if model else platform.machine()},"
        f" {os.cpu_count()} cores, Linux {platform.release()}, load {load:.1f} at the start",
        "software": f"Python {platform.python_version()}, Redis {version} ({wanted.server},"
        f" no persistence), commit {_commit()}",
        "peers": ", ".join(dict.fromkeys(each for peer in peers for each in peer.requirements)),
        "values": f"medians of {wanted.runs}",
    }


def _commit() -> str:
    asked = subprocess.run(
        ["git", "describe", "--always", "--dirty"],
        check=False,
        cwd=HERE,
        capture_output=True,
        text=True,
    )
    return asked.stdout.strip() or "unknown"


def _report(results: Results) -> tuple[str, bool]:
    judged = [goal.line(results) for goal in GOALS]
    lines = ["### Goals", "", "| | wanted | measured | |", "|-|-:|-:|-|"]
    lines += [line for line, _ in judged]
    return tables(results) + "\n\n" + "\n".join(lines), all(met is not False for _, met in judged)


def _write(text: str) -> None:
    page = PAGE.read_text()
    head, _, rest = page.partition(BEGIN)
    _, _, tail = rest.partition(END)
    PAGE.write_text(f"{head}{BEGIN}\n{text}\n{END}{tail}")


if __name__ == "__main__":
    sys.exit(main())
