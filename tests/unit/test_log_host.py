"""In a program of others: lines go where its structlog sends them at that moment."""

from __future__ import annotations

import io
from collections.abc import Iterator

import pytest
import structlog

from asyncmqd.observe.log import own_event


@pytest.fixture(autouse=True)
def as_it_was() -> Iterator[None]:
    yield
    structlog.reset_defaults()


def test_a_set_up_that_comes_later_counts(capsys: pytest.CaptureFixture[str]) -> None:
    own_event(20, "before", {})
    first, second = io.StringIO(), io.StringIO()
    for file in (first, second):
        structlog.configure(
            logger_factory=structlog.PrintLoggerFactory(file),
            wrapper_class=structlog.make_filtering_bound_logger(30),
        )
        own_event(20, "too small", {})
        own_event(30, "job.failed", {"job_id": "a"})
    assert "before" in capsys.readouterr().out
    for file in (first, second):
        assert "job.failed" in file.getvalue()
        assert "too small" not in file.getvalue()


def test_a_standard_output_that_is_replaced_counts(monkeypatch: pytest.MonkeyPatch) -> None:
    """structlog's loggers of bytes look for it when they are bound."""
    structlog.configure(
        logger_factory=structlog.BytesLoggerFactory(),
        processors=[lambda logger, method, event: event["event"].encode()],
    )
    files = io.BytesIO(), io.BytesIO()
    for file in files:
        monkeypatch.setattr("sys.stdout", io.TextIOWrapper(file))
        own_event(20, "job.completed", {})
        assert file.getvalue() == b"job.completed\n"


def test_a_context_that_is_bound_later_counts(capsys: pytest.CaptureFixture[str]) -> None:
    own_event(20, "before", {})
    with structlog.contextvars.bound_contextvars(request="r1"):
        own_event(20, "within", {})
    assert "r1" in capsys.readouterr().out


def test_a_set_up_that_fails_loses_no_line(caplog: pytest.LogCaptureFixture) -> None:
    structlog.configure(logger_factory=lambda: 1 / 0)
    own_event(20, "job.completed", {})
    assert "job.completed could not be logged" in caplog.text
