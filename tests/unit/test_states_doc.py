"""docs/states.md and docs/claiming.md are what the tables say."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from types import ModuleType

from asyncmqd.domain.states import EDGES, State
from asyncmqd.runtime.claiming.claim_decision import NEWS, LoopState

DOCS = Path(__file__).parents[2] / "docs"


def script() -> ModuleType:
    spec = importlib.util.spec_from_file_location("make_states", DOCS / "make_states.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_pages_are_up_to_date() -> None:
    for path, make in script().PAGES.items():
        assert path.read_text() == make(), "run make docs"


def test_the_page_shows_every_state_and_every_edge_from_every_source() -> None:
    page = script().page()
    for edge in EDGES.values():
        assert f"| `{edge.name}` |" in page
        for source in edge.sources:
            assert f"    {source} --> {edge.target}: {edge.name}\n" in page
    assert page.count(" --> ") == 3 + sum(len(e.sources) for e in EDGES.values()) + 4
    assert all(f" {state}" in page for state in State)


def test_the_page_of_the_claim_loop_shows_every_state_and_every_way_between_them() -> None:
    page = script().claiming_page()
    for news in NEWS:
        assert f"| `{news.name}` |" in page
        for source, target in news.moves.items():
            way = next(line for line in page.splitlines() if f"    {source} --> {target}: " in line)
            assert news.name in way.partition(": ")[2].split(", ")
    assert all(f"| `{each}` |" in page for each in LoopState if each is not LoopState.NEW)
