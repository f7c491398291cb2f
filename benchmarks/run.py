"""Measure asyncmqd and other job queues: the same work, side by side, in turn.

    python benchmarks/run.py                  what the goals need, in a few minutes
    python benchmarks/run.py --all            every peer, every work
    python benchmarks/run.py --resume         go on where a run was stopped
    python benchmarks/run.py --write          also replace the tables of docs/performance.md
    python benchmarks/run.py --against REV    the working tree and an earlier version, nobody else

All peers use one real Redis server of a wheel, over loopback, emptied before each measurement; each
peer lives in an environment of its own under .bench/, made at the first run.
"""

from __future__ import annotations

import argparse
import signal
import sys
from collections.abc import Sequence
from pathlib import Path

import against
import environments
from goals import GOALS
from peers import PEERS, Peer
from report import Results, facts, losses, tables
from servers import KINDS, USUAL
from session import Session, load
from work import WORKS, Work

PAGE = Path(__file__).parent.parent / "docs" / "performance.md"
BEGIN, END = "<!-- measured: begin -->", "<!-- measured: end -->"


def main() -> int:
    """Measure, print, write; 1 if a goal was missed or the run was stopped."""
    wanted = _arguments()
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # so that both end it in order
    if wanted.against:
        return _against(wanted)
    results = load(wanted.json) if wanted.resume else Results()
    finished = _measure(wanted, results, _pairs(wanted))
    text, met = _report(results)
    print(f"\n{text}\n\nall values: {wanted.json}")
    if wanted.write and finished:  # half of the values would replace all
        _write(text)
    return 0 if met and finished else 1


def _against(wanted: argparse.Namespace) -> int:
    """Measure two versions of asyncmqd, and print what the later one does differently."""
    both = against.versions(wanted.against)
    works = wanted.work or against.USUAL
    pairs = [(work, peer) for work in WORKS if work.name in works for side in both for peer in side]
    results = Results()
    finished = _measure(wanted, results, pairs)
    print(f"\n{facts(results)}\n\n{against.comparison(both, works, results)}")
    return 0 if finished else 1


def _measure(
    wanted: argparse.Namespace, results: Results, pairs: Sequence[tuple[Work, Peer]]
) -> bool:
    """Whether it came to its end."""
    try:
        Session(wanted, results, pairs).measure()
    except KeyboardInterrupt:
        print("\nstopped: --resume goes on from here")
        return False
    return True


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    peers, works = [peer.name for peer in PEERS], [work.name for work in WORKS]
    parser.add_argument("--runs", type=int, default=5, help="measurements of each (default 5)")
    parser.add_argument("--all", action="store_true", help="all peers and all works")
    parser.add_argument("--peer", action="append", choices=peers, help="only this; repeatable")
    parser.add_argument("--work", action="append", choices=works, help="only this; repeatable")
    parser.add_argument("--scale", type=float, default=1.0, help="of the numbers of jobs, to try")
    parser.add_argument("--resume", action="store_true", help="keep what --json has already")
    parser.add_argument("--server", choices=KINDS, default=USUAL, help=f"default {USUAL}")
    parser.add_argument("--against", metavar="REV", help="an earlier version, as git names it")
    parser.add_argument("--json", type=Path, default=environments.HOME / "results.json")
    parser.add_argument("--write", action="store_true", help=f"replace the tables of {PAGE.name}")
    return parser.parse_args()


def _pairs(wanted: argparse.Namespace) -> list[tuple[Work, Peer]]:
    """What is measured in each run, in this order: all peers do one work before the next."""
    return [
        (work, peer)
        for work in WORKS
        if not wanted.work or work.name in wanted.work
        for peer in PEERS
        if _takes_part(work, peer, wanted)
    ]


def _takes_part(work: Work, peer: Peer, wanted: argparse.Namespace) -> bool:
    if work.only and peer not in work.only:
        return False
    if peer.only and work.name not in peer.only:
        return False
    if wanted.peer:
        return peer.name in wanted.peer
    everybody = wanted.all or (wanted.work and not work.quick)
    return bool(everybody or peer in work.quick)


def _report(results: Results) -> tuple[str, bool]:
    judged = [goal.line(results) for goal in GOALS]
    goals = [
        "### Goals",
        "",
        "| | wanted | measured | |",
        "|-|-:|-:|-|",
        *(row for row, _ in judged),
    ]
    lost = ["### Where asyncmqd loses", "", *losses(results)]
    parts = [facts(results), "\n".join(goals), "\n".join(lost), tables(results)]
    return "\n\n".join(parts), all(met is not False for _, met in judged)


def _write(text: str) -> None:
    page = PAGE.read_text()
    head, _, rest = page.partition(BEGIN)
    _, _, tail = rest.partition(END)
    PAGE.write_text(f"{head}{BEGIN}\n{text}\n{END}{tail}")


if __name__ == "__main__":
    sys.exit(main())
