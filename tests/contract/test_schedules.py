"""Schedules: declared by living daemons, and fired once for each instant."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

import pytest

from asyncmqd.backends.base import BaseBackend, ScheduleRecord
from asyncmqd.domain.change import Change
from asyncmqd.domain.job import Claim
from asyncmqd.domain.schedule_counts import Fired, Passed, Tally
from asyncmqd.domain.settle import Expired, Policy, cancel, settle
from asyncmqd.domain.states import State
from tests.contract.conftest import Opener
from tests.contract.jobs import (
    LONG,
    QUEUE,
    apply,
    failed,
    fill,
    finish,
    ids_in,
    job,
    later,
    parked,
    retried,
    succeeded,
    take,
)

SPEC = b'{"task": "t", "every": 1.0}'
NEW_SPEC = b'{"task": "t", "every": 2.0}\x00\xff'


async def declared(backend: BaseBackend, name: str = "nightly") -> float:
    """Declare one schedule; the store's now."""
    return await backend.declare(QUEUE, {name: SPEC}, True)


async def schedule(backend: BaseBackend, name: str = "nightly") -> ScheduleRecord:
    [found] = [each for each in await backend.schedules(QUEUE) if each.name == name]
    return found


async def test_a_new_schedule_starts_now(backend: BaseBackend) -> None:
    before = await backend.now()
    now = await declared(backend)
    assert before - 0.01 <= now <= await backend.now() + 0.01
    found = await schedule(backend)
    assert (found.queue, found.name, found.spec, found.paused) == (QUEUE, "nightly", SPEC, False)
    assert found.declared == found.seen == found.last == pytest.approx(now, abs=0.01)


async def test_schedules_are_listed_by_name(backend: BaseBackend) -> None:
    await backend.declare(QUEUE, {"b": SPEC, "a": NEW_SPEC, "ö:{x}*": b""}, True)
    await backend.declare("reports", {"c": SPEC}, True)
    found = await backend.schedules(QUEUE)
    assert [(each.name, each.spec) for each in found] == [
        ("a", NEW_SPEC),
        ("b", SPEC),
        ("ö:{x}*", b""),
    ]
    assert await backend.schedules("nothing") == []


async def test_a_fresh_declaration_replaces_a_differing_spec(backend: BaseBackend) -> None:
    first = await declared(backend)
    await later(backend)
    now = await backend.declare(QUEUE, {"nightly": NEW_SPEC}, True)
    found = await schedule(backend)
    assert found.spec == NEW_SPEC
    assert found.declared == found.seen == pytest.approx(now, abs=0.002)
    assert found.last == pytest.approx(first, abs=0.002), "what has fired does not fire again"


async def test_who_declared_a_schedule_and_what_it_replaced_are_known(backend: BaseBackend) -> None:
    async def who() -> tuple[bytes, str, bytes, str]:
        found = await schedule(backend)
        return found.spec, found.by, found.former, found.former_by

    await backend.declare(QUEUE, {"nightly": SPEC}, True, "one")
    assert await who() == (SPEC, "one", b"", "")
    await backend.declare(QUEUE, {"nightly": SPEC}, True, "two")
    await backend.declare(QUEUE, {"nightly": NEW_SPEC}, False, "two")
    assert await who() == (SPEC, "one", b"", ""), "it was so before"
    await backend.declare(QUEUE, {"nightly": NEW_SPEC}, True, "two")
    assert await who() == (NEW_SPEC, "two", SPEC, "one")
    await backend.declare(QUEUE, {"nightly": SPEC}, True)
    assert await who() == (SPEC, "", NEW_SPEC, "two"), "a release that does not say"


async def test_a_renewal_leaves_the_newest_spec_alone(backend: BaseBackend) -> None:
    first = await declared(backend)
    await later(backend)
    now = await backend.declare(QUEUE, {"nightly": NEW_SPEC, "other": NEW_SPEC}, False)
    found = await schedule(backend)
    assert found.spec == SPEC
    assert (found.declared, found.seen) == (
        pytest.approx(first, abs=0.002),
        pytest.approx(now, abs=0.002),
    )
    assert (await schedule(backend, "other")).spec == NEW_SPEC


async def test_the_same_spec_again_is_no_new_declaration(backend: BaseBackend) -> None:
    first = await declared(backend)
    await later(backend)
    await declared(backend)
    found = await schedule(backend)
    assert found.declared == pytest.approx(first, abs=0.0005)
    assert found.seen > found.declared


async def test_declaring_nothing_tells_the_time(backend: BaseBackend) -> None:
    now = await backend.declare(QUEUE, {}, True)
    assert now == pytest.approx(await backend.now(), abs=10)
    assert await backend.schedules(QUEUE) == []


async def test_an_instant_fires_once(backend: BaseBackend) -> None:
    instant = await declared(backend) + 1
    assert await backend.fire(QUEUE, "nightly", instant, job("a"))
    assert not await backend.fire(QUEUE, "nightly", instant, job("b"))
    assert (await schedule(backend)).last == pytest.approx(instant, abs=0.001)
    assert await ids_in(backend, State.WAITING) == ["a"]


async def test_instants_only_go_up(backend: BaseBackend) -> None:
    start = await declared(backend)
    assert await backend.fire(QUEUE, "nightly", start + 2, job("a"))
    assert not await backend.fire(QUEUE, "nightly", start + 1, job("b"))
    assert await backend.fire(QUEUE, "nightly", start + 3, job("c"))
    assert await ids_in(backend, State.WAITING) == ["a", "c"]


async def test_no_instant_before_the_declaration_fires(backend: BaseBackend) -> None:
    start = await declared(backend)
    assert not await backend.fire(QUEUE, "nightly", start - 1, job("a"))


async def test_an_instant_is_remembered_exactly(backend: BaseBackend) -> None:
    """Instants of a sub-second schedule lie close together, and none may pass for another."""
    start = round(await declared(backend)) + 1.0
    for number in range(5):
        instant = round(start + number * 0.01, 3)
        assert await backend.fire(QUEUE, "nightly", instant, None)
        assert (await schedule(backend)).last == pytest.approx(instant, abs=1e-6)
        assert not await backend.fire(QUEUE, "nightly", instant, None)


async def test_a_skipped_instant_adds_no_job(backend: BaseBackend) -> None:
    instant = await declared(backend) + 1
    assert await backend.fire(QUEUE, "nightly", instant, None)
    assert not await backend.fire(QUEUE, "nightly", instant, job("a"))
    assert await ids_in(backend, State.WAITING) == []


async def test_a_fired_job_may_be_delayed(backend: BaseBackend) -> None:
    instant = await declared(backend) + 1
    await backend.fire(QUEUE, "nightly", instant, job("a", delay=LONG, priority=1))
    [found] = await backend.list(QUEUE, State.DELAYED)
    assert (found.id, found.priority) == ("a", 1)


async def test_what_became_of_the_instants_is_counted(backend: BaseBackend) -> None:
    start = await declared(backend)
    assert (await schedule(backend)).tally == Tally()
    first, second, third = start + 1, start + 2, start + 3
    assert await backend.fire(QUEUE, "nightly", first, job("a")) is Fired.YES
    assert (await schedule(backend)).tally == Tally(fired=first, job="a")
    passed = Passed((await schedule(backend)).last, {"late": 3, "missed": 2})
    assert await backend.fire(QUEUE, "nightly", second, None, passed) is Fired.SKIPPED
    assert (await schedule(backend)).tally == Tally(
        fired=first, job="a", skipped=second, reason="missed", counts={"late": 3, "missed": 2}
    )
    passed = Passed((await schedule(backend)).last, {"late": 1})
    assert await backend.fire(QUEUE, "nightly", third, job("b"), passed) is Fired.YES
    assert (await schedule(backend)).tally == Tally(
        fired=third, job="b", skipped=third, reason="late", counts={"late": 4, "missed": 2}
    )


async def test_instants_that_another_daemon_counted_are_not_counted_again(
    backend: BaseBackend,
) -> None:
    start = await declared(backend)
    counted = Passed((await schedule(backend)).last, {"missed": 1})
    assert await backend.fire(QUEUE, "nightly", start + 1, job("a"))
    before = await schedule(backend)
    assert await backend.fire(QUEUE, "nightly", start + 2, job("b"), counted) is Fired.NO
    assert await schedule(backend) == before
    assert await ids_in(backend, State.WAITING) == ["a"]


Move = Callable[[BaseBackend], Awaitable[object]]


def settled(decide: Callable[[Claim], Change]) -> Move:
    async def move(backend: BaseBackend) -> None:
        [claim] = await take(backend, 1)
        assert claim.id == "last"
        assert await apply(backend, decide(claim)) == ["applied"]

    return move


async def cancelled(backend: BaseBackend) -> None:
    [waiting] = await backend.get(QUEUE, ["last"])
    assert waiting is not None
    assert await apply(backend, cancel(waiting)) == ["applied"]


LIVE: dict[str, Move] = {
    "waiting": lambda _: asyncio.sleep(0),
    "active": take,
    "delayed": settled(lambda claim: retried(claim, LONG)),
    "parked": settled(lambda claim: parked(claim, "mod.f")),
}
ENDED: dict[str, Move] = {
    "completed": settled(lambda claim: succeeded(claim, b"1")),
    "failed": settled(failed),
    "expired": settled(lambda claim: settle(claim, Expired(), Policy(), 0.5)),
    "cancelled": cancelled,
    "removed": lambda backend: backend.remove(QUEUE, ["last"]),
}


@pytest.mark.parametrize("becomes", LIVE)
async def test_an_instant_is_skipped_while_the_last_job_is_live(
    backend: BaseBackend, becomes: str
) -> None:
    start = await declared(backend)
    assert await backend.fire(QUEUE, "nightly", start + 1, job("last"), None, "skip") is Fired.YES
    await LIVE[becomes](backend)
    before = {state: await ids_in(backend, state) for state in State}
    passed = Passed((await schedule(backend)).last, {"missed": 2})
    fire = backend.fire(QUEUE, "nightly", start + 2, job("next"), passed, "skip")
    assert await fire is Fired.SKIPPED
    assert {state: await ids_in(backend, state) for state in State} == before
    found = await schedule(backend)
    assert found.last == start + 2
    assert found.tally == Tally(
        fired=start + 1,
        job="last",
        skipped=start + 2,
        reason="overlap",
        counts={"missed": 2, "overlap": 1},
    )
    assert await backend.fire(QUEUE, "nightly", start + 3, job("next")) is Fired.YES, "it may"
    assert (await schedule(backend)).tally.job == "next"


@pytest.mark.parametrize("becomes", ENDED)
async def test_an_instant_fires_once_the_last_job_has_ended(
    backend: BaseBackend, becomes: str
) -> None:
    start = await declared(backend)
    await backend.fire(QUEUE, "nightly", start + 1, job("last"), None, "skip")
    await backend.declare(QUEUE, {"other": SPEC}, True)
    await backend.fire(QUEUE, "other", start + 3, job("z other", priority=9), None, "skip")
    await ENDED[becomes](backend)
    assert await backend.fire(QUEUE, "nightly", start + 2, job("next"), None, "skip") is Fired.YES
    assert (await schedule(backend)).tally == Tally(fired=start + 2, job="next")


async def test_daemons_that_fire_at_once_leave_one_job_live(
    backend: BaseBackend, open_store: Opener
) -> None:
    other = await open_store()
    start = await declared(backend)
    fires = [
        store.fire(QUEUE, "nightly", start + number, job(f"{number}"), None, "skip")
        for number in range(1, 11)
        for store in (backend, other)
    ]
    fired = await asyncio.gather(*fires)
    assert fired.count(Fired.YES) == 1
    assert len(await ids_in(backend, State.WAITING)) == 1


async def test_what_a_paused_schedule_named_is_skipped_and_not_missed(
    backend: BaseBackend,
) -> None:
    await declared(backend)
    await backend.edit_schedule(QUEUE, "nightly", "pause")
    await later(backend)
    paused = await backend.now()
    await later(backend)
    await backend.edit_schedule(QUEUE, "nightly", "resume", 5)
    found = await schedule(backend)
    assert found.last == found.tally.skipped > paused
    assert (found.tally.reason, found.tally.counts) == ("paused", {"paused": 5})
    assert not await backend.fire(QUEUE, "nightly", paused, job("a"))
    await backend.edit_schedule(QUEUE, "nightly", "resume", 5)
    assert await schedule(backend) == found, "it was not paused"


async def test_what_came_after_the_count_of_a_pause_is_not_skipped_uncounted(
    backend: BaseBackend,
) -> None:
    await declared(backend)
    await backend.edit_schedule(QUEUE, "nightly", "pause")
    await later(backend)
    counted = await backend.now()
    await later(backend)
    await backend.edit_schedule(QUEUE, "nightly", "resume", 5, counted)
    found = await schedule(backend)
    assert found.last == found.tally.skipped == pytest.approx(counted, abs=1e-6)
    assert not await backend.fire(QUEUE, "nightly", counted, job("a"))
    assert await backend.fire(QUEUE, "nightly", counted + 0.001, job("b"))


async def test_a_pause_ends_no_later_than_now(backend: BaseBackend) -> None:
    now = await declared(backend)
    await backend.edit_schedule(QUEUE, "nightly", "pause")
    await backend.edit_schedule(QUEUE, "nightly", "resume", 0, now + 3_600)
    assert (await schedule(backend)).last < now + 60


async def test_an_id_that_is_taken_fires_nothing(backend: BaseBackend) -> None:
    """The hour comes again when the store's clock is set back: its jobs need other ids."""
    instant = await declared(backend) + 1
    await finish(backend, "a", b"1")
    before = await schedule(backend)
    assert not await backend.fire(QUEUE, "nightly", instant, job("a"))
    assert await schedule(backend) == before
    assert await take(backend) == []
    assert await backend.fire(QUEUE, "nightly", instant, job("a.1"))
    assert await ids_in(backend, State.WAITING) == ["a.1"]


@pytest.mark.parametrize("fresh", [False, True])
async def test_what_fired_in_a_future_that_is_none_any_more_is_not_believed(
    backend: BaseBackend, fresh: bool
) -> None:
    """As if the clock had been an hour, or a year, ahead, and was set right."""
    now = await declared(backend)
    await declared(backend, "other")
    assert await backend.fire(QUEUE, "nightly", now + 3_600, None)
    assert await backend.fire(QUEUE, "other", now + 5, None)
    assert not await backend.fire(QUEUE, "nightly", now + 60, job("a"))
    again = await backend.declare(QUEUE, {"nightly": SPEC, "other": SPEC}, fresh)
    assert (await schedule(backend)).last == pytest.approx(again, abs=0.001)
    assert (await schedule(backend, "other")).last == pytest.approx(now + 5, abs=0.001)
    assert await backend.fire(QUEUE, "nightly", now + 60, job("a"))
    assert not await backend.fire(QUEUE, "nightly", now + 60, job("b"))


async def test_a_paused_schedule_does_not_fire(backend: BaseBackend) -> None:
    instant = await declared(backend) + 1
    assert await backend.edit_schedule(QUEUE, "nightly", "pause") is True
    assert (await schedule(backend)).paused is True
    assert not await backend.fire(QUEUE, "nightly", instant, job("a"))
    await backend.declare(QUEUE, {"nightly": NEW_SPEC}, True)
    assert (await schedule(backend)).paused is True, "a reload does not resume it"
    assert await backend.edit_schedule(QUEUE, "nightly", "resume") is True
    assert await backend.fire(QUEUE, "nightly", instant, job("a"))


async def test_a_removed_schedule_does_not_fire(backend: BaseBackend) -> None:
    instant = await declared(backend) + 1
    assert await backend.edit_schedule(QUEUE, "nightly", "remove") is True
    assert not await backend.fire(QUEUE, "nightly", instant, job("a"))
    assert await backend.schedules(QUEUE) == []
    assert await ids_in(backend, State.WAITING) == []


@pytest.mark.parametrize("action", ["pause", "resume", "remove"])
async def test_an_unknown_schedule_cannot_be_edited(backend: BaseBackend, action: str) -> None:
    await declared(backend, "other")
    assert await backend.edit_schedule(QUEUE, "nightly", action) is False
    assert [each.name for each in await backend.schedules(QUEUE)] == ["other"]


async def test_an_unknown_schedule_does_not_fire(backend: BaseBackend) -> None:
    assert not await backend.fire(QUEUE, "nightly", 1e10, job("a"))
    assert await backend.schedules(QUEUE) == []


async def test_schedules_of_one_name_in_two_queues_are_two(backend: BaseBackend) -> None:
    start = await declared(backend)
    await backend.declare("reports", {"nightly": SPEC}, True)
    assert await backend.fire(QUEUE, "nightly", start + 1, job("a"))
    assert await backend.fire("reports", "nightly", start + 1, job("a"))


async def test_many_daemons_fire_each_instant_once(
    backend: BaseBackend, open_store: Opener
) -> None:
    other = await open_store()
    start = await declared(backend)

    async def daemon(number: int, store: BaseBackend) -> int:
        fired = [
            await store.fire(QUEUE, "nightly", start + instant, job(f"{number}-{instant}"))
            for instant in range(1, 21)
        ]
        return sum(map(bool, fired))

    stores = [backend, other] * 4
    fired = await asyncio.gather(*(daemon(n, store) for n, store in enumerate(stores)))
    instants = [id.partition("-")[2] for id in await ids_in(backend, State.WAITING)]
    assert sum(fired) == len(instants)
    assert len(set(instants)) == len(instants), "an instant fired twice"
    assert "20" in instants, "the last instant must have fired"


async def test_schedules_leave_jobs_alone(backend: BaseBackend) -> None:
    await fill(backend, "nightly", "schedules")
    await declared(backend)
    await backend.edit_schedule(QUEUE, "nightly", "remove")
    assert await ids_in(backend, State.WAITING) == ["nightly", "schedules"]


async def test_many_queues_are_declared_and_read_at_once(backend: BaseBackend) -> None:
    specs = {"reports": {"b": SPEC, "a": SPEC}, QUEUE: {"nightly": SPEC}, "empty": {}}
    now = await backend.declare_all(list(specs.items()), True)
    found = await backend.schedules("reports", QUEUE, "nothing")
    assert [(each.queue, each.name) for each in found] == [
        ("reports", "a"),
        ("reports", "b"),
        (QUEUE, "nightly"),
    ]
    assert {round(each.seen - now, 1) for each in found} == {0.0}
    again = await backend.declare_all(
        [(QUEUE, {"nightly": NEW_SPEC}), ("reports", {"a": SPEC})], True
    )
    altered = [
        each.name for each in await backend.schedules("reports", QUEUE) if each.declared > now
    ]
    assert again > now
    assert altered == ["nightly"]
    assert await backend.schedules() == []


async def test_a_schedule_that_is_withdrawn_is_seen_no_more(backend: BaseBackend) -> None:
    start = await declared(backend)
    await backend.declare("reports", {"a": SPEC, "b": SPEC}, True)
    await backend.withdraw(
        [(QUEUE, ["nightly", "unknown"]), ("reports", ["b"]), ("nothing", ["x"])]
    )
    found = await backend.schedules(QUEUE, "reports", "nothing")
    assert [(each.name, each.seen > 0) for each in found] == [
        ("nightly", False),
        ("a", True),
        ("b", False),
    ]
    assert await backend.fire(QUEUE, "nightly", start + 1, job("a")), "others may have it"
    await backend.declare(QUEUE, {"nightly": SPEC}, False)
    assert (await schedule(backend)).seen >= start
    assert (await schedule(backend)).last == start + 1
