"""Keys take turns: who has many jobs waiting does not delay the first job of another."""

from __future__ import annotations

import gc
from collections import Counter

import msgspec
import pytest

from asyncmqd.backends.base import PAGE, BaseBackend
from asyncmqd.domain.settle import cancel, replay
from asyncmqd.domain.states import State
from tests.contract.conftest import Opener
from tests.contract.jobs import (
    QUEUE,
    apply,
    crashed,
    failed,
    ids,
    job,
    later,
    parked,
    record,
    released,
    retried,
    take,
)


async def add(backend: BaseBackend, *wanted: str, priority: int = 5, delay: float = 0.0) -> None:
    """Of "a1" the key is "a"; of "-1" there is none."""
    jobs = [job(id, key=id[0].strip("-"), priority=priority, delay=delay) for id in wanted]
    assert all(each.is_new for each in await backend.add(QUEUE, jobs))


async def one_by_one(backend: BaseBackend, number: int) -> list[str]:
    return [id for _ in range(number) for id in ids(await take(backend, 1))]


async def test_keys_take_turns(backend: BaseBackend) -> None:
    await add(backend, "a1", "a2", "a3", "a4", "b1", "b2", "c1")
    expected = ["a1", "b1", "c1", "a2", "b2", "a3", "a4"]
    assert ids(await take(backend)) == expected


async def test_turns_do_not_depend_on_how_many_are_claimed_at_once(backend: BaseBackend) -> None:
    await add(backend, "a1", "a2", "a3", "b1", "b2", "c1")
    expected = ["a1", "b1", "c1", "a2", "b2", "a3"]
    assert await one_by_one(backend, 7) == expected
    await add(backend, *(f"{id}'" for id in ("a1", "a2", "a3", "b1", "b2", "c1")))
    assert ids(await take(backend, 2)) + ids(await take(backend, 4)) == [f"{e}'" for e in expected]


async def test_jobs_without_a_key_are_one_lane_beside_them(backend: BaseBackend) -> None:
    await add(backend, "-1", "-2", "-3", "a1", "a2", "a3", "b1", "b2")
    assert await one_by_one(backend, 9) == ["-1", "a1", "b1", "-2", "a2", "b2", "-3", "a3"]


async def test_a_claim_of_jobs_with_and_without_a_key_leaves_the_others_waiting(
    backend: BaseBackend,
) -> None:
    await add(backend, "a1", "-1", "b1", "-2", "a2")
    assert len(await take(backend, 4)) == 4
    counts = (await backend.counts([QUEUE]))[QUEUE]
    assert (counts.waiting, counts.active) == (1, 4)


async def test_a_new_key_comes_next_beside_a_long_line(backend: BaseBackend) -> None:
    many = [f"a{number}" for number in range(2 * PAGE)]
    await backend.add(QUEUE, [job(id, key="a") for id in many])
    assert ids(await take(backend, 100)) == many[:100]
    await add(backend, "b1")
    assert ids(await take(backend, 2)) in (["b1", "a100"], ["a100", "b1"])


async def test_the_best_priority_comes_first_whatever_its_key(backend: BaseBackend) -> None:
    await add(backend, "a1", "b1", priority=5)
    await add(backend, "-1", priority=7)
    await add(backend, "a2", "a3", priority=3)
    await add(backend, "-2", priority=4)
    assert ids(await take(backend)) == ["a2", "a3", "-2", "a1", "b1", "-1"]


async def test_starts_of_one_priority_are_no_debt_in_another(backend: BaseBackend) -> None:
    await add(backend, *(f"a{number}" for number in range(10)), priority=1)
    assert len(await take(backend)) == 10
    await add(backend, "a'", "b'", "a''", "b''")
    assert ids(await take(backend)) == ["a'", "b'", "a''", "b''"]


async def test_a_key_that_comes_back_has_no_credit(backend: BaseBackend) -> None:
    await add(backend, "b1")
    assert ids(await take(backend)) == ["b1"]
    await add(backend, *(f"a{number}" for number in range(9)))
    assert len(await one_by_one(backend, 5)) == 5
    await add(backend, *(f"b{number}" for number in range(2, 6)))
    assert Counter(id[0] for id in await one_by_one(backend, 4)) == {"a": 2, "b": 2}


async def test_of_the_keys_of_one_claim_those_that_ran_dry_come_back_without_credit(
    backend: BaseBackend,
) -> None:
    await add(backend, "a1", "c1", *(f"b{number}" for number in range(12)))
    assert ids(await take(backend, 3)) == ["a1", "b0", "c1"]
    assert len(await one_by_one(backend, 5)) == 5
    await add(backend, "a2", "a3", "a4")
    assert Counter(id[0] for id in await one_by_one(backend, 4)) == {"a": 2, "b": 2}


async def test_a_key_that_ran_dry_has_no_head_start(backend: BaseBackend) -> None:
    """It enqueues the next job just after its last one was taken, again and again."""
    for key in "abcde":
        await backend.add(QUEUE, [job(f"{key}{number}", key=key) for number in range(40)])
    served: Counter[str] = Counter()
    await add(backend, "x0")
    for number in range(1, 61):
        [id] = ids(await take(backend, 1))
        served[id[0]] += 1
        if id[0] == "x":
            await add(backend, f"x{number}")
    assert served == dict.fromkeys("abcdex", 10)


async def test_where_nothing_waits_any_more_nobody_is_owed_a_turn(backend: BaseBackend) -> None:
    await add(backend, *(f"a{number}" for number in range(5)))
    assert len(await one_by_one(backend, 5)) == 5
    await add(backend, "b1", "b2", "b3", "a5")
    assert "a5" in await one_by_one(backend, 2)


async def test_a_retry_goes_behind_and_a_release_keeps_its_place(backend: BaseBackend) -> None:
    await add(backend, "a1", "a2", "a3")
    [first] = await take(backend, 1)
    await apply(backend, retried(first, 0.0))
    await later(backend)
    assert await backend.move_due(QUEUE) == 1
    [second] = await take(backend, 1)
    assert second.id == "a2"
    await apply(backend, released(second))
    assert await one_by_one(backend, 4) == ["a2", "a3", "a1"]


async def test_recovered_and_unparked_jobs_stand_where_they_stood(backend: BaseBackend) -> None:
    await add(backend, "a1", "a2", "b1")
    claims = {claim.id: claim for claim in await take(backend)}
    back = crashed(claims["a1"], lapsed=False), parked(claims["a2"], "mod.f")
    assert await apply(backend, *back, released(claims["b1"])) == ["applied"] * 3
    assert (await backend.counts([QUEUE]))[QUEUE].parked == 1
    assert await backend.unpark(QUEUE, ["mod.f"]) == 1
    assert await one_by_one(backend, 2) in (["a1", "b1"], ["b1", "a1"])
    assert await one_by_one(backend, 2) == ["a2"]


async def test_due_and_replayed_jobs_take_their_turn(backend: BaseBackend) -> None:
    await add(backend, "a1")
    [claim] = await take(backend)
    await apply(backend, failed(claim))
    await add(backend, "a2", "a3", "a4")
    await add(backend, "b1", delay=0.001)
    await later(backend)
    await later(backend)
    assert await backend.move_due(QUEUE) == 1
    await apply(backend, replay(await record(backend, "a1")))
    assert await one_by_one(backend, 6) == ["a2", "b1", "a3", "a4", "a1"]


@pytest.mark.parametrize("way", ["cancel", "remove", "purge"])
async def test_jobs_that_go_leave_their_lanes(backend: BaseBackend, way: str) -> None:
    await add(backend, "a1", "b1", "a2")
    if way == "cancel":
        for id in ("a1", "a2", "b1"):
            assert await apply(backend, cancel(await record(backend, id))) == ["applied"]
    elif way == "remove":
        assert await backend.remove(QUEUE, ["a1", "a2", "b1"]) == [True] * 3
    else:
        assert await backend.purge(QUEUE, State.WAITING) == 3
    assert await take(backend) == []
    assert (await backend.counts([QUEUE]))[QUEUE].waiting == 0
    await add(backend, "a3", "b3", "a4", "-4")
    assert ids(await take(backend)) == ["-4", "a3", "b3", "a4"]


async def test_waiting_jobs_of_keys_are_counted_and_listed(backend: BaseBackend) -> None:
    await add(backend, "a1", "-1", "b1", "a2")
    counts = (await backend.counts([QUEUE]))[QUEUE]
    assert (counts.waiting, counts.parked) == (4, 0)
    assert (await backend.outlook([QUEUE]))[QUEUE].waiting == 4
    listed = await backend.list(QUEUE, State.WAITING)
    assert [each.id for each in listed] == ["-1", "a1", "b1", "a2"]
    assert {each.place for each in listed} == {State.WAITING}
    assert [e.id for e in await backend.list(QUEUE, State.WAITING, 1, 2)] == ["a1", "b1"]


async def test_a_pause_stops_all_lanes(backend: BaseBackend) -> None:
    await add(backend, "a1", "b1")
    await backend.pause(QUEUE, True)
    assert await take(backend) == []
    await backend.pause(QUEUE, False)
    assert ids(await take(backend)) == ["a1", "b1"]


async def test_turns_go_on_in_another_process(open_store: Opener) -> None:
    one, two = await open_store(), await open_store()
    await add(one, "a1", "a2", "b1", "b2")
    served = [id for store in (one, two, one, two) for id in ids(await take(store, 1))]
    assert served == ["a1", "b1", "a2", "b2"]


@pytest.mark.parametrize("others", [["b1"], []])
async def test_a_job_that_is_replaced_goes_to_the_lane_of_its_new_priority(
    backend: BaseBackend, others: list[str]
) -> None:
    name = msgspec.structs.replace(job("a1", key="a"), unique="1" * 64)
    await backend.add(QUEUE, [name])
    await add(backend, "a2", *others)
    new = msgspec.structs.replace(name, id="x", priority=3, on_conflict="replace")
    assert [each.outcome for each in await backend.add(QUEUE, [new])] == ["replaced"]
    assert (await backend.counts([QUEUE]))[QUEUE].waiting == 2 + len(others)
    assert await one_by_one(backend, 5) == ["a1", "a2", *others]
    await add(backend, "a4", "b4")
    assert ids(await take(backend)) == ["a4", "b4"]


async def test_more_keys_than_a_page(backend: BaseBackend) -> None:
    keys = [f"k{number:04}" for number in range(PAGE + 100)]
    await backend.add(QUEUE, [job(f"{key}-{n}", key=key) for n in (1, 2) for key in keys])
    first = ids(await take(backend, PAGE + 100))
    assert first == [f"{key}-1" for key in keys]
    assert ids(await take(backend, 2 * PAGE)) == [f"{key}-2" for key in keys]


async def test_a_waiting_job_of_a_key_has_not_ended(backend: BaseBackend) -> None:
    await add(backend, "a1", "-1")
    named = (await backend.wait_ended({QUEUE: ["a1", "-1"]}, 0.01)).get(QUEUE, set())
    assert ("a1" in named) == ("-1" in named)
    assert await backend.wait_ended({QUEUE: ["a1", "-1"]}, 0.01) == {}


async def test_new_keys_without_end_keep_nobody_waiting(backend: BaseBackend) -> None:
    await backend.add(QUEUE, [job("last", key="z"), job("plain"), job("other")])
    claimed = []
    for number in range(60):
        await backend.add(QUEUE, [job(f"new{number}", key=f"host{number:02}")])
        claimed += ids(await take(backend, 1))
    assert {"last", "plain", "other"} <= set(claimed[:40])


async def test_turns_leave_nothing_to_the_garbage_collector(backend: BaseBackend) -> None:
    await add(backend, *(f"{key}{number}" for number in range(30) for key in "ab"))
    await one_by_one(backend, 10)  # what is made once is there from now on
    gc.collect()
    gc.disable()
    try:
        await one_by_one(backend, 50)
        assert gc.collect() < 50
    finally:
        gc.enable()
