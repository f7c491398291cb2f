"""Limits of a queue hold over all who claim from it, and what holds a permit is known exactly."""

from __future__ import annotations

import asyncio

import msgspec
import pytest

from asyncmqd.admin import queues
from asyncmqd.backends.base import BaseBackend
from asyncmqd.domain.change import Change
from asyncmqd.domain.job import Claim
from asyncmqd.domain.settle import Expired, Policy, cancel, replay, settle
from asyncmqd.domain.shared_limits import NO_LIMITS, DeclaredLimits, SharedLimits
from asyncmqd.domain.states import State
from tests.contract.conftest import Opener
from tests.contract.jobs import (
    LEASE,
    QUEUE,
    apply,
    crashed,
    fill,
    ids,
    names,
    parked,
    record,
    released,
    succeeded,
    take,
)
from tests.contract.test_waking import LIMIT, asleep, woken

TWO = SharedLimits(concurrency=2)


async def limit(backend: BaseBackend, number: int | None, by: str = "d1") -> DeclaredLimits | None:
    return await backend.declare_limits(QUEUE, SharedLimits(concurrency=number), by)


async def test_no_more_jobs_are_active_than_the_limit_says(
    backend: BaseBackend, open_store: Opener
) -> None:
    other = await open_store()
    await limit(backend, 3)
    await fill(backend, *names(9))
    first = await take(backend, 2)
    assert ids(first + await take(other)) == names(3)
    assert await take(other) == []
    turn = await other.turn(QUEUE, [succeeded(first[0])], 5, LEASE, "w")
    assert ids(turn.claims) == ["job3"]
    assert ids(await take(backend)) == []


async def test_a_turn_says_what_it_was_judged_by(backend: BaseBackend) -> None:
    assert (await backend.turn(QUEUE, (), 1, LEASE, "w")).limits is None
    declared = await limit(backend, 2)
    turn = await backend.turn(QUEUE, (), 1, LEASE, "w")
    assert declared is not None
    assert (turn.limits, turn.opens_in) == (declared, None)
    assert declared.limits == TWO
    assert declared.by == "d1"
    assert abs(declared.since - await backend.now()) < 60
    assert (await backend.outlook([QUEUE]))[QUEUE].limits == declared


async def test_the_newest_declaration_wins(backend: BaseBackend) -> None:
    first = await limit(backend, 2)
    assert await limit(backend, 2, "d2") == first  # it changes nothing
    second = await limit(backend, 1, "d2")
    assert first is not None
    assert second is not None
    assert (second.by, second.since > first.since) == ("d2", True)
    await fill(backend, *names(3))
    assert len(await take(backend)) == 1
    none = await limit(backend, None, "d3")
    assert none is not None
    assert none.limits == NO_LIMITS
    assert len(await take(backend)) == 2


async def test_no_limits_leave_nothing_behind(backend: BaseBackend) -> None:
    assert await backend.declare_limits(QUEUE, NO_LIMITS, "d1") is None
    assert (await backend.outlook([QUEUE]))[QUEUE].limits is None


async def test_zero_lets_nothing_start(backend: BaseBackend) -> None:
    await fill(backend, "a")
    await limit(backend, 0)
    assert await take(backend) == []
    await limit(backend, 1)
    assert ids(await take(backend)) == ["a"]


async def test_a_store_that_lost_its_limits_takes_those_that_a_worker_knows(
    backend: BaseBackend,
) -> None:
    known = DeclaredLimits(since=1_000.0, by="d1", limits=TWO)
    await fill(backend, *names(5))
    turn = await backend.turn(QUEUE, (), 5, LEASE, "w", known)
    assert ids(turn.claims) == names(2)
    assert await take(backend) == []  # of somebody who knows of none
    assert _told((await backend.outlook([QUEUE]))[QUEUE].limits) == known


def _told(stored: DeclaredLimits | None) -> DeclaredLimits | None:
    """What was declared, without when a store was told it anew."""
    return stored and msgspec.structs.replace(stored, restored=0.0)


async def test_a_store_that_lost_its_newest_limits_takes_those_that_a_worker_knows(
    backend: BaseBackend,
) -> None:
    """A replica took over that had an older declaration."""
    older = DeclaredLimits(since=1_000.0, by="d1", limits=SharedLimits(concurrency=4))
    newer = DeclaredLimits(since=2_000.0, by="d2", limits=TWO)
    await fill(backend, *names(5))
    assert len((await backend.turn(QUEUE, (), 1, LEASE, "w", older)).claims) == 1
    turn = await backend.turn(QUEUE, (), 5, LEASE, "w", newer)
    assert (len(turn.claims), _told(turn.limits)) == (1, newer)
    assert _told((await backend.outlook([QUEUE]))[QUEUE].limits) == newer


async def test_an_older_declaration_is_not_restored(backend: BaseBackend) -> None:
    older = DeclaredLimits(since=1_000.0, by="d1", limits=SharedLimits(concurrency=1))
    newer = await limit(backend, 2)
    await fill(backend, *names(5))
    turn = await backend.turn(QUEUE, (), 5, LEASE, "w", older)
    assert (len(turn.claims), turn.limits) == (2, newer)


@pytest.mark.parametrize("how", ["cancel", "remove", "purge"])
async def test_a_job_that_was_taken_away_keeps_its_permit_until_its_code_has_ended(
    backend: BaseBackend, how: str
) -> None:
    await limit(backend, 1)
    await fill(backend, "a", "b")
    [claim] = await take(backend)
    if how == "cancel":
        await apply(backend, cancel(await record(backend, "a")))
    elif how == "remove":
        await backend.remove(QUEUE, ["a"])
    else:
        await backend.purge(QUEUE, State.ACTIVE)
    assert (await backend.outlook([QUEUE]))[QUEUE].ghosts == 1
    turn = await backend.turn(QUEUE, (), 1, LEASE, "w")
    assert turn.claims == []
    assert turn.opens_in is not None
    assert 0 < turn.opens_in <= LEASE
    assert await apply(backend, released(claim)) != ["applied"]  # the holder's code has ended
    assert ids(await take(backend)) == ["b"]


async def test_who_takes_the_last_permit_is_told_when_a_ghost_gives_its_own_back(
    backend: BaseBackend,
) -> None:
    await limit(backend, 2)
    await fill(backend, *names(3))
    await take(backend, 1)
    await backend.remove(QUEUE, ["job0"])
    turn = await backend.turn(QUEUE, (), 2, LEASE, "w")
    assert ids(turn.claims) == ["job1"]
    assert turn.opens_in is not None
    assert 0 < turn.opens_in <= LEASE


async def test_the_permit_of_a_job_that_was_taken_away_ends_with_its_lease(
    backend: BaseBackend,
) -> None:
    await limit(backend, 1)
    await fill(backend, "a", "b")
    await take(backend, lease=0.0)
    await backend.remove(QUEUE, ["a"])
    assert ids(await take(backend)) == ["b"]


async def test_a_permit_that_was_kept_until_the_future_is_bounded(backend: BaseBackend) -> None:
    """The store's clock was set back, and the holder is dead."""
    await limit(backend, 1)
    await fill(backend, "a", "b")
    await take(backend, lease=3_600.0)
    await backend.remove(QUEUE, ["a"])
    assert await take(backend) == []
    assert await backend.end_awaited(QUEUE, LEASE) == 0
    turn = await backend.turn(QUEUE, (), 1, LEASE, "w")
    assert turn.claims == []
    assert turn.opens_in is not None
    assert 0 < turn.opens_in <= LEASE
    assert await backend.end_awaited(QUEUE, 0.0) == 0
    assert ids(await take(backend)) == ["b"]


async def test_a_run_of_its_own_does_not_free_what_another_run_of_the_job_holds(
    backend: BaseBackend,
) -> None:
    await limit(backend, 2)
    await fill(backend, "a", "b", "c")
    first, _ = await take(backend)
    await apply(backend, cancel(await record(backend, "a")))
    await apply(backend, replay(await record(backend, "a")))
    assert await take(backend) == []
    await apply(backend, released(first))
    [second] = await take(backend)
    assert await take(backend) == []
    await apply(backend, released(first))  # told twice
    assert await take(backend) == []
    assert second.id in {"a", "c"}


async def test_a_dead_workers_job_holds_no_permit(backend: BaseBackend) -> None:
    await limit(backend, 1)
    await fill(backend, "a", "b")
    [claim] = await take(backend)
    assert await apply(backend, crashed(claim, lapsed=False)) == ["applied"]
    assert len(await take(backend)) == 1


async def test_a_queue_without_limits_has_no_ghosts(backend: BaseBackend) -> None:
    await fill(backend, "a", "b")
    assert len(await take(backend)) == 2
    await apply(backend, cancel(await record(backend, "a")))
    await backend.remove(QUEUE, ["b"])
    assert (await backend.outlook([QUEUE]))[QUEUE].ghosts == 0


@pytest.mark.parametrize("how", ["settle", "ghost", "raise"])
async def test_a_permit_that_comes_free_wakes_a_worker(
    backend: BaseBackend, open_store: Opener, how: str
) -> None:
    other = await open_store()
    await limit(other, 1)
    await fill(other, "a", "b")
    [claim] = await take(other)
    if how == "ghost":
        await other.remove(QUEUE, ["a"])
    sleeper = await asleep(backend)
    if how == "raise":
        await limit(other, 2)
    else:
        await apply(other, succeeded(claim))
    assert await woken(sleeper) == ["b"]


async def test_a_permit_that_came_free_unnoticed_wakes_a_worker(
    backend: BaseBackend, open_store: Opener
) -> None:
    """Nobody looked when the lease of a removed job was over: who comes next tells of it."""
    other = await open_store()
    await limit(other, 2)
    await fill(other, *names(3))
    _, claim = await take(other, lease=0.0)
    sleeper = await asleep(backend)
    await other.remove(QUEUE, ["job0"])
    await apply(other, succeeded(claim))
    assert await woken(sleeper) == ["job2"]


async def test_a_permit_that_is_left_over_wakes_a_worker(
    backend: BaseBackend, open_store: Opener
) -> None:
    """Who ended two jobs takes one: somebody else has the other."""
    other = await open_store()
    await limit(other, 2)
    await fill(other, *names(4))
    claims = await take(other)
    sleeper = await asleep(backend)
    turn = await other.turn(QUEUE, [succeeded(each) for each in claims], 1, LEASE, "w")
    assert ids(turn.claims) == ["job2"]
    assert await woken(sleeper) == ["job3"]


async def test_a_job_added_after_the_limit_was_reached_and_left_wakes_a_worker(
    backend: BaseBackend, open_store: Opener
) -> None:
    other = await open_store()
    await limit(other, 1)
    await fill(other, "a", "b")
    [claim] = await take(other)
    sleeper = await asleep(backend)
    await other.remove(QUEUE, ["b"])
    await apply(other, succeeded(claim))  # nobody is woken: there is nothing to do
    await fill(other, "c")
    assert await woken(sleeper) == ["c"]


# ---------------------------------------------------------------------- rates

HOUR = 3_600.0  # seconds: no token comes back in a test


async def rate(
    backend: BaseBackend, burst: float, starts: float = 1.0, interval: float = HOUR
) -> DeclaredLimits | None:
    limits = SharedLimits(rate_limit=starts, rate_interval=interval, burst=burst)
    return await backend.declare_limits(QUEUE, limits, "d1")


def unstarted(change: Change) -> Change:
    return msgspec.structs.replace(change, unstarted=True)


async def test_no_more_jobs_are_claimed_than_the_rate_says(
    backend: BaseBackend, open_store: Opener
) -> None:
    other = await open_store()
    await rate(backend, 3)
    await fill(backend, *names(9))
    first = await take(backend, 2)
    turn = await other.turn(QUEUE, [succeeded(each) for each in first], 5, LEASE, "w")
    assert ids(first + turn.claims) == names(3)
    assert turn.opens_in == pytest.approx(HOUR, abs=60)
    assert await take(backend) == []
    assert (await backend.outlook([QUEUE]))[QUEUE].filling.arrival / 1e6 == pytest.approx(
        await backend.now() + 3 * HOUR, abs=60
    )


async def test_tokens_come_back_one_by_one(backend: BaseBackend) -> None:
    await rate(backend, 1, starts=1, interval=0.05)
    await fill(backend, *names(4))
    claims: list[Claim] = []
    began = await backend.now()
    while len(claims) < 4:
        turn = await backend.turn(QUEUE, (), 5, LEASE, "w")
        assert len(turn.claims) < 2
        claims += turn.claims
        assert turn.opens_in is not None
        assert 0 < turn.opens_in <= 0.05
        await asyncio.sleep(turn.opens_in)
    assert ids(claims) == names(4)
    assert await backend.now() - began > 0.15 - 0.001


async def test_an_empty_claim_takes_no_token(backend: BaseBackend) -> None:
    await rate(backend, 2)
    for _ in range(5):
        assert await take(backend) == []
    await backend.pause(QUEUE, paused=True)
    await fill(backend, *names(3))
    assert await take(backend) == []
    await backend.pause(QUEUE, paused=False)
    assert len(await take(backend)) == 2


async def test_a_rate_of_zero_lets_nothing_start(backend: BaseBackend) -> None:
    await fill(backend, "a")
    await rate(backend, 1, starts=0)
    turn = await backend.turn(QUEUE, (), 1, LEASE, "w")
    assert (turn.claims, turn.opens_in) == ([], None)
    await rate(backend, 1)
    assert ids(await take(backend)) == ["a"]


async def test_a_rate_of_next_to_nothing_lets_one_start(backend: BaseBackend) -> None:
    await fill(backend, "a", "b")
    await rate(backend, 1, starts=1e-300)
    turn = await backend.turn(QUEUE, (), 2, LEASE, "w")
    assert ids(turn.claims) == ["a"]
    limits = (await queues.show(backend, QUEUE)).limits
    assert limits is not None
    assert limits.opens is not None


@pytest.mark.parametrize("claims_too", [False, True])
@pytest.mark.parametrize("how", ["release", "park", "snooze", "expire"])
async def test_a_claim_that_was_handed_back_unstarted_returns_its_token(
    backend: BaseBackend, how: str, claims_too: bool
) -> None:
    await rate(backend, 2)
    await fill(backend, *names(4))
    first, second = await take(backend)
    back = {
        "release": released(first),
        "park": parked(first, "mod.f"),
        "snooze": released(first, 1_000.0),
        "expire": settle(first, Expired(), Policy(), 0.5),
    }[how]
    turn = await backend.turn(QUEUE, [unstarted(back)], 5 if claims_too else 0, LEASE, "w")
    claims = turn.claims or await take(backend)
    assert ids(claims) == ["job0" if how == "release" else "job2"]
    # A stale one returns nothing.
    assert await apply(backend, unstarted(released(first))) != ["applied"]
    assert await apply(backend, released(second)) == ["applied"]  # it had started
    assert await take(backend) == []


async def test_a_claim_of_before_the_rate_returns_no_token_of_it(backend: BaseBackend) -> None:
    await fill(backend, *names(3))
    [claim] = await take(backend, 1)
    await rate(backend, 1)
    assert len(await take(backend)) == 1
    assert await apply(backend, unstarted(released(claim))) == ["applied"]
    turn = await backend.turn(QUEUE, (), 1, LEASE, "w")
    assert turn.claims == []
    assert turn.opens_in == pytest.approx(HOUR, abs=60)


async def test_a_token_that_came_back_wakes_a_worker(
    backend: BaseBackend, open_store: Opener
) -> None:
    other = await open_store()
    await rate(other, 1)
    await fill(other, "a", "b")
    [claim] = await take(other)
    sleeper = await asleep(backend)
    await apply(other, unstarted(released(claim, 1_000.0)))
    assert await woken(sleeper) == ["b"]


async def test_a_store_that_lost_its_limits_has_an_empty_bucket(backend: BaseBackend) -> None:
    """How many started is not known any more."""
    limits = SharedLimits(rate_limit=1, rate_interval=HOUR, burst=3)
    known = DeclaredLimits(since=1_000.0, by="d1", limits=limits)
    await fill(backend, "a")
    turn = await backend.turn(QUEUE, (), 5, LEASE, "w", known)
    assert turn.claims == []
    assert turn.opens_in == pytest.approx(HOUR, abs=60)


@pytest.mark.parametrize("looks", [True, False])
async def test_a_new_rate_counts_what_has_started(backend: BaseBackend, looks: bool) -> None:
    await rate(backend, 4)
    await fill(backend, *names(9))
    assert len(await take(backend)) == 4
    await rate(backend, 2)
    if looks:
        assert await take(backend) == []
    await rate(backend, 3)  # of two that were used up
    assert len(await take(backend)) == 1


async def test_both_limits_hold(backend: BaseBackend) -> None:
    limits = SharedLimits(concurrency=2, rate_limit=1, rate_interval=HOUR, burst=3)
    await backend.declare_limits(QUEUE, limits, "d1")
    await fill(backend, *names(9))
    claims = await take(backend)
    assert len(claims) == 2
    turn = await backend.turn(QUEUE, [succeeded(each) for each in claims], 5, LEASE, "w")
    assert len(turn.claims) == 1
    assert turn.opens_in is not None


async def test_who_takes_the_last_token_has_another_wait_for_the_next(
    backend: BaseBackend, open_store: Opener
) -> None:
    """The other had found no permit, so it was not told when a token comes."""
    other = await open_store()
    limits = SharedLimits(concurrency=2, rate_limit=1, rate_interval=HOUR, burst=3)
    await other.declare_limits(QUEUE, limits, "d1")
    await fill(other, *names(9))
    claims = await take(other)
    await backend.wait([QUEUE], 0.0)
    assert await take(backend) == []
    turn = await other.turn(QUEUE, [succeeded(each) for each in claims], 1, LEASE, "w")
    assert len(turn.claims) == 1
    assert await backend.wait([QUEUE], LIMIT) == {QUEUE}


async def test_claims_at_once_do_not_pass_the_rate(
    backend: BaseBackend, open_store: Opener
) -> None:
    stores = [backend, *[await open_store() for _ in range(3)]]
    await rate(backend, 5)
    await fill(backend, *names(40))
    claims = await asyncio.gather(*(take(each, 4) for each in stores for _ in range(3)))
    assert sum(map(len, claims)) == 5


async def test_claims_at_once_do_not_pass_the_limit(
    backend: BaseBackend, open_store: Opener
) -> None:
    stores = [backend, *[await open_store() for _ in range(3)]]
    await limit(backend, 5)
    await fill(backend, *names(40))
    claims = await asyncio.gather(*(take(each, 4) for each in stores for _ in range(3)))
    assert sum(map(len, claims)) == 5
