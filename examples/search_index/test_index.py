"""Edits and what is indexed of them, without a daemon and on a clock that jumps."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from asyncmqd import testing
from search_index import tasks
from search_index.edit import save


@pytest.fixture
def jobs(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[testing.App]:
    monkeypatch.setattr(tasks, "INDEX", tmp_path / "index.json")
    with testing.app() as jobs:
        yield jobs


def test_five_edits_are_indexed_once_with_the_last_text(jobs: testing.App) -> None:
    for number in range(5):
        assert save("tea", f"text {number}") == ("pushed" if number else "queued")
        jobs.advance(1)
    save("coffee", "black")
    ran = jobs.run_dry_sync(raise_failures=True)
    assert [each.result for each in ran] == [["4", "text"], ["black"]]


def test_a_page_that_is_edited_all_the_time_is_indexed_all_the_same(jobs: testing.App) -> None:
    began = jobs.now
    for number in range(20):
        save("tea", f"text {number}")
        jobs.advance(4)
    (ran,) = jobs.run_dry_sync(raise_failures=True)
    assert ran.result == ["19", "text"]
    assert jobs.now == began + 80  # it was due after a minute, and nobody was there
