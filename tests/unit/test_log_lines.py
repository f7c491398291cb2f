"""Lines: whatever the fields are, one valid JSON object that is not too long."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from asyncmqd.observe.json_lines import LINE_LIMIT, json_line, json_lines
from asyncmqd.observe.log import _ConsoleRenderer

HEAD = {"timestamp": datetime(2026, 1, 2, tzinfo=UTC), "level": "info", "event": "x"}


class Unspeakable:
    def __repr__(self) -> str:
        raise RuntimeError("no")


class Interrupts:
    def __str__(self) -> str:
        raise MemoryError("no")


def line_of(**fields: Any) -> dict[str, Any]:
    line = json_line({**HEAD, **fields})
    assert len(line) <= LINE_LIMIT
    assert b"\n" not in line
    return json.loads(line)


def test_fields_come_as_they_are():
    shown = line_of(job_id="a", attempt=1, duration_ms=1.5, nothing=None, many=[1, "two"])
    assert list(shown)[:3] == ["timestamp", "level", "event"]
    assert shown["timestamp"] == "2026-01-02T00:00:00Z"
    assert (shown["attempt"], shown["duration_ms"], shown["many"]) == (1, 1.5, [1, "two"])
    assert "cut" not in shown


def test_an_error_of_200_kb_is_one_line_that_can_be_parsed():
    shown = line_of(error="ö" * 200_000, job_id="a")
    assert shown["cut"] is True
    assert shown["error"].startswith("ööö")
    assert (shown["job_id"], shown["event"]) == ("a", "x")


@pytest.mark.parametrize(
    "fields",
    [
        {f"field{number}": "x" * 4_000 for number in range(100)},
        {f"field{number}": "x" * 100 for number in range(5_000)},
        {"field" * 20_000: 1},
        {"control": "\0" * 60_000},
        {"nested": [{"deep": "x" * 100_000}]},
        {"event": "\0" * 60_000, "job_id": "\0" * 60_000, "task": "\0" * 60_000},
    ],
    ids=["long", "many", "long name", "escapes", "nested", "essential"],
)
def test_a_line_of_any_fields_has_an_end(fields):
    shown = line_of(**fields)
    assert shown["cut"] is True
    assert shown["level"] == "info"


def loop() -> list[Any]:
    endless: list[Any] = []
    endless.append(endless)
    return endless


@pytest.mark.parametrize(
    "value",
    ["\udc80", {("a", 1): 2}, loop(), Unspeakable(), Interrupts(), 2**80, b"\xff", float("nan")],
    ids=["surrogate", "key", "loop", "unspeakable", "interrupts", "large", "bytes", "nan"],
)
def test_a_field_that_json_cannot_carry_loses_neither_the_line_nor_the_other_fields(value):
    shown = line_of(value=value, attempt=1, ok=True)
    assert shown["event"] == "x"
    assert (shown["attempt"], shown["ok"]) == (1, True)
    assert shown["timestamp"] == "2026-01-02T00:00:00Z"
    assert "value" in shown


@given(st.dictionaries(st.text(), st.one_of(st.text(), st.integers(), st.floats(), st.binary())))
def test_any_text_is_carried(fields):
    line_of(**{"f" + name: value for name, value in fields.items()})


ODD = [
    {"text": "\x9f"},
    {"text": "a\nb\r\x7f"},
    {"text": "x" * 2 * LINE_LIMIT},
    {"text": "\ud800"},
    {"number": 2**70},
]


@pytest.mark.parametrize("odd", [[], [ODD[0]], [ODD[1]], [ODD[2]], [ODD[3]], [ODD[4]], ODD])
def test_lines_made_together_are_those_made_one_by_one(odd):
    events = [{"number": 1, "value": {"a": {}}}, *odd, {"text": "é"}]
    lines = [json_line({**HEAD, **event}) + b"\n" for event in events]
    assert json_lines(HEAD, events) == lines
    assert json_lines(HEAD, events[:1]) == lines[:1]
    assert json_lines(HEAD, [events[0]] * 2) == lines[:1] * 2
    assert json_lines(HEAD, []) == []


@pytest.mark.parametrize("odd", ODD)
def test_what_lines_have_in_common_may_be_odd(odd):
    events = [{"number": 1}, {"number": 2}]
    common = {**HEAD, **{f"its_{name}": value for name, value in odd.items()}}
    lines = [json_line({**common, **event}) + b"\n" for event in events]
    assert json_lines(common, events) == lines


def test_a_console_line_is_one_line_and_a_traceback_stands_apart():
    """An event of the application, or of a job, could fake a line, or turn a terminal's text."""
    render = _ConsoleRenderer()
    event = {
        **HEAD,
        "event": "a\n00:00:00.000 fake",
        "user": "\x1b[2J\u202e",
        "exception": "one\ntwo\x9b",
    }
    shown = render(event, {}, ours=False).decode()
    assert r"a\n00:00:00.000 fake" in shown
    assert r"\x1b[2J\u202e" in shown
    assert shown.endswith("  one\n  two\\x9b\n")
