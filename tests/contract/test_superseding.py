"""`overlap = "replace"`: an instant cancels the last job of its schedule and comes in its place.

If that job was active, the new one waits until its code has ended: the holder says so, or the lease
of that claim ends.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import pytest

from asyncmqd.backends.base import BaseBackend, Held
from asyncmqd.domain.job import Claim
from asyncmqd.domain.overlap import ghost_name
from asyncmqd.domain.schedule_counts import Fired, Tally
from asyncmqd.domain.settle import cancel, decode_failure
from asyncmqd.domain.shared_limits import SharedLimits
from asyncmqd.domain.states import State
from asyncmqd.domain.typed_keywords import Overlap
from tests.contract.audit import audit
from tests.contract.conftest import Opener
from tests.contract.jobs import (
    LEASE,
    LONG,
    QUEUE,
    apply,
    failed,
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

CONFIRMS: dict[str, Callable[[Claim], object]] = {
    "handed back": released,
    "succeeded after all": lambda claim: succeeded(claim, b"1"),
    "failed": failed,
}


class Schedule:
    """One schedule, whose instants come one after the other."""

    def __init__(self, backend: BaseBackend) -> None:
        self._backend = backend
        self.instant = 0.0

    async def fire(self, id: str, overlap: Overlap = "replace", delay: float = 0.0) -> Fired:
        if not self.instant:
            await self._backend.declare(QUEUE, {"nightly": b"{}"}, True)
            self.instant = await self._backend.now() + 3_600
        self.instant += 1
        return await self._backend.fire(
            QUEUE, "nightly", self.instant, job(id, delay=delay), None, overlap, LONG
        )

    async def tally(self) -> Tally:
        [found] = await self._backend.schedules(QUEUE)
        return found.tally


@pytest.fixture
def schedule(backend: BaseBackend) -> Schedule:
    return Schedule(backend)


async def replaced(backend: BaseBackend, schedule: Schedule, lease: float = LEASE) -> Claim:
    """The claim of a job, `old`, that was cancelled since the instant of `new` has come."""
    assert await schedule.fire("old") is Fired.YES
    [claim] = await take(backend, lease=lease)
    assert await schedule.fire("new") is Fired.REPLACED
    await audit(backend, QUEUE)
    return claim


async def next_ghost(backend: BaseBackend) -> float | None:
    return (await backend.outlook([QUEUE]))[QUEUE].next_ghost


@pytest.mark.parametrize("confirm", CONFIRMS)
async def test_the_next_job_waits_until_the_code_of_the_last_one_has_ended(
    backend: BaseBackend, schedule: Schedule, confirm: str
) -> None:
    claim = await replaced(backend, schedule)
    old, new = await record(backend, "old"), await record(backend, "new")
    assert (old.state, old.token) == (State.CANCELLED, claim.token + 1)
    assert (new.state, new.waits_for) == (State.BLOCKED, (ghost_name("old", claim.token),))
    assert await backend.extend([Held(QUEUE, "old", claim.token)], LEASE) == [False]
    assert await take(backend) == []
    change = CONFIRMS[confirm](claim)
    turn = await backend.turn(QUEUE, [change], 5, LEASE, "host/one")  # type: ignore[list-item]
    assert turn.answers == ["stale"]
    assert ids(turn.claims) == ["new"]
    assert await next_ghost(backend) is None
    await audit(backend, QUEUE)


async def test_it_is_told_why_it_was_cancelled_and_kept_for_a_time(
    backend: BaseBackend, schedule: Schedule
) -> None:
    await replaced(backend, schedule)
    failure = decode_failure((await record(backend, "old")).error)
    assert failure is not None
    assert (failure.type, "new" in failure.message) == ("Replaced", True)
    assert await schedule.tally() == Tally(
        fired=schedule.instant, job="new", before=ghost_name("old", 1), replaced=1
    )


async def test_the_next_job_waits_no_longer_than_the_lease_of_the_last_one(
    backend: BaseBackend, schedule: Schedule
) -> None:
    claim = await replaced(backend, schedule)
    end = await next_ghost(backend)
    assert end is not None
    assert await backend.end_awaited(QUEUE, LEASE) == 0, "its lease has not ended"
    assert await backend.extend([Held(QUEUE, "old", claim.token)], 0.0) == [False]
    assert await backend.end_awaited(QUEUE, LEASE) == 1
    assert await backend.end_awaited(QUEUE, LEASE) == 0
    await audit(backend, QUEUE)
    assert ids(await take(backend)) == ["new"]
    assert await apply(backend, succeeded(claim)) == ["stale"], "who was thought dead comes back"


async def test_code_that_does_not_stop_is_waited_for_as_long_as_its_holder_says_so(
    backend: BaseBackend, schedule: Schedule
) -> None:
    claim = await replaced(backend, schedule, lease=0.0)
    assert await backend.extend([Held(QUEUE, "old", claim.token)], LONG) == [False]
    assert await backend.end_awaited(QUEUE, 2 * LONG) == 0
    assert await take(backend) == []
    end = await next_ghost(backend)
    assert end == pytest.approx(await backend.now() + LONG, abs=LIMIT)


async def test_a_lease_of_the_future_is_bounded(backend: BaseBackend, schedule: Schedule) -> None:
    await replaced(backend, schedule, lease=LONG)
    assert await backend.end_awaited(QUEUE, LEASE) == 0
    end = await next_ghost(backend)
    assert end == pytest.approx(await backend.now() + LEASE, abs=LIMIT)


@pytest.mark.parametrize("place", ["waiting", "delayed", "retried", "parked"])
async def test_a_job_that_does_not_run_is_replaced_at_once(
    backend: BaseBackend, schedule: Schedule, place: str
) -> None:
    await schedule.fire("old", delay=LONG if place == "delayed" else 0.0)
    if place in {"retried", "parked"}:
        [claim] = await take(backend)
        change = retried(claim, LONG) if place == "retried" else parked(claim, "mod.f")
        assert await apply(backend, change) == ["applied"]
    assert await schedule.fire("new") is Fired.REPLACED
    assert await state(backend, "old") is State.CANCELLED
    await audit(backend, QUEUE)
    assert ids(await take(backend)) == ["new"]


async def test_what_has_ended_is_not_replaced(backend: BaseBackend, schedule: Schedule) -> None:
    await schedule.fire("old")
    [claim] = await take(backend)
    await apply(backend, succeeded(claim, b"1"))
    assert await schedule.fire("new") is Fired.YES
    assert await state(backend, "old") is State.COMPLETED
    assert ids(await take(backend)) == ["new"]
    assert (await schedule.tally()).replaced == 0


async def test_the_newest_instant_wins(backend: BaseBackend, schedule: Schedule) -> None:
    claim = await replaced(backend, schedule)
    for id in ("newer", "newest"):
        assert await schedule.fire(id) is Fired.REPLACED
        await audit(backend, QUEUE)
    assert (await record(backend, "newest")).waits_for == (ghost_name("old", claim.token),)
    assert await ids_in(backend, State.BLOCKED) == ["newest"]
    assert (await schedule.tally()).replaced == 3
    await apply(backend, released(claim))
    assert ids(await take(backend)) == ["newest"]


@pytest.mark.parametrize("way", ["cancelled", "removed"])
async def test_the_code_of_the_last_one_is_waited_for_though_nobody_waits_any_more(
    backend: BaseBackend, schedule: Schedule, way: str
) -> None:
    claim = await replaced(backend, schedule)
    if way == "cancelled":
        await apply(backend, cancel(await record(backend, "new")))
    else:
        await backend.remove(QUEUE, ["new"])
    await audit(backend, QUEUE)
    assert await schedule.fire("next") is Fired.YES
    assert await take(backend) == []
    assert await apply(backend, released(claim)) == ["stale"]
    assert ids(await take(backend)) == ["next"]


async def test_nobody_waits_for_code_that_has_ended(
    backend: BaseBackend, schedule: Schedule
) -> None:
    claim = await replaced(backend, schedule)
    await backend.remove(QUEUE, ["new", "old"])
    assert await apply(backend, released(claim)) == ["gone"]
    assert await next_ghost(backend) is None
    await audit(backend, QUEUE)
    await schedule.fire("next")
    assert ids(await take(backend)) == ["next"]


@pytest.mark.parametrize("overlap", ["queue", "skip"])
async def test_the_rule_of_a_schedule_may_change_while_one_waits(
    backend: BaseBackend, schedule: Schedule, overlap: Overlap
) -> None:
    claim = await replaced(backend, schedule)
    assert await schedule.fire("other", overlap) is Fired.SKIPPED
    assert await apply(backend, cancel(await record(backend, "new"))) == ["applied"]
    right = Fired.YES if overlap == "queue" else Fired.SKIPPED
    assert await schedule.fire("again", overlap) is right
    assert await take(backend) == []
    await apply(backend, released(claim))
    assert ids(await take(backend)) == (["again"] if overlap == "queue" else [])


async def test_a_held_back_job_and_the_one_under_way_are_both_replaced(
    backend: BaseBackend, schedule: Schedule
) -> None:
    await schedule.fire("old", "queue")
    [claim] = await take(backend)
    assert await schedule.fire("held", "queue") is Fired.YES
    assert await schedule.fire("new") is Fired.REPLACED
    await audit(backend, QUEUE)
    assert sorted(await ids_in(backend, State.CANCELLED)) == ["held", "old"]
    assert await take(backend) == []
    await apply(backend, released(claim))
    assert ids(await take(backend)) == ["new"]


async def test_its_permit_is_free_when_its_code_has_ended(
    backend: BaseBackend, schedule: Schedule
) -> None:
    await backend.declare_limits(QUEUE, SharedLimits(concurrency=1), "x")
    claim = await replaced(backend, schedule)
    assert (await backend.outlook([QUEUE]))[QUEUE].ghosts == 1
    turn = await backend.turn(QUEUE, [released(claim)], 5, LEASE, "host/one")
    assert ids(turn.claims) == ["new"]
    assert (await backend.outlook([QUEUE]))[QUEUE].ghosts == 0


@pytest.mark.parametrize("way", ["confirmed", "lapsed"])
async def test_who_waits_is_woken(backend: BaseBackend, schedule: Schedule, way: str) -> None:
    claim = await replaced(backend, schedule, lease=LEASE if way == "confirmed" else 0.0)
    await backend.wait([QUEUE], 0.0)
    assert await take(backend) == []
    async with asyncio.timeout(LIMIT), asyncio.TaskGroup() as group:
        waiting = group.create_task(backend.wait([QUEUE], 10 * LIMIT))
        await asyncio.sleep(0.002)
        if way == "confirmed":
            await apply(backend, released(claim))
        else:
            await backend.end_awaited(QUEUE, LEASE)
    assert waiting.result() == {QUEUE}


async def test_daemons_that_fire_at_once_leave_one_job_live(
    backend: BaseBackend, open_store: Opener, schedule: Schedule
) -> None:
    other = await open_store()
    claim = await replaced(backend, schedule)
    fires = [
        store.fire(QUEUE, "nightly", schedule.instant + number, job(f"{number}"), None, "replace")
        for number in range(1, 11)
        for store in (backend, other)
    ]
    fired = await asyncio.gather(*fires)
    assert set(fired) == {Fired.NO, Fired.REPLACED}
    assert await ids_in(backend, State.BLOCKED) == ["10"]
    await audit(backend, QUEUE)
    await apply(other, released(claim))
    assert ids(await take(backend)) == ["10"]


async def test_nothing_is_forgotten_with_who_opens_the_store(
    backend: BaseBackend, open_store: Opener, schedule: Schedule
) -> None:
    claim = await replaced(backend, schedule)
    other = await open_store()
    assert (await record(other, "new")).waits_for == (ghost_name("old", claim.token),)
    assert await apply(other, released(claim)) == ["stale"]
    assert ids(await take(backend)) == ["new"]
