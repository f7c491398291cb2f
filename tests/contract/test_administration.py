"""What operators see and do: pages, counts, pause, remove, purge."""

from __future__ import annotations

import msgspec
import pytest

from asyncmqd.backends.base import PAGE, BaseBackend
from asyncmqd.domain.job import Counts
from asyncmqd.domain.pause import Pause
from asyncmqd.domain.settle import Expired, Policy, Retention, cancel, replay, run_now, settle
from asyncmqd.domain.states import TERMINAL, State
from asyncmqd.domain.store_clock import TOLERANCE
from tests.contract.conftest import Opener
from tests.contract.jobs import (
    LONG,
    QUEUE,
    apply,
    failed,
    fill,
    ids,
    ids_in,
    job,
    later,
    names,
    parked,
    record,
    state,
    succeeded,
    take,
    take_one,
)


async def one_in(backend: BaseBackend, state: State, id: str) -> None:
    """Bring a new job into `state`."""
    if state is State.DELAYED:
        await backend.add(QUEUE, [job(id, delay=LONG)])
        return
    if state is State.WAITING:
        await fill(backend, id)
        return
    claim = await take_one(backend, id)
    if state is State.COMPLETED:
        await apply(backend, succeeded(claim, b"1"))
    elif state is State.FAILED:
        await apply(backend, failed(claim))
    elif state is State.EXPIRED:
        await apply(backend, settle(claim, Expired(), Policy(), 0.5))
    elif state is State.CANCELLED:
        await apply(backend, cancel(await record(backend, id)))


# Waiting last, since the others are claimed on their way. For blocked ones see test_blocked.py.
_LATER = {State.WAITING, State.BLOCKED}
IN_ORDER = [*(state for state in State if state not in _LATER), State.WAITING]


async def test_counts_and_lists_agree_in_every_state(backend: BaseBackend) -> None:
    for where in IN_ORDER:
        await one_in(backend, where, f"one-{where}")
    assert (await backend.counts([QUEUE]))[QUEUE] == Counts(
        waiting=1, delayed=1, active=1, completed=1, failed=1, expired=1, cancelled=1
    )
    assert await backend.list(QUEUE, State.BLOCKED) == []
    for where in IN_ORDER:
        [found] = await backend.list(QUEUE, where)
        assert (found.id, found.state) == (f"one-{where}", where)
        assert found == await record(backend, found.id)
        assert (found.finished is not None) == (where in TERMINAL)
        assert (found.due is not None) == (where in {State.DELAYED, State.ACTIVE})


async def test_counts_of_several_queues_and_of_unknown_ones(backend: BaseBackend) -> None:
    await fill(backend, "a", "b")
    await fill(backend, "a", queue="reports")
    counts = await backend.counts([QUEUE, "reports", "nothing"])
    assert {name: each.waiting for name, each in counts.items()} == {
        QUEUE: 2,
        "reports": 1,
        "nothing": 0,
    }
    assert await backend.counts([]) == {}


async def test_the_outlook_of_several_queues(backend: BaseBackend) -> None:
    await fill(backend, "a", "b")
    outlook = await backend.outlook([QUEUE, "nothing"])
    assert {name: each.waiting for name, each in outlook.items()} == {QUEUE: 2, "nothing": 0}
    assert outlook["nothing"].now == pytest.approx(await backend.now(), abs=10)
    assert await backend.outlook([]) == {}


async def test_get_answers_in_the_order_of_the_question(backend: BaseBackend) -> None:
    await fill(backend, "a", "b")
    found = await backend.get(QUEUE, ["b", "nobody", "a", "b"])
    assert [each and each.id for each in found] == ["b", None, "a", "b"]
    assert await backend.get(QUEUE, []) == []


async def test_waiting_jobs_are_listed_next_to_run_first(backend: BaseBackend) -> None:
    await backend.add(QUEUE, [job("b"), job("c"), job("a", priority=1), job("d", priority=9)])
    assert await ids_in(backend, State.WAITING) == ["a", "b", "c", "d"]
    assert ids(await take(backend)) == ["a", "b", "c", "d"]


async def test_delayed_jobs_are_listed_by_their_time(backend: BaseBackend) -> None:
    await backend.add(QUEUE, [job("b", delay=2 * LONG), job("a", delay=LONG)])
    assert await ids_in(backend, State.DELAYED) == ["a", "b"]


async def test_ended_jobs_are_listed_newest_first(backend: BaseBackend) -> None:
    for id in ("b", "a", "c"):
        await one_in(backend, State.FAILED, id)
        await later(backend)
    assert await ids_in(backend, State.FAILED) == ["c", "a", "b"]
    assert ids(await backend.list(QUEUE, State.FAILED, 1, 1)) == ["a"]


async def test_lists_come_in_pages(backend: BaseBackend) -> None:
    await fill(backend, *names(7))
    pages = [ids(await backend.list(QUEUE, State.WAITING, offset, 3)) for offset in (0, 3, 6, 9)]
    assert pages == [names(7)[:3], names(7)[3:6], names(7)[6:], []]
    assert await backend.list(QUEUE, State.WAITING, 0, 0) == []
    await fill(backend, *names(100, "more"))
    assert len(await backend.list(QUEUE, State.WAITING)) == 100


async def test_who_needs_no_payloads_leaves_them_in_the_store(backend: BaseBackend) -> None:
    """All else is the same, of small ones and of those that stand apart from their jobs."""
    large = msgspec.structs.replace(job("large"), payload=b"x" * 100_000)
    await backend.add(QUEUE, [job("small"), large])
    for place in (State.WAITING, State.ACTIVE):
        whole = await backend.list(QUEUE, place)
        assert whole[1].payload == large.payload
        bare = [msgspec.structs.replace(each, payload=b"") for each in whole]
        assert await backend.list(QUEUE, place, payloads=False) == bare
        await take(backend)


async def test_a_paused_queue_gives_no_jobs_to_anybody(
    backend: BaseBackend, open_store: Opener
) -> None:
    other = await open_store()
    await fill(backend, "a")
    await backend.pause(QUEUE, True)
    assert await take(backend) == []
    assert await take(other) == []
    counts, outlook = await other.counts([QUEUE]), await other.outlook([QUEUE])
    assert (counts[QUEUE].paused, counts[QUEUE].waiting, outlook[QUEUE].waiting) == (True, 1, 0)
    await other.pause(QUEUE, False)
    assert (await backend.counts([QUEUE]))[QUEUE].paused is False
    assert ids(await take(backend)) == ["a"]


async def test_a_paused_queue_still_takes_in_and_settles(backend: BaseBackend) -> None:
    claim = await take_one(backend, "a")
    await backend.pause(QUEUE, True)
    await fill(backend, "b")
    await fill(backend, "c", queue="reports")
    turn = await backend.turn(QUEUE, [succeeded(claim)], 5, 60, "w")
    assert (turn.answers, turn.claims) == (["applied"], [])
    assert ids(await backend.claim("reports", 1, 60, "w")) == ["c"]


async def test_who_paused_a_queue_when_and_why(backend: BaseBackend, open_store: Opener) -> None:
    other = await open_store()

    async def pause() -> Pause | None:
        return (await other.outlook([QUEUE, "reports"]))[QUEUE].pause

    assert await pause() is None
    before = await backend.now()
    await backend.pause(QUEUE, True, by="ann", reason="Größe 'falsch'")
    first = await pause()
    assert first is not None
    assert first.since is not None
    assert (first.by, first.reason) == ("ann", "Größe 'falsch'")
    assert before - TOLERANCE <= first.since <= await other.now() + TOLERANCE
    await other.pause(QUEUE, True, by="bob")  # the last one counts
    again = await pause()
    assert again is not None
    assert (again.by, again.reason) == ("bob", "")
    await backend.pause(QUEUE, False, by="ann")
    assert await pause() is None


async def test_pausing_twice_and_resuming_twice(backend: BaseBackend) -> None:
    for paused in (True, True, False, False):
        await backend.pause(QUEUE, paused)
        assert (await backend.counts([QUEUE]))[QUEUE].paused is paused


@pytest.mark.parametrize("where", IN_ORDER)
async def test_a_job_can_be_removed_in_any_state(backend: BaseBackend, where: State) -> None:
    await one_in(backend, where, "a")
    assert await backend.remove(QUEUE, ["a", "nobody", "a"]) == [True, False, False]
    assert await state(backend, "a") is None
    assert (await backend.counts([QUEUE]))[QUEUE] == Counts()
    assert await backend.list(QUEUE, where) == []
    assert await backend.remove(QUEUE, []) == []


@pytest.mark.parametrize("where", IN_ORDER)
async def test_cancel_works_on_live_jobs_only(backend: BaseBackend, where: State) -> None:
    await one_in(backend, where, "a")
    [answer] = await apply(backend, cancel(await record(backend, "a")))
    assert answer == ("already" if where in TERMINAL else "applied")
    assert await state(backend, "a") is (where if where in TERMINAL else State.CANCELLED)


@pytest.mark.parametrize("where", IN_ORDER)
async def test_replay_works_on_ended_jobs_only(backend: BaseBackend, where: State) -> None:
    await one_in(backend, where, "a")
    before = await record(backend, "a")
    [answer] = await apply(backend, replay(before))
    assert answer == ("applied" if where in TERMINAL else "already")
    after = await record(backend, "a")
    assert after.state is (State.WAITING if where in TERMINAL else where)
    assert (after.failures, after.crashes) == (0, 0)


@pytest.mark.parametrize("where", IN_ORDER)
async def test_run_now_works_on_delayed_jobs_only(backend: BaseBackend, where: State) -> None:
    await one_in(backend, where, "a")
    [answer] = await apply(backend, run_now(await record(backend, "a")))
    assert answer == ("applied" if where is State.DELAYED else "already")


@pytest.mark.parametrize("where", IN_ORDER)
async def test_purge_empties_one_state(backend: BaseBackend, where: State) -> None:
    for each in IN_ORDER:
        await one_in(backend, each, f"one-{each}")
    assert await backend.purge(QUEUE, where) == 1
    assert await backend.purge(QUEUE, where) == 0
    left = {each for each in State if await backend.list(QUEUE, each)}
    assert left == set(IN_ORDER) - {where}


async def test_purge_deletes_the_oldest_first_in_pages(backend: BaseBackend) -> None:
    for id in ("b", "a", "c"):
        await one_in(backend, State.COMPLETED, id)
        await later(backend)
    assert await backend.purge(QUEUE, State.COMPLETED, 2) == 2
    assert await ids_in(backend, State.COMPLETED) == ["c"]
    await fill(backend, *names(PAGE + 1))
    assert [await backend.purge(QUEUE, State.WAITING) for _ in range(3)] == [PAGE, 1, 0]


async def test_purging_claims_makes_their_holders_lose_them(backend: BaseBackend) -> None:
    claim = await take_one(backend, "a")
    assert await backend.purge(QUEUE, State.ACTIVE) == 1
    assert await apply(backend, succeeded(claim)) == ["gone"]
    assert (await backend.outlook([QUEUE]))[QUEUE].next_lapse is None


async def test_queues_are_listed_while_they_have_anything(backend: BaseBackend) -> None:
    assert await backend.queues() == []
    await fill(backend, "a", queue="reports")
    await backend.add("mail", [job("a", delay=LONG)])
    await backend.declare("cron", {"nightly": b"{}"}, True)
    assert await backend.queues() == ["cron", "mail", "reports"]
    await backend.purge("reports", State.WAITING)
    await backend.remove("mail", ["a"])
    await backend.edit_schedule("cron", "nightly", "remove")
    assert await backend.queues() == []
    await fill(backend, "a", queue="reports")
    assert await backend.queues() == ["reports"]


async def test_looking_at_a_queue_does_not_make_it(backend: BaseBackend) -> None:
    await take(backend)
    await backend.counts([QUEUE])
    await backend.outlook([QUEUE])
    await backend.expired(QUEUE)
    await backend.get(QUEUE, ["a"])
    await backend.prune(QUEUE, Retention(keep_completed=0, keep_bytes=0))
    assert await backend.queues() == []


async def test_a_parked_job_does_not_hide_a_queue(backend: BaseBackend) -> None:
    await apply(backend, parked(await take_one(backend, "a"), "mod.f"))
    assert await backend.queues() == [QUEUE]


@pytest.mark.parametrize("name", ["E mails", "{a}b", "a:b\n", "x" * 300])
async def test_a_queue_of_any_name_can_be_found_and_purged(backend: BaseBackend, name: str) -> None:
    """No producer makes such names any more, but a store may have some."""
    await backend.add(name, [job("a"), job("b", delay=LONG)])
    assert await backend.queues() == [name]
    assert (await backend.counts([name]))[name].waiting == 1
    assert [found.id for found in await backend.list(name, State.WAITING)] == ["a"]
    assert await backend.purge(name, State.WAITING) == 1
    assert await backend.remove(name, ["b"]) == [True]
    assert (await backend.counts([name]))[name] == Counts()
