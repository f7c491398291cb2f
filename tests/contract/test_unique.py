"""Of the jobs of a queue that have one unique name, one at most is live."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import msgspec
import pytest

from asyncmqd.backends.base import PAGE, BaseBackend
from asyncmqd.domain.change import Change
from asyncmqd.domain.job import Added, Claim
from asyncmqd.domain.settle import Expired, Policy, Retention, cancel, replay, settle
from asyncmqd.domain.states import State
from tests.added import are_new
from tests.contract.conftest import Opener
from tests.contract.jobs import (
    LONG,
    QUEUE,
    apply,
    crashed,
    failed,
    fill,
    ids,
    job,
    later,
    names,
    parked,
    record,
    released,
    retried,
    state,
    succeeded,
    take,
)

Decide = Callable[[Claim], Change]
Prepare = Callable[[BaseBackend], Awaitable[None]]
NAME, OTHER = "1" * 64, "2" * 64


async def add(
    backend: BaseBackend, id: str, name: str = NAME, delay: float = 0.0, **more: Any
) -> Added:
    new = msgspec.structs.replace(job(id, unique=name, delay=delay), **more)
    [added] = await backend.add(QUEUE, [new])
    return added


async def claimed(backend: BaseBackend, lease: float = 60.0) -> Claim:
    [claim] = await take(backend, lease=lease)
    return claim


async def test_a_name_is_held_by_one_job_which_the_store_names(backend: BaseBackend) -> None:
    assert await add(backend, "a") == Added("a", "new")
    assert await add(backend, "b") == Added("a", "existed")
    assert await add(backend, "c", OTHER) == Added("c", "new")
    assert await state(backend, "b") is None
    found = await record(backend, "a")
    assert (found.unique, found.holder) == (NAME, "a")
    assert ids(await take(backend)) == ["a", "c"]


async def test_names_of_one_call_hold_among_its_jobs(backend: BaseBackend) -> None:
    jobs = [
        job("a"),
        job("b", unique=NAME),
        job("c", unique=NAME),
        job("d"),
        job("b", unique=OTHER),
    ]
    added = await backend.add(QUEUE, [*jobs, job("e", unique=OTHER)])
    assert [each.id for each in added] == ["a", "b", "b", "d", "b", "e"]
    assert are_new(added) == [True, True, False, True, False, True]
    assert ids(await take(backend)) == ["a", "b", "d", "e"]


async def test_more_than_a_page_of_names_keeps_its_order(backend: BaseBackend) -> None:
    many = names(PAGE + 50)
    await backend.add(QUEUE, [job(id, unique=f"{id:>064}") for id in many])
    assert ids(await take(backend, 2 * PAGE)) == many


async def test_a_name_belongs_to_its_queue(backend: BaseBackend) -> None:
    assert (await add(backend, "a")).is_new
    assert are_new(await backend.add("other", [job("a", unique=NAME)])) == [True]


@pytest.mark.parametrize(
    "decide",
    [
        lambda claim: retried(claim, LONG),
        released,
        lambda claim: released(claim, LONG),
        lambda claim: parked(claim, "mod.f"),
        lambda claim: crashed(claim, lapsed=False),
    ],
    ids=["retry", "release", "snooze", "park", "recover"],
)
async def test_a_job_that_comes_back_holds_its_name_throughout(
    backend: BaseBackend, decide: Decide
) -> None:
    await add(backend, "a")
    claim = await claimed(backend)
    assert await add(backend, "b") == Added("a", "existed")
    assert await apply(backend, decide(claim)) == ["applied"]
    assert await add(backend, "b") == Added("a", "existed")


async def test_a_delayed_job_holds_its_name_before_and_after_it_is_promoted(
    backend: BaseBackend,
) -> None:
    await add(backend, "a", delay=0.001)
    assert await add(backend, "b") == Added("a", "existed")
    await later(backend)
    await later(backend)
    assert await backend.move_due(QUEUE) == 1
    assert await add(backend, "b") == Added("a", "existed")


def quarantined(claim: Claim) -> Change:
    thrice = msgspec.structs.replace(claim, crashes=2, solo=True)
    change = crashed(thrice, lapsed=True)
    assert change.edge == "quarantine"
    return change


@pytest.mark.parametrize(
    "decide",
    [
        succeeded,
        lambda claim: succeeded(claim, b"1"),
        failed,
        lambda claim: settle(claim, Expired(), Policy(), 0.5),
        quarantined,
    ],
    ids=["succeed", "result", "fail", "expire", "quarantine"],
)
async def test_the_end_of_a_run_frees_the_name(backend: BaseBackend, decide: Decide) -> None:
    await add(backend, "a")
    claim = await claimed(backend, lease=0.0)
    assert await apply(backend, decide(claim)) == ["applied"]
    assert (await record(backend, "a")).holder == ""
    assert await add(backend, "b") == Added("b", "new")
    assert (await record(backend, "a")).holder == "b"


async def waits(backend: BaseBackend) -> None:
    """Added, and no more."""


async def is_claimed(backend: BaseBackend) -> None:
    await claimed(backend)


async def has_ended(backend: BaseBackend) -> None:
    await apply(backend, succeeded(await claimed(backend), b"1"))


@pytest.mark.parametrize("prepare", [waits, is_claimed, has_ended])
@pytest.mark.parametrize("way", ["remove", "purge"])
async def test_deleting_the_holder_frees_the_name(
    backend: BaseBackend, prepare: Prepare, way: str
) -> None:
    await add(backend, "a")
    await prepare(backend)
    if way == "remove":
        assert await backend.remove(QUEUE, ["a"]) == [True]
    else:
        found = await state(backend, "a")
        assert found is not None
        assert await backend.purge(QUEUE, found) == 1
    assert await add(backend, "b") == Added("b", "new")
    assert await add(backend, "c") == Added("b", "existed")


@pytest.mark.parametrize("prepare", [waits, is_claimed])
async def test_cancelling_the_holder_frees_the_name(backend: BaseBackend, prepare: Prepare) -> None:
    await add(backend, "a")
    await prepare(backend)
    assert await apply(backend, cancel(await record(backend, "a"))) == ["applied"]
    assert await add(backend, "b") == Added("b", "new")


async def test_pruning_or_removing_a_former_holder_frees_nothing(backend: BaseBackend) -> None:
    """The name is another's by then."""
    for id in ("a", "b"):
        await add(backend, id)
        await has_ended(backend)
    await add(backend, "c")
    assert await backend.remove(QUEUE, ["a"]) == [True]
    assert await add(backend, "d") == Added("c", "existed")
    assert await backend.prune(QUEUE, Retention(keep_bytes=0)) == 1
    assert await add(backend, "d") == Added("c", "existed")


async def test_pruning_the_last_holder_leaves_a_free_name(backend: BaseBackend) -> None:
    await add(backend, "a")
    await has_ended(backend)
    assert await backend.prune(QUEUE, Retention(keep_bytes=0)) == 1
    assert await add(backend, "a") == Added("a", "new")


async def test_a_replay_takes_a_free_name_again(backend: BaseBackend) -> None:
    await add(backend, "a")
    await has_ended(backend)
    assert await apply(backend, replay(await record(backend, "a"))) == ["applied"]
    assert await add(backend, "b") == Added("a", "existed")


async def test_a_replay_takes_its_name_also_where_no_name_is_left(backend: BaseBackend) -> None:
    await add(backend, "a")
    await has_ended(backend)
    await add(backend, "b")
    assert await backend.remove(QUEUE, ["b"]) == [True]
    assert await apply(backend, replay(await record(backend, "a"))) == ["applied"]
    assert await add(backend, "c") == Added("a", "existed")


async def test_a_replay_is_refused_while_another_holds_the_name(backend: BaseBackend) -> None:
    await add(backend, "a")
    await has_ended(backend)
    await add(backend, "b")
    ended = await record(backend, "a")
    assert ended.holder == "b"
    assert await apply(backend, replay(ended)) == ["taken"]
    assert await record(backend, "a") == ended
    await has_ended(backend)
    assert await apply(backend, replay(ended)) == ["applied"]
    assert await apply(backend, replay(await record(backend, "b"))) == ["taken"]


async def test_of_the_replays_of_one_call_one_takes_the_name(backend: BaseBackend) -> None:
    for id in ("a", "b"):
        await add(backend, id)
        await has_ended(backend)
    again = [replay(await record(backend, id)) for id in ("a", "b")]
    assert await apply(backend, *again) == ["applied", "taken"]
    assert await add(backend, "c") == Added("a", "existed")


async def test_an_end_frees_the_name_for_a_replay_of_the_same_call(backend: BaseBackend) -> None:
    await add(backend, "a")
    await has_ended(backend)
    await add(backend, "b")
    end = succeeded(await claimed(backend), b"1")
    assert await apply(backend, end, replay(await record(backend, "a"))) == ["applied", "applied"]
    assert await add(backend, "c") == Added("a", "existed")


async def test_names_last(open_store: Opener) -> None:
    one, two = await open_store(), await open_store()
    await add(one, "a")
    assert await add(two, "b") == Added("a", "existed")


async def test_a_lost_reply_is_answered_again(backend: BaseBackend) -> None:
    for id in ("a", "a"):
        assert (await add(backend, id)).id == "a"
    await has_ended(backend)
    assert await add(backend, "a") == Added("a", "existed")  # its id is known, its name is free


async def test_a_large_payload_that_is_not_added_leaves_nothing(backend: BaseBackend) -> None:
    await add(backend, "a")
    large = msgspec.structs.replace(job("b", unique=NAME), payload=b"x" * 200_000)
    assert await backend.add(QUEUE, [large]) == [Added("a", "existed")]
    await backend.remove(QUEUE, ["a"])
    assert await backend.add(QUEUE, [large]) == [Added("b", "new")]
    assert (await claimed(backend)).payload == large.payload


async def test_a_large_payload_that_is_not_added_is_not_that_of_the_next_of_its_id(
    backend: BaseBackend,
) -> None:
    await add(backend, "a")
    held = msgspec.structs.replace(job("b", unique=NAME), payload=b"x" * 200_000)
    free = msgspec.structs.replace(job("b"), payload=b"y" * 200_000)
    assert await backend.add(QUEUE, [held, free]) == [Added("a", "existed"), Added("b", "new")]
    payloads = {claim.id: claim.payload for claim in await take(backend)}
    assert payloads["b"] == free.payload


async def test_many_who_enqueue_at_once_get_one_job(backend: BaseBackend) -> None:
    added = await asyncio.gather(*(add(backend, id) for id in names(50)))
    assert {each.id for each in added} == {next(each.id for each in added if each.is_new)}
    await fill(backend, "plain")
    assert len(await take(backend)) == 2


# ---------------------------------------------------------------------- held until the claim


async def test_a_name_is_free_once_its_job_is_claimed(backend: BaseBackend) -> None:
    await add(backend, "a", until_claimed=True)
    assert await add(backend, "b", until_claimed=True) == Added("a", "existed")
    await claimed(backend)
    assert (await record(backend, "a")).holder == ""
    assert await add(backend, "b", until_claimed=True) == Added("b", "new")
    assert await add(backend, "c", until_claimed=True) == Added("b", "existed")


BACK: dict[str, Decide] = {
    "retry": lambda claim: retried(claim, LONG),
    "release": released,
    "snooze": lambda claim: released(claim, LONG),
    "park": lambda claim: parked(claim, "mod.f"),
    "recover": lambda claim: crashed(claim, lapsed=False),
}


@pytest.mark.parametrize("way", BACK)
async def test_a_job_that_comes_back_takes_a_free_name_again(
    backend: BaseBackend, way: str
) -> None:
    await add(backend, "a", until_claimed=True)
    assert await apply(backend, BACK[way](await claimed(backend))) == ["applied"]
    assert await add(backend, "b", until_claimed=True) == Added("a", "existed")


@pytest.mark.parametrize("way", BACK)
async def test_a_job_that_comes_back_goes_on_without_a_name_that_is_held(
    backend: BaseBackend, way: str
) -> None:
    await add(backend, "a", until_claimed=True)
    claim = await claimed(backend)
    await add(backend, "b", until_claimed=True, delay=LONG)
    assert await apply(backend, BACK[way](claim)) == ["applied"]
    assert (await record(backend, "a")).holder == "b"
    assert await backend.remove(QUEUE, ["b"]) == [True]
    assert await add(backend, "c", until_claimed=True) == Added("c", "new")


async def test_of_jobs_that_come_back_in_one_call_the_first_takes_the_name(
    backend: BaseBackend,
) -> None:
    await add(backend, "a", until_claimed=True)
    first = await claimed(backend)
    await add(backend, "b", until_claimed=True)
    second = await claimed(backend)
    assert await apply(backend, retried(first, LONG), released(second)) == ["applied"] * 2
    assert await add(backend, "c", until_claimed=True) == Added("a", "existed")


async def test_a_former_holder_that_comes_back_holds_the_name_of_one_that_runs(
    backend: BaseBackend,
) -> None:
    await add(backend, "a", until_claimed=True)
    first = await claimed(backend)
    await add(backend, "b", until_claimed=True)
    second = await claimed(backend)
    await apply(backend, retried(first, LONG))
    assert (await record(backend, "b")).holder == "a"
    await apply(backend, succeeded(second, b"1"))
    assert await add(backend, "c", until_claimed=True) == Added("a", "existed")
    assert await apply(backend, replay(await record(backend, "b"))) == ["taken"]


# ---------------------------------------------------------------------- taken for a time


@pytest.mark.parametrize("way", ["live", "claimed", "ended", "pruned"])
async def test_a_name_is_taken_for_its_time_whatever_becomes_of_the_job(
    backend: BaseBackend, way: str
) -> None:
    await add(backend, "a", unique_for=LONG, until_claimed=way == "claimed")
    if way != "live":
        claim = await claimed(backend)
    if way in {"ended", "pruned"}:
        await apply(backend, succeeded(claim, b"1"))
    if way == "pruned":
        assert await backend.prune(QUEUE, Retention(keep_bytes=0)) == 1
    else:
        assert (await record(backend, "a")).holder == "a"
    assert await add(backend, "b") == Added("a", "existed")


async def test_a_time_that_is_over_holds_nothing(backend: BaseBackend) -> None:
    await add(backend, "a", unique_for=0.001)
    await has_ended(backend)
    await later(backend)
    await later(backend)
    assert await add(backend, "b", unique_for=LONG) == Added("b", "new")
    assert await apply(backend, replay(await record(backend, "a"))) == ["taken"]


@pytest.mark.parametrize("way", ["remove", "purge"])
async def test_a_person_frees_a_name_before_its_time(backend: BaseBackend, way: str) -> None:
    await add(backend, "a", unique_for=LONG)
    if way == "remove":
        await backend.remove(QUEUE, ["a"])
    else:
        await backend.purge(QUEUE, State.WAITING)
    assert await add(backend, "b") == Added("b", "new")
    await has_ended(backend)
    assert await add(backend, "c") == Added("c", "new")  # its time went with it


async def test_a_replay_of_the_holder_keeps_its_time(backend: BaseBackend) -> None:
    await add(backend, "a", unique_for=LONG)
    await has_ended(backend)
    assert await apply(backend, replay(await record(backend, "a"))) == ["applied"]
    await has_ended(backend)
    assert await add(backend, "b") == Added("a", "existed")
