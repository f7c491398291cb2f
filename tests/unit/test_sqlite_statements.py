"""The statements of the .sql files, as the sqlite3 of every supported Python takes them."""

from __future__ import annotations

import re

import pytest

from asyncmqd.backends.sqlite import sql_statements


@pytest.mark.parametrize("file", ["moves.sql", "reading.sql", "registry.sql"])
def test_a_placeholder_is_bound_in_order_or_has_a_name(file: str) -> None:
    # Python takes `?1` for a name, and from 3.14 on refuses a sequence of values for names.
    statements = sql_statements.load(file).values()
    assert not [each for each in statements if re.search(r"\?\d", each)]
    mixed = [each for each in statements if "?" in each and re.search(r":[a-z]", each)]
    assert not mixed
