"""The Python of README.md and docs/ can be read, and uses no name that its page does not have.

Who copies an example gets no NameError. Whether it does what the page says is for other tests.
"""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from pathlib import Path

import pytest

PROJECT = Path(__file__).parents[2]
PAGES = [PROJECT / "README.md", *sorted((PROJECT / "docs").glob("*.md"))]
EXAMPLES = {
    page.stem: blocks
    for page in PAGES
    if (blocks := re.findall(r"^```python\n(.*?)^```", page.read_text(), re.DOTALL | re.MULTILINE))
}
# What a page leaves to its reader: the URL of a database, an argument, an object of a framework.
IN_WORDS = {"around": {"DATABASE"}, "types": {"order", "background", "async_to_sync"}}


@pytest.mark.parametrize("page", EXAMPLES)
def test_the_examples_of_a_page_are_python(page: str) -> None:
    for block in EXAMPLES[page]:
        compile(block, page, "exec", ast.PyCF_ALLOW_TOP_LEVEL_AWAIT)


def test_an_example_uses_no_name_that_its_page_does_not_have(tmp_path: Path) -> None:
    for page, blocks in EXAMPLES.items():
        (tmp_path / f"page_{page}.py").write_text("\n\n".join(blocks))
    ruff = [sys.executable, "-m", "ruff", "check", "--isolated", "--select", "F821"]
    found = subprocess.run(
        [*ruff, "--output-format", "concise", "."], cwd=tmp_path, capture_output=True, text=True
    )
    assert found.returncode in {0, 1}, found.stderr
    missing = re.findall(
        r"^page_([\w-]+)\.py:.*F821 Undefined name `(\w+)`", found.stdout, re.MULTILINE
    )
    assert {(page, name) for page, name in missing if name not in IN_WORDS.get(page, ())} == set()
    assert {page for page, _ in missing} == set(IN_WORDS)


def _anchors(page: Path) -> set[str]:
    headings = re.findall(r"^#+ (.*)$", page.read_text(), re.MULTILINE)
    return {re.sub(r"[^\w -]", "", each.lower()).replace(" ", "-") for each in headings}


def test_links_to_a_part_of_a_page_lead_there() -> None:
    pages = [*PAGES, *sorted((PROJECT / "docs").glob("*/*.md"))]
    links = [
        (page, target, anchor)
        for page in pages
        for target, anchor in re.findall(r"\]\((?!https?:)([^)#]*)#([^)]+)\)", page.read_text())
    ]
    assert links
    for page, target, anchor in links:
        assert anchor in _anchors(page.parent / target if target else page), (page.name, anchor)
