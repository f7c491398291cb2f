"""Limits of each key hold over all who claim, and a key that is used up stops no other."""

from __future__ import annotations

import asyncio
import contextlib
from collections import Counter
from typing import Any

import msgspec
import pytest

from asyncmqd.backends.base import PAGE, BaseBackend
from asyncmqd.domain.change import Change
from asyncmqd.domain.job import Claim
from asyncmqd.domain.settle import cancel, update_progress
from asyncmqd.domain.shared_limits import DeclaredLimits, KeyLimits, SharedLimits
from asyncmqd.domain.states import State
from asyncmqd.domain.typed_keywords import Overlap
from tests.contract.conftest import Opener
from tests.contract.jobs import (
    LEASE,
    QUEUE,
    apply,
    crashed,
    ids,
    job,
    parked,
    record,
    released,
    retried,
    succeeded,
    take,
)
from tests.contract.test_waking import asleep, woken
from tests.eventually import LIMIT

HOUR = 3_600.0


async def limit(
    backend: BaseBackend, keys: dict[str, KeyLimits] | None = None, **each: Any
) -> None:
    each_key = KeyLimits(**each) if each else None
    await backend.declare_limits(QUEUE, SharedLimits(each_key=each_key, keys=keys or {}), "d1")


async def add(backend: BaseBackend, *wanted: str, priority: int = 5) -> None:
    """Of "a1" the key is "a"; of "-1" there is none."""
    jobs = [job(id, key=id[0].strip("-"), priority=priority) for id in wanted]
    assert all(each.is_new for each in await backend.add(QUEUE, jobs))


async def test_no_more_jobs_of_a_key_are_active_than_its_limit_says(
    backend: BaseBackend, open_store: Opener
) -> None:
    other = await open_store()
    await limit(backend, concurrency=2)
    await add(backend, "a1", "a2", "a3", "a4", "b1", "-1", "-2", "-3")
    first = await take(backend, 3)
    assert ids(first) == ["-1", "a1", "b1"]
    assert ids(await take(other)) == ["-2", "a2", "-3"]
    assert await take(other) == []
    turn = await other.turn(QUEUE, [succeeded(first[1])], 5, LEASE, "w")
    assert ids(turn.claims) == ["a3"]
    assert await take(backend) == []


@pytest.mark.parametrize("how", ["completed", "released", "retried", "crashed", "parked"])
async def test_whatever_ends_a_job_of_a_key_lets_another_start(
    backend: BaseBackend, how: str
) -> None:
    await limit(backend, concurrency=1)
    await add(backend, "a1", "a2", "b1")
    claims = {claim.id: claim for claim in await take(backend)}
    assert sorted(claims) == ["a1", "b1"]
    claim = claims["a1"]
    change = {
        "completed": succeeded(claim),
        "released": released(claim),
        "retried": retried(claim, 1_000.0),
        "crashed": crashed(claim, lapsed=False),
        "parked": parked(claim, "mod.f"),
    }[how]
    assert await apply(backend, change) == ["applied"]
    back = how in {"released", "crashed"}
    assert ids(await take(backend)) == ["a1" if back else "a2"]
    assert await take(backend) == []


async def test_a_key_that_is_used_up_stops_no_other(backend: BaseBackend) -> None:
    """However many of its jobs wait before theirs."""
    await limit(backend, concurrency=1)
    await backend.add(QUEUE, [job(f"a{number}", key="a") for number in range(PAGE)])
    assert ids(await take(backend, 1)) == ["a0"]
    await add(backend, "b1", "c1", priority=9)
    assert ids(await take(backend)) == ["b1", "c1"]


async def test_a_limit_of_a_key_holds_over_all_priorities(backend: BaseBackend) -> None:
    await limit(backend, concurrency=1)
    await add(backend, "a1", priority=1)
    await add(backend, "a2", "b2", priority=5)
    await add(backend, "a3", priority=7)
    claims = await take(backend)
    assert ids(claims) == ["a1", "b2"]
    assert ids((await backend.turn(QUEUE, [succeeded(claims[0])], 5, LEASE, "w")).claims) == ["a2"]
    await add(backend, "a0", priority=0)
    assert await take(backend) == []
    assert await backend.remove(QUEUE, ["a0"]) == [True]
    [claim] = [each for each in await backend.held(QUEUE, "") if each.id == "a2"]
    assert ids((await backend.turn(QUEUE, [succeeded(claim)], 5, LEASE, "w")).claims) == ["a3"]


async def test_a_key_comes_back_without_credit(backend: BaseBackend) -> None:
    await limit(backend, concurrency=1)
    await add(backend, "a1", "a2", "a3", "a4")
    [claim] = await take(backend, 1)
    jobs = [job(f"{key}{number}", key=key) for key in "bcdefgh" for number in range(3)]
    await backend.add(QUEUE, jobs)
    for number in range(3):  # others run while it is used up
        others = await take(backend, 7)
        assert Counter(each.id[0] for each in others) == Counter("bcdefgh"), number
        if number < 2:
            await apply(backend, *map(succeeded, others))
    await backend.turn(QUEUE, [succeeded(claim)], 0, LEASE, "w")
    await backend.add(QUEUE, [job("x1", key="x"), job("x2", key="x")])
    first = await take(backend, 2)
    assert sorted(ids(first)) == ["a2", "x1"]


async def test_zero_lets_no_job_of_a_key_start(backend: BaseBackend) -> None:
    await limit(backend, concurrency=0)
    await add(backend, "a1", "-1")
    assert ids(await take(backend)) == ["-1"]
    await limit(backend, concurrency=1)
    assert ids(await take(backend)) == ["a1"]


async def test_single_keys_have_limits_of_their_own(backend: BaseBackend) -> None:
    await limit(backend, {"a": KeyLimits(concurrency=3), "b": KeyLimits()}, concurrency=1)
    await add(backend, *(f"{key}{number}" for key in "abc" for number in range(5)))
    assert Counter(id[0] for id in ids(await take(backend))) == {"a": 3, "b": 5, "c": 1}


async def test_a_newer_declaration_holds_at_once(backend: BaseBackend, open_store: Opener) -> None:
    other = await open_store()
    await limit(backend, concurrency=1)
    await add(backend, "a1", "a2", "a3", "a4")
    assert ids(await take(backend)) == ["a1"]
    sleeper = await asleep(other)
    await limit(backend, concurrency=2)
    assert await woken(sleeper) == ["a2"]
    assert await take(backend) == []
    await backend.declare_limits(QUEUE, SharedLimits(), "d1")
    assert ids(await take(backend)) == ["a3", "a4"]


async def test_limits_count_what_ran_before_they_were_declared(backend: BaseBackend) -> None:
    await add(backend, "a1", "a2", "a3")
    claims = await take(backend, 2)
    await limit(backend, concurrency=1)
    assert await take(backend) == []
    assert (await backend.turn(QUEUE, [succeeded(claims[0])], 5, LEASE, "w")).claims == []
    assert ids((await backend.turn(QUEUE, [succeeded(claims[1])], 5, LEASE, "w")).claims) == ["a3"]


async def test_a_job_that_tells_its_progress_keeps_its_permit(backend: BaseBackend) -> None:
    await limit(backend, concurrency=2)
    await add(backend, "a1", "a2", "a3", "a4")
    goes_on, ends = await take(backend)
    assert await apply(backend, update_progress(goes_on, b"50")) == ["applied"]
    assert ids((await backend.turn(QUEUE, [succeeded(ends)], 5, LEASE, "w")).claims) == ["a3"]


async def test_a_key_that_is_held_back_until_the_future_is_bounded(backend: BaseBackend) -> None:
    """The store's clock was set back, and the holder is dead; whoever sleeps is told."""
    await limit(backend, concurrency=1)
    await add(backend, "a1", "a2")
    await take(backend, lease=HOUR)
    await backend.remove(QUEUE, ["a1"])
    assert await take(backend) == []
    sleeper = await asleep(backend)
    assert await backend.end_awaited(QUEUE, 0.0) == 0
    assert await woken(sleeper) == ["a2"]


@pytest.mark.parametrize("how", ["cancel", "remove", "purge"])
async def test_a_job_that_was_taken_away_keeps_its_permit_until_its_code_has_ended(
    backend: BaseBackend, how: str
) -> None:
    await limit(backend, concurrency=1)
    await add(backend, "a1", "a2", "b1", "b2")
    claims = {each.id: each for each in await take(backend)}
    if how == "cancel":
        await apply(backend, cancel(await record(backend, "a1")))
    elif how == "remove":
        await backend.remove(QUEUE, ["a1"])
    else:
        await apply(backend, succeeded(claims["b1"]))
        await backend.purge(QUEUE, State.ACTIVE)
    turn = await backend.turn(QUEUE, (), 5, LEASE, "w")
    assert ids(turn.claims) == ([] if how != "purge" else ["b2"])
    assert turn.opens_in is not None
    assert 0 < turn.opens_in <= LEASE
    assert await apply(backend, released(claims["a1"])) != ["applied"]  # its code has ended
    assert ids(await take(backend)) == ["a2"]


async def test_the_permit_of_a_job_that_was_taken_away_ends_with_its_lease(
    backend: BaseBackend,
) -> None:
    await limit(backend, concurrency=1)
    await add(backend, "a1", "a2")
    assert ids(await take(backend, lease=0.05)) == ["a1"]
    assert await take(backend) == []
    await backend.remove(QUEUE, ["a1"])
    assert ids(await later_claims(backend)) == ["a2"]


async def later_claims(backend: BaseBackend) -> list[Claim]:
    """What can be claimed as soon as time lets something start."""
    while not (claims := await take(backend)):
        await backend.wait([QUEUE], 0.01)
    return claims


async def test_an_end_elsewhere_wakes_a_worker_if_it_lets_one_start(
    backend: BaseBackend, open_store: Opener
) -> None:
    other = await open_store()
    await limit(backend, concurrency=1)
    await add(backend, "a1", "a2")
    [claim] = await take(backend)
    sleeper = await asleep(other)
    await apply(backend, succeeded(claim))
    assert await woken(sleeper) == ["a2"]


# ---------------------------------------------------------------------- rates


async def test_a_key_starts_its_burst_and_then_by_its_rate(backend: BaseBackend) -> None:
    await limit(backend, rate_limit=1, rate_interval=HOUR, burst=2)
    await add(backend, "a1", "a2", "a3", "b1", "-1")
    turn = await backend.turn(QUEUE, (), 10, LEASE, "w")
    assert ids(turn.claims) == ["-1", "a1", "b1", "a2"]
    assert turn.opens_in is not None
    assert 0.9 * HOUR < turn.opens_in <= HOUR
    await apply(backend, *map(succeeded, turn.claims))
    assert await take(backend) == []
    await add(backend, "c1")
    assert ids(await take(backend)) == ["c1"]


async def test_a_key_comes_back_the_moment_its_bucket_opens(backend: BaseBackend) -> None:
    await limit(backend, rate_limit=20, burst=1)
    await add(backend, "a1", "a2", "a3")
    begin = await backend.now()
    taken = [id for _ in range(3) for id in ids(await later_claims(backend))]
    assert taken == ["a1", "a2", "a3"]
    assert await backend.now() - begin >= 0.1 - 0.001


async def test_a_bucket_that_is_full_again_leaves_nothing_behind(backend: BaseBackend) -> None:
    await limit(backend, rate_limit=1_000, burst=1)
    await add(backend, "a1", "b1")
    assert ids(await take(backend)) == ["a1", "b1"]
    begin = await backend.now()
    while await backend.now() < begin + 0.01:
        await backend.wait([QUEUE], 0.01)
    await add(backend, "c1")
    assert ids(await take(backend)) == ["c1"]
    assert [(await backend.outlook_of_key(QUEUE, key)).bucket.arrival for key in "ab"] == [0.0, 0.0]


async def test_a_claim_that_is_handed_back_unstarted_returns_the_token_of_its_key(
    backend: BaseBackend,
) -> None:
    await limit(backend, rate_limit=1, rate_interval=HOUR, burst=1)
    await add(backend, "a1", "a2", "b1")
    claims = {each.id: each for each in await take(backend)}
    assert sorted(claims) == ["a1", "b1"]
    await apply(backend, released(claims["b1"]))  # it has run
    assert await take(backend) == []
    await apply(backend, unstarted(claims["a1"]))
    async with asyncio.timeout(LIMIT):  # less the time for which it was held
        assert ids(await later_claims(backend)) == ["a1"]


async def test_a_key_that_is_not_used_up_gets_its_token_back_too(backend: BaseBackend) -> None:
    await limit(backend, rate_limit=1, rate_interval=HOUR, burst=2)
    await add(backend, "a1", "a2", "a3")
    [claim] = await take(backend, 1)
    await apply(backend, unstarted(claim))
    claimed: list[str] = []
    async with asyncio.timeout(LIMIT):
        while len(claimed) < 2:
            claimed += ids(await later_claims(backend))
    assert claimed == ["a1", "a2"]


async def test_a_store_that_lost_its_limits_has_empty_buckets_of_keys(
    backend: BaseBackend,
) -> None:
    """How many of each key started is not known any more; a newer declaration does not tell."""
    each = KeyLimits(rate_limit=1, rate_interval=HOUR, burst=3)
    keys = {"f": KeyLimits(rate_limit=20, burst=1)}
    limits = SharedLimits(each_key=each, keys=keys)
    known = DeclaredLimits(since=1_000.0, by="d1", limits=limits)
    await add(backend, "a1", "f1", "f2", "-1")
    turn = await backend.turn(QUEUE, (), 5, LEASE, "w", known)
    assert ids(turn.claims) == ["-1"]
    assert [id for _ in range(2) for id in ids(await later_claims(backend))] == ["f1", "f2"]
    assert await take(backend) == []
    await limit(backend, rate_limit=1, rate_interval=HOUR, burst=2)
    await add(backend, "a2", "b1")
    assert await take(backend) == []
    await limit(backend, rate_limit=1, rate_interval=0.001, burst=2)
    claimed: list[str] = []
    while len(claimed) < 3:
        claimed += ids(await later_claims(backend))
    assert sorted(claimed) == ["a1", "a2", "b1"]


def unstarted(claim: Claim) -> Change:
    return msgspec.structs.replace(released(claim), unstarted=True)


async def test_rates_of_zero_never_open(backend: BaseBackend) -> None:
    await limit(backend, rate_limit=0)
    await add(backend, "a1", "-1")
    turn = await backend.turn(QUEUE, (), 5, LEASE, "w")
    assert (ids(turn.claims), turn.opens_in) == (["-1"], None)


async def test_who_takes_all_that_a_key_may_start_has_another_learn_when_it_opens(
    backend: BaseBackend, open_store: Opener
) -> None:
    other = await open_store()
    await limit(backend, rate_limit=20, burst=1)
    sleeper = await asleep(other)
    await add(backend, "a1", "a2")
    assert await woken(sleeper) == ["a1"]
    turn = await backend.turn(QUEUE, (), 1, LEASE, "w")
    assert turn.claims or turn.opens_in is not None


class Idle:
    """One who claims whenever it is woken, and is told when time lets more start."""

    def __init__(self, backend: BaseBackend) -> None:
        self._backend = backend
        self.told = asyncio.Event()
        self.looked = asyncio.Event()

    async def run(self) -> None:
        await self._backend.wait([QUEUE], 0.0)
        while True:
            turn = await self._backend.turn(QUEUE, (), 5, LEASE, "idle")
            self.looked.set()
            if turn.opens_in is not None:
                self.told.set()
            await self._backend.wait([QUEUE], 10 * LIMIT)

    async def is_told(self, pause: float) -> bool:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(pause):
                await self.told.wait()
        return self.told.is_set()


@pytest.mark.parametrize("how", ["full", "retires"])
async def test_one_who_is_idle_is_told_when_a_key_opens_if_who_closed_it_is_idle_no_more(
    backend: BaseBackend, open_store: Opener, how: str
) -> None:
    """Each job that is added wakes one of them. In some rounds it is not the idle one."""
    idle = Idle(await open_store())
    await limit(backend, rate_limit=1, rate_interval=HOUR, burst=1)
    await backend.wait([QUEUE], 0.0)
    async with asyncio.TaskGroup() as group:
        sleeper = group.create_task(idle.run())
        await idle.looked.wait()
        for number in range(16):
            await take(backend)
            idle.told.clear()
            await backend.add(QUEUE, [job(f"{number}{at}", key=f"k{number}") for at in "ab"])
            if await idle.is_told(0.02):
                continue
            await take(backend)  # of which it closes the key, if the other does not do so now
            if how == "retires":
                await backend.retire(QUEUE)
            else:
                await add(backend, f"-{number}")
                await take(backend, 1)
            assert await idle.is_told(LIMIT)
        sleeper.cancel()


async def test_a_key_pays_for_the_jobs_that_it_has_and_no_more(backend: BaseBackend) -> None:
    await limit(backend, rate_limit=1, rate_interval=HOUR, burst=3)
    await add(backend, "a1", "b1", "b2", "b3", "b4")
    assert ids(await take(backend)) == ["a1", "b1", "b2", "b3"]
    await add(backend, "a2", "a3", "a4")
    assert ids(await take(backend)) == ["a2", "a3"]


# ---------------------------------------------------------------------- weights


@pytest.mark.parametrize("batch", [1, 3, 100])
async def test_a_key_of_a_greater_weight_gets_more_turns(backend: BaseBackend, batch: int) -> None:
    await limit(backend, {"a": KeyLimits(weight=3), "c": KeyLimits(weight=0.5)})
    jobs = [job(f"{key}{number}", key=key) for number in range(40) for key in "abc"]
    await backend.add(QUEUE, jobs)
    served: list[str] = []
    while len(served) < 36:
        served += ids(await take(backend, min(batch, 36 - len(served))))
    assert Counter(id[0] for id in served) == {"a": 24, "b": 8, "c": 4}


async def test_turns_that_a_weight_has_moved_stay_when_it_is_withdrawn(
    backend: BaseBackend,
) -> None:
    await limit(backend, {"b": KeyLimits(weight=0.1)})
    await add(backend, "a1", "b1", "a2", "b2", "a3", "b3")
    assert ids(await take(backend, 2)) == ["a1", "b1"]
    await limit(backend)
    assert ids(await take(backend, 2)) == ["a2", "a3"]


async def test_thousands_of_keys_may_be_used_up_at_once(backend: BaseBackend) -> None:
    jobs = [job(f"j{number}", key=f"k{number}") for number in range(3_000)]
    await backend.add(QUEUE, [*jobs, job("of nobody")])
    await limit(backend, concurrency=0)
    assert ids(await take(backend, 1)) == ["of nobody"]
    assert await take(backend, 1) == []
    await limit(backend)
    assert len(await take(backend, 10)) == 10


# ---------------------------------------------------------------------- nothing stays behind


@pytest.mark.parametrize("how", ["remove", "purge", "cancel"])
async def test_a_key_of_which_no_job_waits_any_more_is_not_closed(
    backend: BaseBackend, how: str
) -> None:
    await limit(backend, concurrency=0)
    await add(backend, "a1", "b1")
    await add(backend, "a2", priority=9)
    assert await take(backend) == []
    for left in (2, 1):
        assert (await backend.outlook([QUEUE]))[QUEUE].closed_keys == 2
        if how == "remove":
            await backend.remove(QUEUE, [f"a{left}"])
        elif how == "cancel":
            await apply(backend, cancel(await record(backend, f"a{left}")))
        else:
            await backend.purge(QUEUE, State.WAITING, 1 if left == 2 else 500)
    left = 0 if how == "purge" else 1
    assert (await backend.outlook([QUEUE]))[QUEUE].closed_keys == left
    await add(backend, "a3")
    assert await take(backend) == []
    assert (await backend.outlook([QUEUE]))[QUEUE].closed_keys == left + 1


@pytest.mark.parametrize("overlap", ["allow", "queue", "replace"])
async def test_jobs_of_schedules_have_keys(backend: BaseBackend, overlap: Overlap) -> None:
    """What it enqueues is bound by the limit of its key, though the queue had none before."""
    await backend.declare_limits(QUEUE, SharedLimits(each_key=KeyLimits(concurrency=1)), "d1")
    await backend.declare(QUEUE, {"nightly": b"{}", "other": b"{}"}, True)
    start = await backend.now() + HOUR
    for name, id in (("nightly", "a"), ("other", "b"), ("nightly", "c")):
        assert await backend.fire(QUEUE, name, start, job(id, key="k"), None, overlap)
        start += 1
    first = "b" if overlap == "replace" else "a"
    assert [each and each.key for each in await backend.get(QUEUE, ["a", "b", "c"])] == ["k"] * 3
    [claim] = await take(backend, limit=5)
    assert claim.id == first
    assert await apply(backend, succeeded(claim)) == ["applied"]
    [claim] = await take(backend, limit=5)
    assert claim.id != first
