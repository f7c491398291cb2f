"""The same work by two versions of asyncmqd: the working tree, and a revision of its history.

    python benchmarks/run.py --against HEAD~1
    python benchmarks/run.py --against v0.1.0 --work drain --runs 11

Both have the libraries that are installed now. They take turns, and change places after each run.
"""

from __future__ import annotations

import io
import statistics
import subprocess
import tarfile
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from environments import HOME
from peers import OURS, OURS_SQLITE, ROOT, Peer
from report import Results, markdown, number
from work import WORKS, Work

USUAL = ("single", "bulk", "drain", "sleep", "latency")
CPU = "cpu_us"


def versions(revision: str) -> tuple[tuple[Peer, Peer], ...]:
    """On each store the working tree, and the revision. Exits if there is no such revision."""
    commit = _git("rev-parse", "--verify", "--quiet", f"{revision}^{{commit}}").decode().strip()
    if not commit:
        raise SystemExit(f"--against: expected a revision of this repository, got {revision!r}")
    tree = _extracted(commit)
    return tuple(
        (peer, replace(peer, name=f"{peer.name} at {commit[:10]}", tree=tree))
        for peer in (OURS, OURS_SQLITE)
    )


def _extracted(commit: str) -> Path:
    """The package as it was then."""
    place = HOME / "revisions" / commit[:10]
    if not place.exists():
        HOME.mkdir(exist_ok=True)
        (HOME / ".gitignore").write_text("*\n")
        unfinished = place.with_name(place.name + ".part")
        with tarfile.open(fileobj=io.BytesIO(_git("archive", commit, "asyncmqd"))) as package:
            package.extractall(unfinished, filter="data")
        unfinished.rename(place)
    return place


def _git(*arguments: str) -> bytes:
    try:
        done = subprocess.run(["git", "-C", ROOT, *arguments], check=False, capture_output=True)
    except FileNotFoundError:
        raise SystemExit("--against: git is not installed") from None
    return done.stdout


def comparison(both: Sequence[tuple[Peer, Peer]], works: Sequence[str], results: Results) -> str:
    """The ratios of all that was measured, in Markdown."""
    head = ["", "store", "unit", "then", "now", "now / then", "middle half", "pairs", "CPU a job"]
    rows = [
        row
        for work in WORKS
        if work.name in works
        for now, then in both
        if (row := _row(work, now, then, results))
    ]
    notes = [
        f"- {work.title}: {peer}: {text}"
        for work in WORKS
        for peer, text in results.notes.get(work.name, {}).items()
    ]
    return "\n".join([*markdown([head, *rows]), *([""] if notes else []), *notes])


def _row(work: Work, now: Peer, then: Peer, results: Results) -> list[str] | None:
    pairs = _ratios(work, now, then, results, work.column)
    if not pairs:
        return None
    cpu = _ratios(work, now, then, results, CPU)
    low, _, high = statistics.quantiles(pairs, n=4) if len(pairs) > 1 else pairs * 3
    medians = (results.median(work.name, peer.name, work.column) or 0.0 for peer in (then, now))
    unit = work.unit if work.column == "rate" else f"{work.column}, {work.unit}"
    return [
        work.title,
        now.store,
        unit,
        *map(number, medians),
        f"{statistics.median(pairs):.3f}",
        f"{low:.3f} to {high:.3f}",
        str(len(pairs)),
        f"{statistics.median(cpu):.3f}" if cpu else "",
    ]


def _ratios(work: Work, now: Peer, then: Peer, results: Results, column: str) -> list[float]:
    """One of each pair of neighbours, so that what slows both counts for neither."""
    mine, theirs = (results.column(work.name, peer.name, column) for peer in (now, then))
    pairs = zip(mine, theirs, strict=False)  # one may have failed
    return [a / b for a, b in pairs if b]  # few jobs take less than a tick of the CPU's clock
