"""What an instant does beside a job that has not ended, and what waits for several others."""

from __future__ import annotations

import pytest

from asyncmqd.backends.memory.dependencies import Edges
from asyncmqd.domain.overlap import Step, at_overlap, ghost_name, job_of_ghost
from asyncmqd.domain.schedule_counts import Tally
from asyncmqd.domain.states import State
from asyncmqd.domain.typed_keywords import Overlap

LAST, BEFORE = "last", "before"
GHOST = ghost_name("gone", 3)
START, SKIP = Step("start"), Step("skip")


@pytest.mark.parametrize(
    ("overlap", "last", "before", "right"),
    [
        ("allow", State.ACTIVE, None, START),
        ("skip", State.ACTIVE, None, SKIP),
        ("skip", State.BLOCKED, State.ACTIVE, SKIP),
        ("skip", State.FAILED, None, START),
        ("queue", None, None, START),
        ("queue", State.COMPLETED, None, START),
        ("queue", State.WAITING, None, Step("hold", LAST)),
        ("queue", State.DELAYED, State.COMPLETED, Step("hold", LAST)),
        ("queue", State.BLOCKED, State.ACTIVE, SKIP),
        ("queue", State.CANCELLED, State.ACTIVE, Step("hold", BEFORE)),
        ("queue", None, State.DELAYED, Step("hold", BEFORE)),
        ("queue", None, State.CANCELLED, START),
        ("replace", None, None, START),
        ("replace", State.COMPLETED, State.CANCELLED, START),
        ("replace", State.ACTIVE, None, Step("start", "", (LAST,))),
        ("replace", State.WAITING, State.COMPLETED, Step("start", "", (LAST,))),
        ("replace", State.BLOCKED, State.ACTIVE, Step("start", "", (LAST, BEFORE))),
        ("replace", State.ACTIVE, State.ACTIVE, Step("start", "", (LAST,))),  # it was run again
        ("replace", State.FAILED, State.DELAYED, Step("start", "", (BEFORE,))),
    ],
)
def test_an_instant_goes_by_the_jobs_that_are_live(
    overlap: Overlap, last: State | None, before: State | None, right: Step
) -> None:
    states = {LAST: last, BEFORE: before}
    assert at_overlap(overlap, Tally(job=LAST, before=BEFORE), states.get) == right


@pytest.mark.parametrize(
    ("overlap", "last", "ghost", "right"),
    [
        ("replace", State.BLOCKED, State.ACTIVE, Step("hold", GHOST, (LAST,))),
        ("replace", State.BLOCKED, None, Step("start", "", (LAST,))),
        ("replace", State.CANCELLED, State.ACTIVE, Step("hold", GHOST)),
        ("queue", None, State.ACTIVE, Step("hold", GHOST)),
        ("skip", None, State.ACTIVE, SKIP),
        ("allow", None, State.ACTIVE, START),
    ],
)
def test_an_instant_waits_for_code_that_goes_on(
    overlap: Overlap, last: State | None, ghost: State | None, right: Step
) -> None:
    states = {LAST: last, GHOST: ghost}
    assert at_overlap(overlap, Tally(job=LAST, before=GHOST), states.get) == right


@pytest.mark.parametrize("id", ["a", "7", "report@1700000000000"])
def test_a_ghost_is_told_from_a_job(id: str) -> None:
    assert job_of_ghost(ghost_name(id, 12)) == id
    assert job_of_ghost(id) is None


def test_a_schedule_without_a_job_starts() -> None:
    assert at_overlap("queue", Tally(), lambda _: State.ACTIVE) == START


def test_a_job_is_free_once_all_that_it_waits_for_are_paid() -> None:
    edges = Edges()
    edges.add("c", ["a", "b"])
    edges.add("d", ["a"])
    assert edges.parents("c") == ("a", "b")
    assert (edges.pay("a"), edges.pay("a")) == (["d"], [])  # twice does nothing
    assert edges.parents("c") == ("b",)
    assert edges.pay("b") == ["c"]
    assert len(edges) == 0


def test_a_job_that_waits_no_more_is_not_freed() -> None:
    edges = Edges()
    edges.add("c", ["a", "b"])
    edges.forget("c")
    assert (edges.pay("a"), edges.pay("b"), len(edges)) == ([], [], 0)
