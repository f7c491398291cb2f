"""Draw docs/states.md from the edge table; `--check` says whether it is up to date."""  # noqa: INP001 - no package

from __future__ import annotations

import sys
from pathlib import Path

from asyncmqd.domain.states import EDGES, LIVE, TERMINAL, Edge, Rank, State

PAGE = Path(__file__).with_name("states.md")

INTRO = """\
<!-- made by docs/make_states.py from asyncmqd/domain/states.py; do not edit -->
# States of a job

A job is in exactly one state, and it moves along these edges and along nothing else. Every edge
but `claim` and `promote` is decided by `settle` (or by an operator's command), written by a store
only if the job is still in one of the edge's states **and** still carries the token of whoever
decided, and refused otherwise.

"""

STANDS = {
    Rank.TAIL: "behind all jobs of its priority",
    Rank.KEPT: "where it stood",
    Rank.TIME: "by time",
}


def page() -> str:
    """The whole page."""
    return INTRO + diagram() + "\n" + table()


def diagram() -> str:
    """The states and edges as a Mermaid diagram. `cancel` and `replay` leave from all of a kind."""
    lines = [
        "```mermaid",
        "stateDiagram-v2",
        "    [*] --> waiting: add",
        "    [*] --> delayed: add",
    ]
    for edge in EDGES.values():
        lines += [f"    {source} --> {edge.target}: {edge.name}" for source in _in_order(edge)]
    lines += [f"    {state} --> [*]" for state in State if state in TERMINAL]
    return "\n".join([*lines, "```", ""])


def table() -> str:
    """The edges with their meaning."""
    lines = ["| edge | from | to | it stands there | meaning |", "|---|---|---|---|---|"]
    lines += [
        f"| `{edge.name}` | {_sources(edge)} | {edge.target} | {STANDS[edge.rank]} |"
        f" {edge.meaning} |"
        for edge in EDGES.values()
    ]
    return "\n".join([*lines, ""])


def _sources(edge: Edge) -> str:
    if edge.sources == LIVE:
        return "any live state"
    if edge.sources == TERMINAL:
        return "any ended state"
    return ", ".join(_in_order(edge))


def _in_order(edge: Edge) -> list[State]:
    return [state for state in State if state in edge.sources]


def main() -> None:
    """Write the page, or exit 1 if `--check` finds it outdated."""
    if "--check" not in sys.argv:
        PAGE.write_text(page())
    elif PAGE.read_text() != page():
        sys.exit(f"{PAGE}: not what the edge table says: run make docs")


if __name__ == "__main__":
    main()
