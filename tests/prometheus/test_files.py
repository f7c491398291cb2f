"""Each expression of docs/monitoring can be read, by a parser of the language."""

from __future__ import annotations

import promql_parser
import pytest

from tests.prometheus.files import queries, rules

EXPRESSIONS = [rule["expr"] for rule in rules()] + queries()


def test_there_are_many() -> None:
    assert len(rules()) > 10
    assert len(queries()) > 15


@pytest.mark.parametrize("written", EXPRESSIONS)
def test_an_expression_can_be_read(written: str) -> None:
    assert promql_parser.parse(written)


def test_an_alert_says_what_to_do() -> None:
    for rule in rules():
        if "alert" in rule:
            assert rule["labels"]["severity"] in {"page", "ticket"}
            assert {"summary", "help"} <= rule["annotations"].keys()
