"""Records of `logging` become events, whatever `logging` of this Python does with its handlers."""

from __future__ import annotations

import logging
from collections.abc import Iterator

import pytest

from asyncmqd.observe.application_logs import take_records


@pytest.fixture
def lines(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[str]]:
    root = logging.getLogger()
    monkeypatch.setattr(root, "handlers", [])
    monkeypatch.setattr(root, "level", root.level)
    written: list[str] = []
    take_records(lambda _, event, __: written.append(event), logging.INFO)
    yield written
    root.setLevel(logging.WARNING)  # forgets what loggers remember of the level


def _as_of_3_13(self: logging.Handler, record: logging.LogRecord) -> None:
    with self.lock:  # type: ignore[union-attr]
        self.emit(record)


def test_a_record_needs_no_lock(lines: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(logging.Handler, "handle", _as_of_3_13)
    logging.getLogger("app").info("one")
    assert lines == ["one"]


def test_a_filter_of_the_handler_counts(lines: list[str]) -> None:
    handler = logging.getLogger().handlers[0]  # pytest adds its own
    handler.addFilter(lambda record: record.name != "loud")
    logging.getLogger("loud").error("one")
    logging.getLogger("app").error("two")
    assert lines == ["two"]
