"""What the pages of measurements have in common: facts of the machine, quantiles, tables."""

from __future__ import annotations

import argparse
import os
import platform
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from servers import KINDS, USUAL

BEGIN, END = "<!-- measured: begin -->", "<!-- measured: end -->"

Rows = list[tuple[str, ...]]


def arguments(
    document: str, page: Path, short: str = "a tenth of everything: to try it"
) -> argparse.Namespace:
    """What the command line says; `document` is that of the program, `short` what --short does."""
    parser = argparse.ArgumentParser(description=document.split("\n", maxsplit=1)[0])
    parser.add_argument("--server", choices=KINDS, default=USUAL, help=f"default {USUAL}")
    parser.add_argument("--short", action="store_true", help=short)
    parser.add_argument("--write", action="store_true", help=f"replace the tables of {page.name}")
    return parser.parse_args()


def tell(wanted: argparse.Namespace, page: Path, sections: Sequence[str]) -> None:
    """Print the sections; if that is wanted, put them on the page."""
    text = "\n\n".join(sections)
    print(text)
    if wanted.write:
        before, _, rest = page.read_text().partition(BEGIN)
        page.write_text(f"{before}{BEGIN}\n{text}\n{END}{rest.partition(END)[2]}")


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
