"""`make check` lets nothing grow beyond a limit, and no exception stay that is not needed."""

from __future__ import annotations

import pytest

from tests.ratchets.check import banned_words, in_snake_case, names_in, problems, shrunk, sizes

USUAL = {"file_lines": {}, "function_lines": {}, "complexity": {}, "banned_names": {}}


@pytest.mark.parametrize(
    ("found", "listed", "wrong"),
    [
        ({}, {}, []),
        ({"a.py": 401}, {}, ["a.py: file_lines: expected 400, got 401"]),
        ({"a.py": 450}, {"a.py": 450}, []),
        ({"a.py": 449}, {"a.py": 450}, []),
        ({"a.py": 451}, {"a.py": 450}, ["a.py: file_lines: expected 450, got 451"]),
        ({}, {"a.py": 450}, ["a.py: file_lines: no exception any more"]),
    ],
)
def test_what_is_beyond_a_limit_may_only_shrink(found, listed, wrong) -> None:
    got = list(problems({**USUAL, "file_lines": found}, {"file_lines": listed}))
    assert [each.partition(": run")[0] for each in got] == wrong


def test_the_list_shrinks_and_never_grows() -> None:
    found = {**USUAL, "file_lines": {"a.py": 420, "new.py": 900}}
    listed = {"file_lines": {"a.py": 450, "gone.py": 500}}
    assert shrunk(found, listed) == {**USUAL, "file_lines": {"a.py": 420}}


def test_boolean_operators_are_part_of_the_complexity() -> None:
    def complexity(condition: str) -> int:
        code = f"def f(a, b, c, d):\n    if {condition}:\n        return 1\n"
        return next(size for limit, _, size in sizes("a.py", code) if limit == "complexity")

    assert complexity("a") < complexity("a and b") < complexity("a and b or c and not d")


def test_every_name_that_code_gives_is_looked_at() -> None:
    code = (
        "class A:\n    b: int\n    def c(self, d, *e, **f):\n        self.g = h = [i for i in d]\n"
    )
    assert set(names_in(code)) == {*"Abcdefghi", "self"}


def test_words_are_found_at_their_beginning_however_a_name_is_written() -> None:
    assert banned_words(
        "<!-- banned -->\n| not | but |\n|---|---|\n| a, b_c | d |\n<!-- end -->"
    ) == [
        "a",
        "b_c",
    ]
    assert in_snake_case("_ChildKeeper") == "_child_keeper"
    assert in_snake_case("SOLO_AT") == "_solo_at"
