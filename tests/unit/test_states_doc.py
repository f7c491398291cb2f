"""docs/states.md is what the edge table says."""

from __future__ import annotations

import importlib.util
from pathlib import Path

from asyncmqd.domain.states import EDGES, State

DOCS = Path(__file__).parents[2] / "docs"


def made() -> str:
    spec = importlib.util.spec_from_file_location("make_states", DOCS / "make_states.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    page: str = module.page()
    return page


def test_the_page_is_up_to_date() -> None:
    assert (DOCS / "states.md").read_text() == made(), "run make docs"


def test_the_page_shows_every_state_and_every_edge_from_every_source() -> None:
    page = made()
    for edge in EDGES.values():
        assert f"| `{edge.name}` |" in page
        for source in edge.sources:
            assert f"    {source} --> {edge.target}: {edge.name}\n" in page
    assert page.count(" --> ") == 2 + sum(len(e.sources) for e in EDGES.values()) + 4
    assert all(f" {state}" in page for state in State)
