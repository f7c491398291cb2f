"""The story of a job, as its page tells it."""

from __future__ import annotations

from typing import Any

import pytest

from asyncmqd.admin.jobs import AttemptView, Error, ExplainedJob, job_view
from asyncmqd.domain.job import Record
from asyncmqd.web.dashboard.pages.job import story


def attempt(number: int, outcome: str, at: int, **more: Any) -> AttemptView:
    fields: dict[str, Any] = {"error": None, "log": None, "next_after": None} | more
    return AttemptView(
        number=number,
        outcome=outcome,
        worker="host/one",
        started=f"2026-11-29T12:00:{at:02}Z",
        ended=f"2026-11-29T12:00:{at + 1:02}Z",
        seconds=1.0,
        **fields,
    )


def told(place: str, *attempts: AttemptView, created: float = 0.0, **fields: Any) -> list[str]:
    record = Record(queue="q", id="a", place=place, payload=b"{}", created=created, **fields)
    fields = {name: getattr(job_view(record), name) for name in job_view(record).__struct_fields__}
    job = ExplainedJob(**fields, problem=None, attempts=[*attempts])
    return [each.what for each in story(job)]


@pytest.mark.parametrize(
    ("each", "sentence"),
    [
        (
            attempt(1, "retry", 1, next_after=60.0),
            "Attempt 1 failed after 1 s, then a pause of 1 min",
        ),
        (attempt(1, "retry", 1), "Attempt 1 failed after 1 s"),
        (attempt(2, "recover", 1), "Its worker died in attempt 2, after 1 s"),
        (attempt(2, "release", 1), "Handed back in attempt 2, after 1 s"),
        (attempt(2, "snooze", 1, next_after=5.0), "Put off for 5 s in attempt 2, after 1 s"),
    ],
)
def test_each_end_of_an_attempt_is_a_sentence(each: AttemptView, sentence: str) -> None:
    assert sentence in told("waiting", each)


def test_a_job_that_failed_for_good() -> None:
    ends = attempt(1, "retry", 1), attempt(2, "fail", 3, error=Error("E", "x", "tb"))
    assert told("failed", *ends, failures=2, started=1.0, finished=2.0) == [
        "Enqueued",
        "Attempt 1 failed after 1 s",
        "Attempt 2 failed after 1 s",
        "Failed",
    ]


def test_a_job_that_was_run_again_and_succeeded() -> None:
    ends = attempt(1, "fail", 1), attempt(1, "retry", 5)
    found = told("completed", *ends, created=2e9, failures=1, started=2e9 + 1, finished=2e9 + 2)
    assert found == [
        "Enqueued",
        "Attempt 1 failed after 1 s",
        "Run again",
        "Attempt 1 failed after 1 s",
        "Attempt 2 started",
        "Completed",
    ]


def test_one_that_waits_after_it_was_run_again() -> None:
    assert told("waiting", attempt(1, "quarantine", 1), created=2e9)[-1] == "Run again"


def test_it_says_that_earlier_attempts_are_not_kept() -> None:
    assert told("delayed", attempt(8, "retry", 1), failures=8, due=1.0)[:3] == [
        "Enqueued",
        "Attempts before number 8 are not kept",
        "Attempt 8 failed after 1 s",
    ]
