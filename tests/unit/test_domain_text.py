"""Text of others: what could deceive a person or a program is escaped, and the rest stays."""

from __future__ import annotations

import json

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from asyncmqd.domain.safe_text import clean, clean_json, clean_lines


@given(st.text())
def test_clean_text_has_no_control_characters(text: str) -> None:
    shown = clean(text)
    assert shown.isprintable()
    assert clean(shown) == shown
    if text.isprintable():
        assert shown == text


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("plain ünï 漢字 [bold]", "plain ünï 漢字 [bold]"),
        ("a\x1b[2J\n\x9b", r"a\x1b[2J\n\x9b"),
        ("\u202eevil\u2028", r"\u202eevil\u2028"),
        ("\ud800", r"\ud800"),
    ],
)
def test_clean(text: str, shown: str) -> None:
    assert clean(text) == shown


def test_the_lines_of_a_traceback_stay() -> None:
    assert (
        clean_lines("one\n\x1b[2Jtwo\r\n\x85three", "  ") == "  one\n  \\x1b[2Jtwo\\r\n  \\x85three"
    )


@given(st.text(st.characters(exclude_categories=["Cs"])))
def test_json_keeps_its_value(text: str) -> None:
    line = clean_json(msgspec.json.encode({"text": text}))
    assert json.loads(line) == {"text": text}
    assert line.decode().isprintable()


@pytest.mark.parametrize("char", ["\x7f", "\x9f", "\u202e", "\u2028", "\U000e0001"])
def test_json_escapes_what_it_need_not(char: str) -> None:
    line = clean_json(msgspec.json.encode(f"a{char}b"))
    assert line.isascii()
    assert json.loads(line) == f"a{char}b"
