"""A start takes as many tokens of every rate as its job costs."""

from __future__ import annotations

from typing import Any

import pytest

from asyncmqd.admin import queues, why
from asyncmqd.backends.base import BaseBackend
from asyncmqd.domain.change import Change
from asyncmqd.domain.job import NewJob
from asyncmqd.domain.settle import cancel, replay
from asyncmqd.domain.shared_limits import DeclaredLimits, KeyLimits, SharedLimits
from tests.contract.conftest import Opener
from tests.contract.jobs import (
    LEASE,
    QUEUE,
    apply,
    ids,
    job,
    later,
    record,
    released,
    retried,
    succeeded,
    take,
)
from tests.contract.test_key_limits import later_claims, unstarted
from tests.contract.test_waking import asleep, woken

HOUR = 3_600.0  # seconds: no token comes back in a test


async def rate(
    backend: BaseBackend, burst: float, starts: float = 1.0, interval: float = HOUR, **more: Any
) -> None:
    limits = SharedLimits(rate_limit=starts, rate_interval=interval, burst=burst, **more)
    await backend.declare_limits(QUEUE, limits, "d1")


async def rate_keys(
    backend: BaseBackend, burst: float, starts: float = 1.0, interval: float = HOUR
) -> None:
    each = KeyLimits(rate_limit=starts, rate_interval=interval, burst=burst)
    await backend.declare_limits(QUEUE, SharedLimits(each_key=each), "d1")


async def add(backend: BaseBackend, **costs: int) -> None:
    """Jobs without a key, with these costs."""
    await backend.add(QUEUE, [job(id, cost=cost) for id, cost in costs.items()])


async def add_keyed(backend: BaseBackend, **costs: int) -> None:
    """Of "a1" the key is "a"."""
    await backend.add(QUEUE, [job(id, key=id[0], cost=cost) for id, cost in costs.items()])


async def test_a_cost_stays_with_its_job(backend: BaseBackend) -> None:
    await add(backend, a=5, b=1)
    assert [(await record(backend, id)).cost for id in "ab"] == [5, 1]
    [claim, _] = await take(backend)
    await apply(backend, retried(claim, 1_000.0))
    assert (await record(backend, "a")).cost == 5
    await apply(backend, cancel(await record(backend, "a")))
    assert (await record(backend, "a")).cost == 5
    await apply(backend, replay(await record(backend, "a")))
    assert (await record(backend, "a")).cost == 5
    await backend.remove(QUEUE, ["a"])
    await add(backend, a=1)
    assert (await record(backend, "a")).cost == 1


async def test_without_a_rate_a_cost_means_nothing(backend: BaseBackend) -> None:
    await add(backend, a=5, b=1_000_000, c=1)
    await backend.declare_limits(QUEUE, SharedLimits(concurrency=9), "d1")
    assert ids(await take(backend)) == ["a", "b", "c"]


async def test_a_claim_takes_the_first_jobs_whose_costs_are_there(backend: BaseBackend) -> None:
    await rate(backend, 10)
    await add(backend, a=4, b=1, c=4, d=3, e=1)
    turn = await backend.turn(QUEUE, (), 5, LEASE, "w")
    assert ids(turn.claims) == ["a", "b", "c"]
    assert turn.opens_in == pytest.approx(2 * HOUR, abs=60)  # one of three is there
    assert await take(backend) == []  # nor does e go ahead of d
    await backend.add(QUEUE, [job("better", priority=1)])
    assert ids(await take(backend)) == ["better"]


async def test_the_last_token_but_for_a_dear_job_wakes_who_waits_for_more(
    backend: BaseBackend, open_store: Opener
) -> None:
    """One who is idle comes for each job that may be cheap, or go ahead."""
    other = await open_store()
    await rate(other, 5)
    await add(other, a=3, b=9)
    assert ids(await take(other)) == ["a"]
    sleeper = await asleep(backend)
    await other.add(QUEUE, [job("c", priority=1, cost=2)])
    assert await woken(sleeper) == ["c"]


async def test_a_job_dearer_than_the_burst_starts_when_all_is_there_and_pays_after(
    backend: BaseBackend,
) -> None:
    await rate(backend, 3, starts=1_000, interval=30.0)  # a token in 30 ms
    await add(backend, a=1, b=9, c=1)
    begin = await backend.now()
    assert ids(await take(backend)) == ["a"]
    assert ids(await later_claims(backend)) == ["b"]
    assert await backend.now() - begin >= 0.03 - 0.001
    assert ids(await later_claims(backend)) == ["c"]
    assert await backend.now() - begin >= 0.03 + 0.21 - 0.001


async def test_what_a_dear_job_owes_is_told(backend: BaseBackend) -> None:
    await rate(backend, 3)
    await add(backend, b=9, c=1)
    turn = await backend.turn(QUEUE, (), 5, LEASE, "w")
    assert (ids(turn.claims), turn.opens_in) == (["b"], pytest.approx(7 * HOUR, abs=60))
    [queue] = (await backend.outlook([QUEUE])).values()
    assert queue.filling.arrival / 1e6 - queue.now == pytest.approx(9 * HOUR, abs=60)


async def test_a_declaration_forgives_what_is_owed(backend: BaseBackend) -> None:
    """No bucket is emptier than empty under a new rate."""
    await rate(backend, 3)
    await add(backend, a=9, b=1)
    assert ids(await take(backend)) == ["a"]
    await rate(backend, 2)
    turn = await backend.turn(QUEUE, (), 5, LEASE, "w")
    assert (turn.claims, turn.opens_in) == ([], pytest.approx(HOUR, abs=60))


@pytest.mark.parametrize("claims_too", [False, True])
@pytest.mark.parametrize("cost", [4, 9])
async def test_a_claim_that_was_handed_back_returns_what_it_took(
    backend: BaseBackend, cost: int, claims_too: bool
) -> None:
    await rate(backend, 4)
    await add(backend, a=cost, b=3)
    [claim] = await take(backend)
    back: Change = unstarted(claim)
    turn = await backend.turn(QUEUE, [back], 5 if claims_too else 0, LEASE, "w")
    assert ids(turn.claims or await later_claims(backend)) == ["a"]


async def test_a_store_that_lost_its_limits_owes_a_burst(backend: BaseBackend) -> None:
    limits = SharedLimits(rate_limit=1, rate_interval=HOUR, burst=3)
    known = DeclaredLimits(since=1_000.0, by="d1", limits=limits)
    await add(backend, a=2)
    turn = await backend.turn(QUEUE, (), 5, LEASE, "w", known)
    assert turn.claims == []
    assert turn.opens_in == pytest.approx(HOUR, abs=60)  # when there is one, it looks again


# ---------------------------------------------------------------------- keys


async def test_a_key_starts_what_its_own_rate_pays(backend: BaseBackend) -> None:
    await rate_keys(backend, 5)
    await add_keyed(backend, a1=3, b1=1, a2=3, b2=4, a3=1, b3=1)
    turn = await backend.turn(QUEUE, (), 10, LEASE, "w")
    assert ids(turn.claims) == ["a1", "b1", "b2"]
    assert turn.opens_in == pytest.approx(HOUR, abs=60)
    await apply(backend, *map(succeeded, turn.claims))
    assert await take(backend) == []


async def test_keys_and_their_queue_are_both_paid(backend: BaseBackend) -> None:
    each = KeyLimits(rate_limit=1, rate_interval=HOUR, burst=6)
    await rate(backend, 9, each_key=each)
    await add_keyed(backend, a1=4, a2=2, b1=4, b2=1, c1=1)
    await add(backend, x=1)
    turn = await backend.turn(QUEUE, (), 10, LEASE, "w")
    assert ids(turn.claims) == ["x", "a1", "b1"]  # it is the turn of c1, which nothing is left for
    assert turn.opens_in == pytest.approx(HOUR, abs=60)


async def test_what_the_queue_does_not_pay_keeps_its_turn(backend: BaseBackend) -> None:
    await rate(backend, 3, starts=1_000, interval=30.0)
    await add_keyed(backend, a1=1, b1=3, a2=1, c1=1)
    assert ids(await take(backend)) == ["a1"]
    taken: list[str] = []
    while len(taken) < 3:
        taken += ids(await later_claims(backend))
    assert taken == ["b1", "c1", "a2"]


async def test_a_key_pays_after_for_a_job_dearer_than_its_burst(backend: BaseBackend) -> None:
    await rate_keys(backend, 2, starts=1_000, interval=30.0)
    await add_keyed(backend, a1=7, a2=1, b1=1)
    begin = await backend.now()
    assert ids(await take(backend)) == ["a1", "b1"]
    of_key = await backend.outlook_of_key(QUEUE, "a")
    assert of_key.bucket.arrival / 1e6 - begin == pytest.approx(0.21, abs=0.05)
    assert ids(await later_claims(backend)) == ["a2"]
    assert await backend.now() - begin >= 0.18 - 0.001


async def test_a_key_gets_back_what_a_claim_took_that_was_handed_back(
    backend: BaseBackend,
) -> None:
    await rate_keys(backend, 4)
    await add_keyed(backend, a1=4, a2=1)
    [claim] = await take(backend)
    await apply(backend, unstarted(claim))
    assert ids(await later_claims(backend)) == ["a1"]
    assert await apply(backend, released(claim)) == ["stale"]


# ---------------------------------------------------------------------- others


@pytest.mark.parametrize("delay", [0.0, 1_000.0])
async def test_a_job_that_is_replaced_costs_what_the_new_one_does(
    backend: BaseBackend, delay: float
) -> None:
    def named(id: str, cost: int) -> NewJob:
        return NewJob(
            id=id,
            payload=b"{}",
            unique="n" * 64,
            on_conflict="replace",
            delay=delay,
            cost=cost,
        )

    for cost in (5, 1, 3):
        [added] = await backend.add(QUEUE, [named(f"new{cost}", cost)])
        assert (await record(backend, added.id)).cost == cost
    added, _ = await backend.add(QUEUE, [named("x", 2), named("y", 4)])
    assert (await record(backend, added.id)).cost == 4


async def test_a_job_of_a_schedule_costs_what_it_says(backend: BaseBackend) -> None:
    await backend.declare(QUEUE, {"nightly": b"{}"}, fresh=True)
    now = await backend.now()
    await backend.fire(QUEUE, "nightly", now + 1, job("s1", cost=7))
    await backend.fire(QUEUE, "nightly", now + 2, job("s2"), None, "skip")
    assert (await record(backend, "s1")).cost == 7


async def test_operators_see_what_a_job_waits_for(backend: BaseBackend) -> None:
    await rate(backend, 5)
    await add(backend, a=3, b=4, c=1)
    await take(backend)
    await later(backend)
    shown = await queues.show(backend, QUEUE)
    assert shown.limits is not None
    assert shown.limits.allowed == 2
    assert (await why.job(backend, "b")).name == "no_daemon"
