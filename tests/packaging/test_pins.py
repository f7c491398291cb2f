"""What `make install` takes from an index: versions and hashes that are written down."""

from __future__ import annotations

import re
import tomllib

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from tests.packaging.conftest import ROOT, Installation, copy_source

NEEDED = ROOT / "packaging/requirements.txt"
TOOLS = ROOT / "packaging/build-requirements.txt"
ENTRY = re.compile(
    r"^([\w.-]+)==([\w.+!]+)(?: ; .*?)? \\\n((?: +--hash=sha256:[0-9a-f]{64}.*\n)+)", re.MULTILINE
)


def pinned(path) -> dict[str, str]:
    text = "".join(line for line in path.read_text().splitlines(keepends=True) if line[0] != "#")
    entries = list(ENTRY.finditer(text))
    assert "".join(entry[0] for entry in entries) == text, (
        "each line names a version with its hashes"
    )
    return {entry[1]: entry[2] for entry in entries}


@pytest.mark.parametrize(
    ("path", "table", "key"),
    [(NEEDED, "project", "dependencies"), (TOOLS, "build-system", "requires")],
)
def test_all_that_the_project_asks_for_is_pinned_and_fits(path, table, key) -> None:
    pins = pinned(path)
    for text in tomllib.loads((ROOT / "pyproject.toml").read_text())[table][key]:
        wanted = Requirement(text)
        version = pins.get(canonicalize_name(wanted.name))
        assert version is not None, f"{text}: run `make constraints`"
        assert wanted.specifier.contains(version), f"{text}: run `make constraints`"


def test_a_package_with_another_hash_is_refused(tmp_path, monkeypatch) -> None:
    nothing = Installation(tmp_path)
    nothing.source = copy_source(tmp_path / "source")
    # As if the index were what the other tests install from, and served something else.
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(ROOT / ".venv/wheels"))
    tools = nothing.source / "packaging/build-requirements.txt"
    tools.write_text(re.sub("(?<=sha256:)[0-9a-f]{8}", "0" * 8, tools.read_text()))
    done = nothing.make("install", WHEELS="")
    assert done.returncode != 0
    assert "DO NOT MATCH THE HASHES" in done.stderr
    assert "nothing was changed" in done.stderr
    assert not nothing.staged.exists() or not list(nothing.staged.rglob("*.py"))
