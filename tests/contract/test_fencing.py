"""Every write after a claim carries its token: who lost the claim changes nothing any more."""

from __future__ import annotations

import asyncio

import msgspec
import pytest

from asyncmqd.backends.base import BaseBackend
from asyncmqd.domain.job import Claim
from asyncmqd.domain.settle import cancel, mark_alone, replay, run_now, update_progress
from asyncmqd.domain.states import State
from tests.contract.conftest import Opener
from tests.contract.jobs import (
    LEASE,
    LONG,
    QUEUE,
    apply,
    crashed,
    failed,
    fill,
    finish,
    ids_in,
    job,
    names,
    parked,
    record,
    released,
    retried,
    state,
    succeeded,
    take,
    take_one,
)

ALL_OUTCOMES = {
    "succeed": lambda claim: succeeded(claim, b"late"),
    "fail": failed,
    "retry": lambda claim: retried(claim, 0.0),
    "release": released,
    "snooze": lambda claim: released(claim, 1.0),
    "park": lambda claim: parked(claim, "t"),
    "progress": lambda claim: update_progress(claim, b"50"),
    "mark": mark_alone,
    "recover": crashed,
}


@pytest.mark.parametrize("outcome", ALL_OUTCOMES)
async def test_a_late_finisher_changes_nothing(backend: BaseBackend, outcome: str) -> None:
    late = await take_one(backend, "a", lease=0.0)
    assert await apply(backend, crashed(late)) == ["applied"]
    [current] = await take(backend)
    before = await record(backend, "a")
    assert await apply(backend, ALL_OUTCOMES[outcome](late)) == ["stale"]
    assert await record(backend, "a") == before
    assert await apply(backend, succeeded(current, b"right")) == ["applied"]
    assert (await record(backend, "a")).result == b"right"


@pytest.mark.parametrize("outcome", ALL_OUTCOMES)
async def test_a_finisher_whose_job_was_taken_away_is_late_before_it_runs_again(
    backend: BaseBackend, outcome: str
) -> None:
    late = await take_one(backend, "a", lease=0.0)
    await apply(backend, crashed(late))
    assert await apply(backend, ALL_OUTCOMES[outcome](late)) == ["stale"]
    assert await state(backend, "a") is State.WAITING


@pytest.mark.parametrize("outcome", ALL_OUTCOMES)
async def test_nothing_comes_true_for_a_job_that_is_gone(
    backend: BaseBackend, outcome: str
) -> None:
    claim = await take_one(backend, "a")
    assert await backend.remove(QUEUE, ["a"]) == [True]
    assert await apply(backend, ALL_OUTCOMES[outcome](claim)) == ["gone"]
    assert await state(backend, "a") is None


@pytest.mark.parametrize("outcome", sorted(ALL_OUTCOMES.keys() - {"progress", "mark", "recover"}))
async def test_a_lost_reply_may_be_asked_for_again(backend: BaseBackend, outcome: str) -> None:
    change = ALL_OUTCOMES[outcome](await take_one(backend, "a"))
    assert await apply(backend, change) == ["applied"]
    before = await record(backend, "a")
    assert await apply(backend, change) == ["already"]
    assert await apply(backend, change, change) == ["already", "already"]
    assert await record(backend, "a") == before


async def test_the_same_change_twice_in_one_call_is_applied_once(backend: BaseBackend) -> None:
    change = retried(await take_one(backend, "a"), LONG)
    assert await apply(backend, change, change) == ["applied", "already"]
    assert (await record(backend, "a")).failures == 1


async def test_after_the_first_settlement_of_a_token_another_one_is_too_late(
    backend: BaseBackend,
) -> None:
    claim = await take_one(backend, "a")
    assert await apply(backend, succeeded(claim, b"1"), failed(claim)) == ["applied", "already"]
    ended = await record(backend, "a")
    assert (ended.state, ended.result, ended.error) == (State.COMPLETED, b"1", b"")


async def test_cancel_beats_completion(backend: BaseBackend) -> None:
    claim = await take_one(backend, "a")
    assert await apply(backend, cancel(await record(backend, "a"))) == ["applied"]
    assert await apply(backend, succeeded(claim, b"1")) == ["stale"]
    cancelled = await record(backend, "a")
    assert (cancelled.state, cancelled.result) == (State.CANCELLED, b"")


async def test_completion_beats_a_cancel_that_comes_after_it(backend: BaseBackend) -> None:
    claim = await take_one(backend, "a")
    seen = await record(backend, "a")
    assert await apply(backend, succeeded(claim, b"1")) == ["applied"]
    assert await apply(backend, cancel(seen)) == ["already"]
    assert await state(backend, "a") is State.COMPLETED


@pytest.mark.parametrize("delay", [0.0, LONG])
async def test_cancel_of_a_job_that_nobody_runs(backend: BaseBackend, delay: float) -> None:
    await backend.add(QUEUE, [job("a", delay=delay), job("b")])
    assert await apply(backend, cancel(await record(backend, "a"))) == ["applied"]
    assert await state(backend, "a") is State.CANCELLED
    assert [claim.id for claim in await take(backend)] == ["b"]


async def test_an_operator_who_looked_before_the_claim_is_too_late(backend: BaseBackend) -> None:
    await fill(backend, "a")
    seen = await record(backend, "a")
    [claim] = await take(backend)
    assert await apply(backend, cancel(seen)) == ["stale"]
    assert await apply(backend, succeeded(claim)) == ["applied"]


async def test_a_replayed_job_fences_its_former_holder(backend: BaseBackend) -> None:
    claim = await take_one(backend, "a")
    change = failed(claim)
    await apply(backend, change)
    assert await apply(backend, replay(await record(backend, "a"))) == ["applied"]
    assert await apply(backend, change) == ["stale"]
    assert await state(backend, "a") is State.WAITING


async def test_ended_jobs_stay_as_they_are(backend: BaseBackend) -> None:
    await finish(backend, "a", b"1")
    ended = await record(backend, "a")
    holder = Claim(queue=QUEUE, id="a", token=ended.token, payload=b"")
    for outcome in ALL_OUTCOMES.values():
        assert await apply(backend, outcome(holder)) == ["already"]
    assert await apply(backend, cancel(ended), run_now(ended)) == ["already", "already"]
    assert await record(backend, "a") == ended


async def test_a_token_from_the_future_is_stale(backend: BaseBackend) -> None:
    claim = await take_one(backend, "a")
    future = msgspec.structs.replace(claim, token=claim.token + 1)
    assert await apply(backend, succeeded(future)) == ["stale"]
    assert await state(backend, "a") is State.ACTIVE


async def test_progress_and_marks_are_written_in_place(backend: BaseBackend) -> None:
    claim = await take_one(backend, "a")
    before = await record(backend, "a")
    assert await apply(backend, update_progress(claim, b'{"done": 1}')) == ["applied"]
    assert await apply(backend, update_progress(claim, b'{"done": 2}')) == ["applied"]
    assert await apply(backend, mark_alone(claim)) == ["applied"]
    expected = msgspec.structs.replace(before, progress=b'{"done": 2}', solo=True)
    assert await record(backend, "a") == expected
    assert await apply(backend, succeeded(claim)) == ["applied"]


async def test_of_many_who_settle_one_claim_exactly_one_does(
    backend: BaseBackend, open_store: Opener
) -> None:
    other = await open_store()
    claim = await take_one(backend, "a")
    stores = [backend, other] * 5
    replies = await asyncio.gather(
        *(apply(store, succeeded(claim, b"%d" % n)) for n, store in enumerate(stores))
    )
    assert sorted(reply[0] for reply in replies) == ["already"] * 9 + ["applied"]
    winner = replies.index(["applied"])
    assert (await record(backend, "a")).result == b"%d" % winner


async def test_cancels_and_completions_at_once_end_each_job_once(
    backend: BaseBackend, open_store: Opener
) -> None:
    other = await open_store()
    many = names(50)
    await fill(backend, *many)
    claims = await take(backend)
    seen = [found for found in await backend.get(QUEUE, many) if found]
    ends = await asyncio.gather(
        *(apply(backend, succeeded(claim, b"1")) for claim in claims),
        *(apply(other, cancel(found)) for found in seen),
    )
    for completion, cancellation in zip(ends[:50], ends[50:], strict=True):
        assert (completion, cancellation) in [(["applied"], ["already"]), (["stale"], ["applied"])]
    completed = await ids_in(backend, State.COMPLETED)
    cancelled = await ids_in(backend, State.CANCELLED)
    assert sorted(completed + cancelled) == sorted(many)


async def test_what_a_change_leaves_out_stays(backend: BaseBackend) -> None:
    claim = await take_one(backend, "a")
    await apply(backend, retried(claim, 0.0))
    assert await backend.move_due(QUEUE) == 1
    [again] = await backend.claim(QUEUE, 1, LEASE, "other")
    await apply(backend, update_progress(again, b"1"))
    assert (again.failures, again.attempt, again.token) == (1, 2, 2)
    await apply(backend, succeeded(again, b"2"))
    ended = await record(backend, "a")
    assert (ended.progress, ended.failures, ended.result) == (b"1", 1, b"2")
    assert ended.worker == "other"
    assert b"OSError" in ended.error


@pytest.mark.parametrize("outcome", ["retry", "release", "snooze", "recover"])
async def test_a_job_that_goes_back_has_no_progress(backend: BaseBackend, outcome: str) -> None:
    claim = await take_one(backend, "a", lease=0.0)
    await apply(backend, update_progress(claim, b"1"))
    assert (await record(backend, "a")).progress == b"1"
    assert await apply(backend, ALL_OUTCOMES[outcome](claim)) == ["applied"]
    assert (await record(backend, "a")).progress == b""


async def test_decisions_of_one_call_do_not_lend_each_other_their_sources(
    backend: BaseBackend,
) -> None:
    """A store that looks for all jobs of a call at once must still judge each by its own edge."""
    claim = await take_one(backend, "a")
    assert await apply(backend, retried(claim, LONG)) == ["applied"]
    await backend.add(QUEUE, [job("b", delay=LONG)])
    before = await record(backend, "a")
    answers = await apply(backend, run_now(await record(backend, "b")), succeeded(claim, b"late"))
    assert answers == ["applied", "already"]
    assert await record(backend, "a") == before
