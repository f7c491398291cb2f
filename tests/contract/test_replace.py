"""A new job may come in the place of the holder of its unique name, if that was never claimed."""

from __future__ import annotations

import asyncio
from typing import Any

import msgspec
import pytest

from asyncmqd.backends.base import BaseBackend
from asyncmqd.domain.job import Added, Record
from asyncmqd.domain.settle import Retention, cancel, replay
from asyncmqd.domain.states import State
from tests.contract.jobs import (
    LONG,
    QUEUE,
    apply,
    fill,
    ids,
    job,
    parked,
    record,
    released,
    state,
    succeeded,
    take,
)
from tests.eventually import LIMIT

NAME = "1" * 64
SMALL, MIDDLE, LARGE = b"new", b"n" * 5_000, b"n" * 40_000


async def add(backend: BaseBackend, id: str, on_conflict: str = "replace", **more: Any) -> Added:
    more = {"unique": NAME, "on_conflict": on_conflict, "push_for": 10 * LONG, **more}
    [added] = await backend.add(QUEUE, [msgspec.structs.replace(job(id), **more)])
    return added


async def due(backend: BaseBackend, id: str = "a") -> float:
    found: Record = await record(backend, id)
    assert found.state is State.DELAYED
    assert found.due is not None
    return found.due


@pytest.mark.parametrize("old", [SMALL, MIDDLE, LARGE], ids=len)
@pytest.mark.parametrize("new", [SMALL, MIDDLE, LARGE], ids=len)
async def test_the_holder_gets_the_payload_and_keeps_its_id(
    backend: BaseBackend, old: bytes, new: bytes
) -> None:
    await add(backend, "a", payload=old[:-1] + b"o")
    before = await record(backend, "a")
    assert await add(backend, "b", payload=new) == Added("a", "replaced")
    after = await record(backend, "a")
    assert (after.payload, after.created) == (new, before.created)
    assert await state(backend, "b") is None
    [claim] = await take(backend)
    assert (claim.id, claim.payload, claim.size) == ("a", new, len(new))
    assert await apply(backend, succeeded(claim, b"1")) == ["applied"]
    assert await add(backend, "b") == Added("b", "new")


async def test_what_is_not_asked_for_is_not_done(backend: BaseBackend) -> None:
    await add(backend, "a", payload=b"old")
    assert await add(backend, "b", "existing", payload=b"new") == Added("a", "existed")
    assert (await record(backend, "a")).payload == b"old"
    assert await add(backend, "a", payload=b"new") == Added("a", "existed")  # its own id
    assert (await record(backend, "a")).payload == b"old"


@pytest.mark.parametrize("way", ["active", "released", "parked", "ended"])
async def test_a_job_that_was_claimed_keeps_what_its_run_has_seen(
    backend: BaseBackend, way: str
) -> None:
    await add(backend, "a", payload=b"old", unique_for=LONG)
    [claim] = await take(backend)
    if way == "released":
        await apply(backend, released(claim))
    elif way == "parked":
        await apply(backend, parked(claim, "mod.f"))
    elif way == "ended":
        await apply(backend, succeeded(claim, b"1"))
    for on_conflict in ("replace", "push"):
        added = await add(backend, "b", on_conflict, payload=b"new", delay=LONG)
        assert added == Added("a", "existed")
    assert (await record(backend, "a")).payload == b"old"


@pytest.mark.parametrize("way", ["cancelled", "pruned"])
async def test_a_holder_that_has_ended_is_not_replaced(backend: BaseBackend, way: str) -> None:
    await add(backend, "a", payload=b"old", unique_for=LONG)
    await apply(backend, cancel(await record(backend, "a")))
    if way == "pruned":
        await backend.prune(QUEUE, Retention(keep_bytes=0))
    assert await add(backend, "b", "push", payload=b"new", delay=LONG) == Added("a", "existed")
    assert await take(backend) == []


async def test_a_waiting_job_keeps_its_place_and_takes_the_priority(backend: BaseBackend) -> None:
    await add(backend, "a")
    await fill(backend, "x")
    await add(backend, "b", payload=b"new")
    await add(backend, "c", unique="2" * 64)
    await fill(backend, "y")
    assert await add(backend, "d", unique="2" * 64, priority=9) == Added("c", "replaced")
    assert (await record(backend, "c")).priority == 9
    await fill(backend, "z")
    assert ids(await take(backend, 9)) == ["a", "x", "y", "z", "c"]


@pytest.mark.parametrize("on_conflict", ["replace", "push"])
async def test_a_waiting_job_is_not_put_off(backend: BaseBackend, on_conflict: str) -> None:
    await add(backend, "a")
    added = await add(backend, "b", on_conflict, payload=b"new", delay=LONG)
    assert added == Added("a", "replaced")
    [claim] = await take(backend)
    assert claim.payload == b"new"


async def test_replace_leaves_a_delayed_job_its_time(backend: BaseBackend) -> None:
    await add(backend, "a", delay=LONG)
    before = await due(backend)
    assert await add(backend, "b", payload=b"new", priority=9) == Added("a", "replaced")
    assert await due(backend) == before
    await fill(backend, "c")
    assert ids(await take(backend)) == ["c"]
    assert (await record(backend, "a")).priority == 9


async def test_push_moves_the_due_time_to_now_and_the_delay(backend: BaseBackend) -> None:
    await add(backend, "a", delay=LONG)
    first = await due(backend)
    assert await add(backend, "b", "push", delay=3 * LONG) == Added("a", "replaced")
    later = await due(backend)
    assert later - first == pytest.approx(2 * LONG, abs=LONG / 2)
    assert await add(backend, "b", "push", delay=LONG) == Added("a", "replaced")
    assert await due(backend) - first == pytest.approx(0, abs=LONG / 2)


async def test_push_ends_at_its_limit_from_the_first_enqueue(backend: BaseBackend) -> None:
    await add(backend, "a", delay=LONG)
    created = (await record(backend, "a")).created
    for delay in (2 * LONG, 5 * LONG):
        await add(backend, "b", "push", delay=delay, push_for=1.5 * LONG)
        assert await due(backend) == pytest.approx(created + 1.5 * LONG, abs=0.01)


@pytest.mark.parametrize("more", [{"push_for": 0.0}, {"delay": 0.0}], ids=["push_for", "delay"])
@pytest.mark.parametrize("calls", [1, 2])
async def test_a_job_that_is_pushed_to_now_waits_at_once(
    backend: BaseBackend, more: dict[str, float], calls: int
) -> None:
    base = {"unique": NAME, "on_conflict": "push", "push_for": 10 * LONG, "delay": LONG}
    first = msgspec.structs.replace(job("a"), **base)
    last = msgspec.structs.replace(job("b"), **{**base, "payload": b"new", "priority": 7, **more})
    put_off = msgspec.structs.replace(job("c"), **{**base, "payload": b"newest", "priority": 7})
    all_jobs = [first, job("x", priority=7), last, job("y", priority=7), put_off, job("z")]
    for part in [all_jobs] if calls == 1 else [[each] for each in all_jobs]:
        await backend.add(QUEUE, part)
    assert await backend.move_due(QUEUE, 10) == 0
    counts = (await backend.counts([QUEUE]))[QUEUE]
    assert (counts.waiting, counts.delayed) == (4, 0)
    claims = await take(backend, 4)
    assert ids(claims) == ["z", "x", "a", "y"]
    assert claims[2].payload == b"newest"


async def test_a_job_that_is_pushed_to_now_goes_behind_those_before_in_the_call(
    backend: BaseBackend,
) -> None:
    base = {"unique": NAME, "on_conflict": "push", "push_for": 10 * LONG}
    await backend.add(QUEUE, [msgspec.structs.replace(job("a"), delay=LONG, **base)])
    pushing = msgspec.structs.replace(job("b"), **base)
    answers = await backend.add(QUEUE, [job("x"), pushing, job("y"), pushing, job("z")])
    assert [each.outcome for each in answers] == ["new", "replaced", "new", "replaced", "new"]
    assert ids(await take(backend)) == ["x", "a", "y", "z"]


async def test_jobs_of_one_call_replace_each_other(backend: BaseBackend) -> None:
    base = {"unique": NAME, "on_conflict": "push", "push_for": 10 * LONG, "delay": LONG}
    jobs = [
        msgspec.structs.replace(job(id), payload=id.encode(), priority=number, **base)
        for number, id in enumerate("abc", 4)
    ]
    answers = await backend.add(QUEUE, [jobs[0], job("x"), *jobs[1:]])
    assert answers == [
        Added("a", "new"),
        Added("x", "new"),
        Added("a", "replaced"),
        Added("a", "replaced"),
    ]
    found = await record(backend, "a")
    assert (found.payload, found.priority, found.state) == (b"c", 6, State.DELAYED)
    assert ids(await take(backend)) == ["x"]


async def test_a_push_wakes_a_worker_for_the_time_may_be_an_earlier_one(
    backend: BaseBackend,
) -> None:
    await add(backend, "a", delay=10 * LONG)
    await backend.wait([QUEUE], 0.0)
    assert await take(backend) == []
    async with asyncio.timeout(LIMIT), asyncio.TaskGroup() as group:
        waiting = group.create_task(backend.wait([QUEUE], 10 * LIMIT))
        assert await add(backend, "b", "push", delay=LONG) == Added("a", "replaced")
    assert waiting.result() == {QUEUE}


async def test_a_job_that_had_ended_is_as_large_as_what_came_in_its_place(
    backend: BaseBackend,
) -> None:
    await add(backend, "a")
    await apply(backend, cancel(await record(backend, "a")))
    await apply(backend, replay(await record(backend, "a")))
    added = await add(backend, "b", payload=b"x" * 600)
    assert (added.id, added.outcome) == ("a", "replaced")
    [claim] = await take(backend)
    await apply(backend, succeeded(claim))
    assert await backend.prune(QUEUE, Retention(keep_bytes=600)) == 0
    assert await backend.prune(QUEUE, Retention(keep_bytes=599)) == 1
