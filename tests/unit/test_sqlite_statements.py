"""The statements of the .sql files, as the sqlite3 of every supported Python takes them."""

from __future__ import annotations

import re
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from asyncmqd.backends.sqlite import sql_statements

FILES = [file.name for file in Path(sql_statements.__file__).parent.glob("*.sql")]


@pytest.mark.parametrize("file", FILES)
def test_a_placeholder_is_bound_in_order_or_has_a_name(file: str) -> None:
    # Python takes `?1` for a name, and from 3.14 on refuses a sequence of values for names.
    statements = sql_statements.load(file).values()
    assert not [each for each in statements if re.search(r"\?\d", each)]
    mixed = [each for each in statements if "?" in each and re.search(r":[a-z]", each)]
    assert not mixed


@pytest.mark.parametrize(
    "name",
    ["lane", "lanes_of_key", "next_of_lane", "first_of_lanes", "costs_of_lane", "active_of_key"],
)
def test_what_concerns_one_key_passes_no_other(name: str) -> None:
    plan = steps_of(name)
    assert any(re.search(r"(lane|permit_key)=\?", step) for step in plan), plan


@pytest.mark.parametrize(
    "name", ["active_lanes", "first_levels", "gate", "forget_lanes", "forget_outdated_lanes"]
)
def test_what_concerns_lanes_of_one_kind_passes_no_other(name: str) -> None:
    """However many keys are closed, or had their last jobs a moment ago."""
    plan = [step for step in steps_of(name) if "lanes" in step]
    assert plan
    assert all(re.search(r"INDEX turns \(queue=\? AND activity[=<]\?", step) for step in plan), plan


def test_a_start_writes_one_index_of_lanes_and_an_enqueue_none() -> None:
    with closing(sqlite3.connect(":memory:")) as connection:
        connection.executescript(sql_statements.read("schema.sql"))
        roots = connection.execute("SELECT rootpage, name FROM sqlite_master WHERE rootpage")
        names = dict(roots.fetchall())
        for name, expected in (("save_lanes", {"lanes", "turns"}), ("save_lengths", {"lanes"})):
            query = sql_statements.load("moves.sql")[name]
            program = connection.execute(f"EXPLAIN {query}", [1] * query.count("?"))
            assert {names[row[3]] for row in program if row[1] == "OpenWrite"} == expected


def steps_of(name: str) -> list[str]:
    """The plan of a statement."""
    with closing(sqlite3.connect(":memory:")) as connection:
        connection.executescript(sql_statements.read("schema.sql"))
        query = sql_statements.load("moves.sql")[name]
        values = dict.fromkeys(re.findall(r":(\w+)", query), 1) or [1] * query.count("?")
        return [row[3] for row in connection.execute(f"EXPLAIN QUERY PLAN {query}", values)]
