"""From measured values to medians, ratios and tables."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from peers import OTHERS, OURS, OURS_SQLITE, PEERS, Peer
from work import WORKS, Work

TITLES = {
    "cpu_us": "CPU µs/job",
    "server_us_per_job": "Redis CPU µs/job",
    "commands_per_job": "commands/job",
    "reads_per_job": "requests/job",
    "stored_per_job": "stored B/job",
    "fill_rate": "in bulk jobs/s",
    "rss_mb": "RSS MB",
    "half_mb": "RSS MB half-way",
    "peak_mb": "most RSS MB",
    "idle_cpu": "idle CPU ms/s",
    "idle_commands": "idle commands/s",
}
RATES = ("rate", "fill_rate")  # more of these is better, of all others less

Table = dict[str, dict[str, Any]]


@dataclass
class Results:
    """All values of a session: by work, then by peer, one entry a run."""

    machine: dict[str, str] = field(default_factory=dict)
    values: Table = field(default_factory=dict)
    counts: Table = field(default_factory=dict)  # of jobs
    notes: Table = field(default_factory=dict)  # why a peer has no values, or what was odd
    seconds: float = 0.0  # that all of it took

    def add(self, work: str, peer: str, count: int, values: dict[str, float]) -> None:
        self.values.setdefault(work, {}).setdefault(peer, []).append(values)
        self.counts.setdefault(work, {})[peer] = count

    def note(self, work: str, peer: str, text: str) -> None:
        self.notes.setdefault(work, {})[peer] = text

    def column(self, work: str, peer: str, column: str) -> list[float]:
        """One value of each run."""
        runs = self.values.get(work, {}).get(peer, [])
        return [run[column] for run in runs if column in run]

    def median(self, work: str, peer: str, column: str) -> float | None:
        found = self.column(work, peer, column)
        return statistics.median(found) if found else None

    @property
    def depth(self) -> str:
        """How many runs there are of each value: "5", or "1 to 5"."""
        depths = [len(runs) for peers in self.values.values() for runs in peers.values()]
        least, most = min(depths, default=0), max(depths, default=0)
        return f"{most}" if least == most else f"{least} to {most}"

    def as_json(self) -> dict[str, Any]:
        return vars(self)


def facts(results: Results) -> str:
    """What was measured on what, and when."""
    took = f"{results.seconds / 60:.0f} minutes"
    told = results.machine | {"values": f"medians of {results.depth} runs", "took": took}
    return "\n".join(f"- {name}: {text}" for name, text in told.items() if text)


def tables(results: Results) -> str:
    """One table for each piece of work, in Markdown."""
    shown = [_table(work, results) for work in WORKS if results.values.get(work.name)]
    return "\n\n".join(shown)


def losses(results: Results) -> list[str]:
    """The works in which a peer is better than we are, and how much."""
    lines = []
    for work in WORKS:
        better = [
            f"{peer.name} {_ratio(work, peer, results):.2f}"
            for peer in _ranked(work, results)
            if peer in OTHERS and _beats(work.column, work, peer, results)
        ]
        if better:
            less = "" if work.more_is_better else " (less is better)"
            lines.append(f"- {work.title}, times asyncmqd{less}: {', '.join(better)}")
    return lines or ["Nowhere in this run."]


def _ours(peer: Peer) -> Peer:
    """Whom a peer is compared with: like with like, a server with a server, a file with a file."""
    return OURS_SQLITE if peer.store == "sqlite" else OURS


def _ratio(work: Work, peer: Peer, results: Results) -> float | None:
    mine = results.median(work.name, peer.name, work.column)
    ours = results.median(work.name, _ours(peer).name, work.column)
    return mine / ours if mine is not None and mine >= 0 and ours else None


def _beats(column: str, work: Work, peer: Peer, results: Results) -> bool:
    theirs = results.median(work.name, peer.name, column)
    ours = results.median(work.name, _ours(peer).name, column)
    if theirs is None or ours is None or number(theirs) == number(ours):
        return False
    if theirs < 0:  # jobs that ran before they were due, a store that shrank meanwhile
        return False
    return theirs > ours if column in RATES else theirs < ours


def _table(work: Work, results: Results) -> str:
    main = work.unit if work.column == "rate" else f"{work.column} {work.unit}"
    head = ["", "jobs", main, "least to most", "/ ours"]
    head += [TITLES.get(name, f"{name} {work.unit}") for name in work.columns]
    rows = [_row(work, peer, results) for peer in _ranked(work, results)]
    used = [at for at in range(len(head)) if at < 3 or any(row[at] for row in rows)]
    shown = [[row[at] for at in used] for row in [head, *rows]]
    lines = [f"### {work.title}", "", *markdown(shown)]
    notes = results.notes.get(work.name, {})
    if notes:
        lines += ["", *(f"- {peer}: {text}" for peer, text in notes.items())]
    return "\n".join(lines)


def _ranked(work: Work, results: Results) -> list[Peer]:
    measured = [
        peer for peer in PEERS if results.median(work.name, peer.name, work.column) is not None
    ]
    return sorted(
        measured,
        key=lambda peer: abs(results.median(work.name, peer.name, work.column) or 0.0),
        reverse=work.more_is_better,
    )


def _row(work: Work, peer: Peer, results: Results) -> list[str]:
    values = results.column(work.name, peer.name, work.column)
    ratio = _ratio(work, peer, results)
    cells = [
        peer.name,
        f"{results.counts[work.name][peer.name]:,}",
        _cell(work.column, work, peer, results),
        f"{number(min(values))} to {number(max(values))}" if len(values) > 1 else "",
        "" if ratio is None else f"{ratio:.2f}",
    ]
    return cells + [_cell(column, work, peer, results) for column in work.columns]


def _cell(column: str, work: Work, peer: Peer, results: Results) -> str:
    """A median; in bold where a peer beats us."""
    median = results.median(work.name, peer.name, column)
    if median is None:
        return ""
    beats = peer in OTHERS and _beats(column, work, peer, results)
    return f"**{number(median)}**" if beats else number(median)


def number(value: float) -> str:
    """Three digits that mean something."""
    if value >= 100:
        return f"{value:,.0f}"
    return f"{value:.1f}" if value >= 10 else f"{value:.2f}"


def markdown(rows: Sequence[Sequence[str]]) -> list[str]:
    """A table of cells, the first row of which is its head."""
    widths = [max(len(row[at]) for row in rows) for at in range(len(rows[0]))]
    lines = [
        "| " + " | ".join(cell.ljust(w) for cell, w in zip(row, widths, strict=True)) + " |"
        for row in rows
    ]
    rule = "|" + "|".join("-" * (w + 1) + (":" if at else "-") for at, w in enumerate(widths)) + "|"
    return [lines[0], rule, *lines[1:]]
