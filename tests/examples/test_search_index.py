"""The example of docs/unique.md: a search index that is debounced."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path

from tests.daemon.harness import Daemon, until
from tests.examples.conftest import EXAMPLES
from tests.examples.reader import readme_of

FOLDER = EXAMPLES / "search_index"


def test_its_own_tests_pass() -> None:
    command = ["-W", "error", "-m", "pytest", "-q", "-p", "no:cacheprovider", "search_index"]
    done = subprocess.run([sys.executable, *command], cwd=EXAMPLES, capture_output=True, text=True)
    assert "2 passed" in done.stdout, done.stdout + done.stderr


def test_a_daemon_indexes_what_was_edited_last(tmp_path: Path) -> None:
    store, index = f"sqlite://{tmp_path}/jobs.db", tmp_path / "index.json"
    environ = {"ASYNCMQD_BACKEND": store, "SEARCH_INDEX": str(index), "PYTHONPATH": str(EXAMPLES)}
    edit = [sys.executable, "-c", "import sys; from search_index import edit, tasks\n"]
    edit[-1] += "edit.index_later = tasks.index.options(delay=0.5)\nprint(edit.save(*sys.argv[1:]))"
    said = [
        subprocess.check_output([*edit, "tea", text], env=environ, text=True)
        for text in ("grene", "green")
    ]
    assert said[0] == "queued\n"
    daemon = Daemon(
        tmp_path, store, "[queues.search]\n", tasks=["search_index.tasks"], environ=environ
    )
    daemon.start()
    try:
        until(lambda: index.exists() and index.read_text() == json.dumps({"tea": ["green"]}))
    finally:
        daemon.kill()


def test_its_readme_is_true(tmp_path: Path) -> None:
    index = tmp_path / "index.json"
    with readme_of("search_index", tmp_path, SEARCH_INDEX=str(index)) as (reader, rest):
        first, second, listed, last = rest.replace(
            "/tmp/search_index.json", str(index)
        ).splitlines()
        assert reader.type(f"{first}\n{second}") == "queued\npushed\n"
        assert reader.type(listed).count("search_index.tasks.index") == 1
        until(lambda: index.exists() and index.read_text())  # it is made before it is written
        assert reader.type(last).strip() == last.partition("# ")[2]


def test_its_page_shows_its_code() -> None:
    code = "\n".join(file.read_text() for file in FOLDER.glob("*.*"))
    page = (EXAMPLES.parent / "docs" / "unique.md").read_text()
    blocks = re.findall(r"^```(?:python|toml)\n(.*?)^```", page, re.DOTALL | re.MULTILINE)
    assert [block for block in blocks if "INDEX" in block and block not in code] == []
