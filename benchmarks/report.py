"""From measured values to medians, ratios and tables."""

from __future__ import annotations

import statistics
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from peers import BULLMQ, PEERS, REFERENCE, Peer
from work import WORKS, Work

COLUMNS = {
    "enqueue": ("commands_per_job", "reads_per_job", "server_us_per_job"),
    "drain": ("cpu_us", "server_us_per_job", "commands_per_job", "reads_per_job", "rss_mb"),
    "latency": ("p95", "p99", "max"),
}
TITLES = {
    "cpu_us": "worker CPU µs/job",
    "server_us_per_job": "Redis CPU µs/job",
    "commands_per_job": "commands/job",
    "reads_per_job": "requests/job",
    "rss_mb": "RSS MB",
}


@dataclass
class Results:
    """All values of a session: by work, then by peer, one entry a run."""

    machine: dict[str, str]
    values: dict[str, dict[str, list[dict[str, float]]]] = field(
        default_factory=lambda: defaultdict(lambda: defaultdict(list))
    )

    def add(self, work: str, peer: str, values: dict[str, float]) -> None:
        self.values[work][peer].append(values)

    def column(self, work: str, peer: str, column: str) -> list[float]:
        """One value of each run."""
        runs = self.values.get(work, {}).get(peer, [])
        return [run[column] for run in runs if column in run]

    def median(self, work: str, peer: str, column: str) -> float | None:
        found = self.column(work, peer, column)
        return statistics.median(found) if found else None

    def as_json(self) -> dict[str, Any]:
        return {"machine": self.machine, "values": self.values}


def tables(results: Results) -> str:
    """One table for each piece of work, in Markdown."""
    parts = [_machine(results)]
    parts += [_table(work, results) for work in WORKS if results.values.get(work.name)]
    return "\n\n".join(parts)


def _machine(results: Results) -> str:
    return "\n".join(f"- {name}: {text}" for name, text in results.machine.items())


def _table(work: Work, results: Results) -> str:
    others = COLUMNS[work.kind]
    main = f"{work.unit}" if work.column == "rate" else f"{work.column} {work.unit}"
    head = ["", main, "least to most", f"/ {BULLMQ.name}", f"/ {REFERENCE.name}"]
    head += [TITLES.get(name, f"{name} {work.unit}") for name in others]
    rows = [_row(work, peer, others, results) for peer in _ranked(work, results)]
    lines = [f"### {work.title} ({work.count:,} jobs)", "", *_markdown([head, *rows])]
    return "\n".join(lines)


def _ranked(work: Work, results: Results) -> list[Peer]:
    measured = [peer for peer in PEERS if results.values[work.name].get(peer.name)]
    return sorted(
        measured,
        key=lambda peer: results.median(work.name, peer.name, work.column) or 0.0,
        reverse=work.more_is_better,
    )


def _row(work: Work, peer: Peer, others: Sequence[str], results: Results) -> list[str]:
    values = results.column(work.name, peer.name, work.column)
    mine = statistics.median(values)
    cells = [peer.name, number(mine), f"{number(min(values))} to {number(max(values))}"]
    for other in (BULLMQ, REFERENCE):
        theirs = results.median(work.name, other.name, work.column)
        cells.append("" if not theirs else f"{mine / theirs:.2f}")
    for column in others:
        median = results.median(work.name, peer.name, column)
        cells.append("" if median is None else number(median))
    return cells


def number(value: float) -> str:
    """Three digits that mean something."""
    if value >= 100:
        return f"{value:,.0f}"
    return f"{value:.1f}" if value >= 10 else f"{value:.2f}"


def _markdown(rows: list[list[str]]) -> list[str]:
    widths = [max(len(row[at]) for row in rows) for at in range(len(rows[0]))]
    lines = [
        "| " + " | ".join(cell.ljust(w) for cell, w in zip(row, widths, strict=True)) + " |"
        for row in rows
    ]
    rule = "|" + "|".join("-" * (w + 1) + (":" if at else "-") for at, w in enumerate(widths)) + "|"
    return [lines[0], rule, *lines[1:]]
