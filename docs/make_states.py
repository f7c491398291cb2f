"""Draw docs/states.md and docs/claiming.md from their tables; `--check`: are they up to date?"""  # noqa: INP001 - no package

from __future__ import annotations

import itertools
import sys
from pathlib import Path

from asyncmqd.domain.states import EDGES, LIVE, TERMINAL, Edge, Rank, State
from asyncmqd.runtime.claiming.claim_decision import (
    EFFECTS,
    MEANINGS,
    NEWS,
    Do,
    LoopState,
    View,
    next_step,
)

DOCS = Path(__file__).parent

INTRO = """\
<!-- made by docs/make_states.py from asyncmqd/domain/states.py; do not edit -->
# States of a job

A job is in exactly one state. It moves along these edges, and in no other way. `settle` (or an
operator's command) decides about every edge except `claim` and `promote`. A store writes an edge
only if the job is still in one of the edge's states **and** still has the token of the worker
that decided. Otherwise the store refuses it.

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
        "    [*] --> blocked: add",
    ]
    for edge in EDGES.values():
        lines += [f"    {source} --> {edge.target}: {edge.name}" for source in _in_order(edge)]
    lines += [f"    {state} --> [*]" for state in State if state in TERMINAL]
    return "\n".join([*lines, "```", ""])


def table() -> str:
    """The edges with their meaning."""
    lines = ["| edge | from | to | place there | meaning |", "|---|---|---|---|---|"]
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


# ---------------------------------------------------------------------- the claim loop

CLAIMING = """\
<!-- made by docs/make_states.py from asyncmqd/runtime/claiming/claim_decision.py; do not edit -->
# States of a claim loop

Each worker has one claim loop. It is in exactly one state at any moment, and news moves it to
another one. `next_step` decides from the state, and from what is free, runs and has ended, what the
loop does next. [Why it is so](decisions/claim-loop-decides.md).

"""


def claiming_page() -> str:
    """The whole page."""
    return CLAIMING + "\n".join([*_news_diagram(), "", *_states(), "", *_news(), "", *_steps(), ""])


def _news_diagram() -> list[str]:
    names: dict[tuple[LoopState, LoopState], list[str]] = {}
    for news in NEWS:
        for way in news.moves.items():
            names.setdefault(way, []).append(news.name)
    return [
        "```mermaid",
        "stateDiagram-v2",
        f"    [*] --> {LoopState.NEW}",
        *(
            f"    {source} --> {target}: {', '.join(names[source, target])}"
            for source, target in sorted(names, key=lambda pair: [*map([*LoopState].index, pair)])
        ),
        f"    {LoopState.LEFT} --> [*]",
        "```",
    ]


def _states() -> list[str]:
    rows = [
        f"| `{each}` | {MEANINGS[each]} | {', '.join(f'`{do}`' for do in _possible(each))} |"
        for each in LoopState
        if each is not LoopState.NEW
    ]
    return ["| state | meaning | what the loop may do in it |", "|---|---|---|", *rows]


def _possible(state: LoopState) -> list[Do]:
    """All that is done in a state, whatever else there is."""
    either = (False, True)
    views = itertools.product(either, either, either, (0, 1), either, (0, 1), either, (0, 1, 4))
    found = {next_step(View(state, *known, 2, None, None)).do for known in views}
    return [do for do in Do if do in found]


def _news() -> list[str]:
    rows = [f"| `{news.name}` | {news.meaning} |" for news in NEWS]
    return ["| news | meaning |", "|---|---|", *rows]


def _steps() -> list[str]:
    rows = [f"| `{do}` | {EFFECTS[do]} |" for do in Do]
    return ["| step | what the loop does |", "|---|---|", *rows]


PAGES = {DOCS / "states.md": page, DOCS / "claiming.md": claiming_page}


def main() -> None:
    """Write the pages, or exit 1 if `--check` finds one outdated."""
    for path, make in PAGES.items():
        if "--check" not in sys.argv:
            path.write_text(make())
        elif path.read_text() != make():
            sys.exit(f"{path}: not what the tables say: run make docs")


if __name__ == "__main__":
    main()
