"""The tail of a run's lines is bounded, and holds nothing of the application but text."""

from __future__ import annotations

import gc
import json
import weakref
from datetime import UTC, datetime
from typing import Any

from asyncmqd.observe.log_tail import FIELDS, LINES, SIZE_LIMIT, VALUE_LIMIT, LogTail

MOMENT = datetime(2026, 11, 29, 12, 0, 0, 500_000, UTC)


def event(text: Any, **fields: Any) -> dict[str, Any]:
    return {"timestamp": MOMENT, "level": "info", "event": text, **fields}


def tail(*events: dict[str, Any]) -> tuple[dict[str, Any], ...]:
    kept = LogTail()
    kept.add(events)
    return kept.lines()


def test_the_last_lines_are_kept_as_json_has_them() -> None:
    lines = tail(*(event(f"{number}", stream="stdout") for number in range(LINES + 7)))
    assert [line["event"] for line in lines] == [f"{number}" for number in range(7, LINES + 7)]
    assert lines[0]["timestamp"] == "2026-11-29T12:00:00.500000Z"


def test_many_long_lines_are_fewer() -> None:
    lines = tail(*(event(f"{number} " + "x" * 100_000) for number in range(LINES)))
    assert 1 < len(lines) < LINES
    assert lines[-1]["event"].startswith(f"{LINES - 1} xx")
    assert all(len(line["event"]) <= VALUE_LIMIT + 3 for line in lines)
    assert len(json.dumps(lines)) <= SIZE_LIMIT + 1_000


def test_a_line_of_many_long_fields_has_none_and_is_there() -> None:
    fields = {f"field{number}": "ö" * 100_000 for number in range(100)}
    (line,) = tail(event("it", **fields))
    assert line == {"timestamp": "2026-11-29T12:00:00.500000Z", "level": "info", "event": "it"}
    (short,) = tail(event("it", **dict.fromkeys(fields, 1)))
    assert len(short) == FIELDS


def test_values_are_text_at_once() -> None:
    class Value:
        def __repr__(self) -> str:
            raise RuntimeError

    value = Value()
    left = weakref.ref(value)
    kept = LogTail()
    kept.add([event(value, other=value, number=2**70, nan=float("nan"))])
    del value
    gc.collect()
    assert left() is None
    (line,) = kept.lines()
    assert line["event"] == line["other"] == "<Value, which cannot be shown: RuntimeError>"
    assert line["number"] == f"{2**70}"
