"""What the pages of measurements have in common: facts of the machine, quantiles, tables."""

from __future__ import annotations

import argparse
import os
import platform
import sys
import time
from pathlib import Path

BEGIN, END = "<!-- measured: begin -->", "<!-- measured: end -->"

Rows = list[tuple[str, ...]]


def machine(wanted: argparse.Namespace) -> str:
    """What was measured on what, and when."""
    load = f"load {os.getloadavg()[0]:.1f} at the start"
    facts = {
        "when": time.strftime("%Y-%m-%d %H:%M UTC", time.gmtime()),
        "command": " ".join(["python", f"benchmarks/{Path(sys.argv[0]).name}", *sys.argv[1:]]),
        "machine": f"{os.cpu_count()} cores, Linux {platform.release()}, {load}",
        "server": f"{wanted.server}, without persistence",
    }
    return "\n".join(f"- {name}: {fact}" for name, fact in facts.items())


def quantile(samples: list[float], share: float) -> float:
    """The sample below which that share of them is; the greatest for 1."""
    return sorted(samples)[min(int(len(samples) * share), len(samples) - 1)]


def table(rows: Rows) -> str:
    """In Markdown; the first row is the head."""
    lines = ["| " + " | ".join(row) + " |" for row in rows]
    return "\n".join([lines[0], "|" + "-:|" * len(rows[0]), *lines[1:]])


def replace(page: Path, text: str) -> None:
    """Put it in the place of what was measured before."""
    before, _, rest = page.read_text().partition(BEGIN)
    page.write_text(f"{before}{BEGIN}\n{text}\n{END}{rest.partition(END)[2]}")
