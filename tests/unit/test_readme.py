"""README.md: its tables are those of the models, its links lead somewhere."""

from __future__ import annotations

import re
import runpy
from pathlib import Path

from asyncmqd.observe.event_names import EDGE_EVENTS, EVENT_LEVELS

PROJECT = Path(__file__).parents[2]
README = (PROJECT / "README.md").read_text()


def test_the_tables_of_keys_are_those_of_the_models():
    render = runpy.run_path(str(PROJECT / "docs" / "make_configuration.py"))["render"]
    assert README.count("| key | unit | default | meaning |") == 4
    assert render(README) == README, "run `make docs`"


def test_every_event_with_a_level_of_its_own_is_named():
    rows = re.findall(r"^\| `(\w+\.)` \| (.*) \|$", README, re.MULTILINE)
    named = {prefix + name for prefix, names in rows for name in re.findall(r"`(\w+)`", names)}
    assert {*EVENT_LEVELS, *EDGE_EVENTS.values()} - {"loop.blocked"} <= named


def test_links_to_files_lead_to_files():
    targets = re.findall(r"\]\((?!https?:)([^)#]+)\)", README)
    assert targets
    assert [target for target in targets if not (PROJECT / target).exists()] == []


def test_every_decision_fits_on_a_screen():
    pages = list((PROJECT / "docs" / "decisions").glob("*.md"))
    assert pages
    assert {page.name for page in pages if len(page.read_text().splitlines()) > 20} == set()


def test_the_files_that_internals_names_are_there():
    text = (PROJECT / "docs" / "internals.md").read_text()
    named = set(re.findall(r"`((?:\w+/)+\w+\.(?:py|lua))`", text))
    assert named
    assert {name for name in named if not _find(name)} == set()


def _find(name: str) -> bool:
    bases = (PROJECT, PROJECT / "asyncmqd", PROJECT / "asyncmqd/backends")
    return any((base / name).exists() for base in bases)
