"""Jobs that are blocked: they wait for others to end, and come back in the step that ends these."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

import pytest

from asyncmqd.backends.base import BaseBackend
from asyncmqd.domain.change import Change
from asyncmqd.domain.job import Claim
from asyncmqd.domain.schedule_counts import Fired, Tally
from asyncmqd.domain.settle import Expired, Policy, Retention, cancel, replay, run_now, settle
from asyncmqd.domain.states import State
from tests.contract.audit import audit
from tests.contract.conftest import Opener
from tests.contract.jobs import (
    LONG,
    QUEUE,
    apply,
    crashed,
    failed,
    fill,
    ids,
    ids_in,
    job,
    parked,
    record,
    released,
    retried,
    state,
    succeeded,
    take,
)
from tests.eventually import LIMIT

End = Callable[[BaseBackend, Claim], Awaitable[object]]


async def declared(backend: BaseBackend) -> float:
    """A schedule; an instant that none of its own has come to yet."""
    await backend.declare(QUEUE, {"nightly": b"{}"}, True)
    return await backend.now() + 3_600


async def fire(backend: BaseBackend, instant: float, id: str, delay: float = 0.0) -> Fired:
    return await backend.fire(QUEUE, "nightly", instant, job(id, delay=delay), None, "queue")


async def blocked(backend: BaseBackend, delay: float = 0.0) -> Claim:
    """The claim of a job that another, `child`, waits for."""
    start = await declared(backend)
    assert await fire(backend, start, "parent") is Fired.YES
    [claim] = await take(backend)
    assert await fire(backend, start + 1, "child", delay) is Fired.YES
    assert await state(backend, "child") is State.BLOCKED
    return claim


async def tally(backend: BaseBackend) -> Tally:
    [found] = await backend.schedules(QUEUE)
    return found.tally


def settled(decide: Callable[[Claim], Change]) -> End:
    async def end(backend: BaseBackend, claim: Claim) -> None:
        assert await apply(backend, decide(claim)) == ["applied"]

    return end


async def cancelled(backend: BaseBackend, claim: Claim) -> None:
    assert await apply(backend, cancel(await record(backend, claim.id))) == ["applied"]


ENDS: dict[str, End] = {
    "completed": settled(lambda claim: succeeded(claim, b"1")),
    "failed": settled(failed),
    "expired": settled(lambda claim: settle(claim, Expired(), Policy(), 0.5)),
    "cancelled": cancelled,
    "removed": lambda backend, claim: backend.remove(QUEUE, ["x", claim.id]),
    "purged": lambda backend, _: backend.purge(QUEUE, State.ACTIVE),
}
STAYS: dict[str, End] = {
    "runs": lambda _, __: asyncio.sleep(0),
    "delayed": settled(lambda claim: retried(claim, LONG)),
    "released": settled(released),
    "parked": settled(lambda claim: parked(claim, "mod.f")),
}


@pytest.mark.parametrize("end", ENDS)
async def test_a_blocked_job_waits_from_the_step_on_that_ends_the_other(
    backend: BaseBackend, end: str
) -> None:
    claim = await blocked(backend)
    await fill(backend, "x")
    found = await record(backend, "child")
    assert (found.waits_for, found.due) == (("parent",), None)
    counts = (await backend.counts([QUEUE]))[QUEUE]
    assert (counts.blocked, counts.waiting, counts.delayed) == (1, 1, 0)
    assert (await backend.outlook([QUEUE]))[QUEUE].next_due is None
    assert ids(await take(backend)) == ["x"]
    await fill(backend, "y")
    await ENDS[end](backend, claim)
    assert (await record(backend, "child")).waits_for == ()
    assert ids(await take(backend)) == ["y", "child"]


@pytest.mark.parametrize("stays", STAYS)
async def test_a_blocked_job_waits_as_long_as_the_other_is_live(
    backend: BaseBackend, stays: str
) -> None:
    await STAYS[stays](backend, await blocked(backend))
    assert await backend.move_due(QUEUE) == 0
    assert await state(backend, "child") is State.BLOCKED
    assert "child" not in ids(await take(backend))


async def test_the_turn_that_ends_a_job_may_bring_the_one_that_waited(backend: BaseBackend) -> None:
    claim = await blocked(backend)
    turn = await backend.turn(QUEUE, [succeeded(claim, b"1")], 5, 60.0, "host/one")
    assert turn.answers == ["applied"]
    assert ids(turn.claims) == ["child"]


async def test_its_age_counts_from_there_and_its_due_time_holds(backend: BaseBackend) -> None:
    claim = await blocked(backend, delay=LONG)
    added = (await record(backend, "child")).created
    await asyncio.sleep(0.002)
    await apply(backend, succeeded(claim, b"1"))
    found = await record(backend, "child")
    assert found.state is State.DELAYED
    assert found.due == pytest.approx(added + LONG, abs=0.001)
    assert found.created > added
    assert (await backend.outlook([QUEUE]))[QUEUE].next_due == found.due


@pytest.mark.parametrize("end", ["completed", "removed"])
async def test_who_waits_is_woken(backend: BaseBackend, end: str) -> None:
    claim = await blocked(backend)
    await backend.wait([QUEUE], 0.0)
    assert await take(backend) == []
    async with asyncio.timeout(LIMIT), asyncio.TaskGroup() as group:
        waiting = group.create_task(backend.wait([QUEUE], 10 * LIMIT))
        await ENDS[end](backend, claim)
    assert waiting.result() == {QUEUE}


async def test_at_most_one_is_held_back(backend: BaseBackend) -> None:
    claim = await blocked(backend)
    instant = (await tally(backend)).fired
    assert await fire(backend, instant + 1, "next") is Fired.SKIPPED
    assert await state(backend, "next") is None
    told = Tally(fired=instant, job="child", before="parent")
    assert await tally(backend) == told.overlapped(instant + 1, {})
    await apply(backend, succeeded(claim, b"1"))
    assert await fire(backend, instant + 2, "next") is Fired.YES
    assert (await record(backend, "next")).waits_for == ("child",)


@pytest.mark.parametrize("way", ["cancelled", "removed", "purged"])
async def test_a_blocked_job_that_ends_leaves_its_place_to_the_next_one(
    backend: BaseBackend, way: str
) -> None:
    claim = await blocked(backend)
    if way == "cancelled":
        assert await apply(backend, cancel(await record(backend, "child"))) == ["applied"]
    elif way == "removed":
        assert await backend.remove(QUEUE, ["child"]) == [True]
    else:
        assert await backend.purge(QUEUE, State.BLOCKED) == 1
    await audit(backend, QUEUE)
    assert await fire(backend, (await tally(backend)).fired + 1, "next") is Fired.YES
    assert (await record(backend, "next")).waits_for == ("parent",)
    await apply(backend, succeeded(claim, b"1"))
    assert ids(await take(backend)) == ["next"]
    assert (await backend.counts([QUEUE]))[QUEUE].blocked == 0


async def test_a_blocked_job_is_neither_run_now_nor_replayed(backend: BaseBackend) -> None:
    await blocked(backend)
    child = await record(backend, "child")
    assert await apply(backend, run_now(child), replay(child)) == ["already", "already"]
    assert await state(backend, "child") is State.BLOCKED


async def test_both_of_one_call_end(backend: BaseBackend) -> None:
    claim = await blocked(backend)
    child = await record(backend, "child")
    assert await apply(backend, succeeded(claim, b"1"), cancel(child)) == ["applied", "applied"]
    assert await ids_in(backend, State.CANCELLED) == ["child"]
    assert await take(backend) == []


async def test_a_blocked_job_that_was_cancelled_is_run_again_without_waiting(
    backend: BaseBackend,
) -> None:
    claim = await blocked(backend)
    await apply(backend, cancel(await record(backend, "child")))
    await apply(backend, replay(await record(backend, "child")))
    assert ids(await take(backend)) == ["child"]
    assert await apply(backend, succeeded(claim, b"1")) == ["applied"]
    assert await state(backend, "child") is State.ACTIVE


async def test_nobody_is_forgotten_with_who_opens_the_store(
    backend: BaseBackend, open_store: Opener
) -> None:
    claim = await blocked(backend)
    other = await open_store()
    assert (await record(other, "child")).waits_for == ("parent",)
    await other.prune(QUEUE, Retention(keep_completed=0, keep_bytes=0))
    assert await apply(other, succeeded(claim, b"1")) == ["applied"]
    await other.prune(QUEUE, Retention(keep_completed=0, keep_bytes=0))
    assert ids(await take(backend)) == ["child"]


async def test_a_job_whose_worker_died_is_waited_for(backend: BaseBackend) -> None:
    start = await declared(backend)
    await fire(backend, start, "parent")
    [claim] = await take(backend, lease=0.0)
    await fire(backend, start + 1, "child")
    await asyncio.sleep(0.002)
    assert await apply(backend, crashed(claim)) == ["applied"]
    assert ids(await take(backend)) == ["parent"]
    assert await state(backend, "child") is State.BLOCKED


async def test_daemons_that_fire_at_once_hold_one_back(
    backend: BaseBackend, open_store: Opener
) -> None:
    other = await open_store()
    await blocked(backend)
    await backend.remove(QUEUE, ["child"])
    first = (await tally(backend)).fired
    fires = [
        fire(store, first + number, f"{number}")
        for number in range(1, 11)
        for store in (backend, other)
    ]
    assert (await asyncio.gather(*fires)).count(Fired.YES) == 1
    assert (await backend.counts([QUEUE]))[QUEUE].blocked == 1
