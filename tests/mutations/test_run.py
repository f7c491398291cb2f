"""What the run of the mutations tries first; tests that leave processes behind, or hang."""

from __future__ import annotations

from pathlib import Path

import psutil
import pytest

from tests.daemon.family import gone
from tests.mutations.mutation import Mutation
from tests.mutations.run import FAILED, check_copy, run_tests, together

LEAVES = """
import pathlib, subprocess, time

def test_it():
    child = subprocess.Popen(["sleep", "600"])
    pathlib.Path("child").write_text(str(child.pid))
    time.sleep({seconds})
"""

PROFILE = "from hypothesis import settings\nsettings.register_profile('verdict')\n"


@pytest.fixture
def place(tmp_path: Path) -> Path:
    """Where tests are that have the options of the run."""
    (tmp_path / "conftest.py").write_text(PROFILE)
    return tmp_path


def _left(place: Path) -> psutil.Process:
    return psutil.Process(int((place / "child").read_text()))


def test_what_a_test_leaves_behind_is_not_waited_for(place: Path) -> None:
    (place / "test_it.py").write_text(LEAVES.format(seconds=0))
    code, text = run_tests(place, ("-s", "test_it.py"))  # -s: the child has pytest's own output
    _left(place).kill()
    assert (code, "1 passed" in text) == (0, True)


@pytest.mark.full
def test_of_a_test_that_hangs_nothing_is_left(place: Path) -> None:
    (place / "test_it.py").write_text(LEAVES.format(seconds=600))
    assert run_tests(place, ("-s", "test_it.py"), 10) == (FAILED, "it hung: no end within 10 s")
    assert gone(int((place / "child").read_text()))


def _named(*tests: str) -> Mutation:
    return Mutation("asyncmqd/x.py", "old", "new", tests)


def test_without_a_bug_only_the_tests_of_the_chosen_ones_run(place: Path) -> None:
    (place / "asyncmqd").mkdir()
    (place / "asyncmqd/__init__.py").touch()
    (place / "test_it.py").write_text("def test_good():\n    pass\n\ndef test_bad():\n    0 / 0\n")
    check_copy(place, [_named("test_it.py", "-k", "good"), _named("test_it.py::test_good")])
    with pytest.raises(AssertionError, match=r"test_it.py -k bad: [\s\S]*ZeroDivisionError"):
        check_copy(place, [_named("test_it.py", "-k", "good"), _named("test_it.py", "-k", "bad")])


def test_mutations_with_the_same_words_run_their_tests_together() -> None:
    chosen = [
        _named("test_b.py", "-k", "sqlite"),
        _named("test_c.py::test_it"),
        _named("test_a.py", "test_b.py", "-k", "sqlite"),
        _named("test_b.py", "-k", "memory or sqlite"),
    ]
    assert together(chosen) == [
        ("test_a.py", "test_b.py", "-k", "sqlite"),
        ("test_c.py::test_it",),
        ("test_b.py", "-k", "memory or sqlite"),
    ]
