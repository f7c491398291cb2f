"""Leases: renewal, the claims that have lapsed, and how their jobs come back."""

from __future__ import annotations

import asyncio

import msgspec
import pytest

from asyncmqd.backends.base import PAGE, BaseBackend, Held
from asyncmqd.domain.job import Claim
from asyncmqd.domain.settle import cancel, replay
from asyncmqd.domain.states import State
from tests.contract.conftest import Opener
from tests.contract.jobs import (
    LEASE,
    QUEUE,
    WORKER,
    apply,
    crashed,
    fill,
    finish,
    ids,
    ids_in,
    later,
    names,
    record,
    released,
    retried,
    state,
    succeeded,
    take,
    take_one,
    tokens,
)
from tests.eventually import eventually


def hold(claim: Claim) -> Held:
    return Held(claim.queue, claim.id, claim.token)


async def lapsed(backend: BaseBackend) -> list[str]:
    return ids((await backend.expired(QUEUE)).claims)


async def test_a_lease_ends_by_itself(backend: BaseBackend) -> None:
    claim = await take_one(backend, "a", lease=0.05)
    [found] = await eventually(lambda: _expired(backend))
    assert (found.id, found.token, found.payload) == (claim.id, claim.token, claim.payload)
    assert (found.queue, found.worker) == (QUEUE, WORKER)
    assert await state(backend, "a") is State.ACTIVE, "looking changes nothing"


async def _expired(backend: BaseBackend) -> list[Claim]:
    return (await backend.expired(QUEUE)).claims


async def test_a_lease_that_holds_is_not_listed(backend: BaseBackend) -> None:
    await take_one(backend, "a")
    page = await backend.expired(QUEUE)
    assert (page.claims, page.more) == ([], False)


async def test_a_lapsed_job_comes_back_where_it_stood(backend: BaseBackend) -> None:
    await fill(backend, "a", "b", "c")
    await take(backend, 2, lease=0.0)
    recovered = [crashed(claim) for claim in await _expired(backend)]
    assert await apply(backend, *recovered) == ["applied", "applied"]
    assert ids(await take(backend)) == ["a", "b", "c"]


async def test_a_crash_is_counted_and_the_token_outlives_it(backend: BaseBackend) -> None:
    await take_one(backend, "a", lease=0.0)
    [lost] = await _expired(backend)
    await apply(backend, crashed(lost))
    waiting = await record(backend, "a")
    assert (waiting.crashes, waiting.failures) == (1, 0)
    assert waiting.token > lost.token
    [again] = await take(backend)
    assert again.token > waiting.token
    assert again.crashes == 1


async def test_a_lapse_is_judged_by_the_store_when_it_is_written(backend: BaseBackend) -> None:
    claim = await take_one(backend, "a", lease=0.0)
    [lost] = await _expired(backend)
    assert await backend.extend([hold(claim)], LEASE) == [True]
    assert await apply(backend, crashed(lost)) == ["stale"]
    assert await state(backend, "a") is State.ACTIVE
    assert (await record(backend, "a")).crashes == 0
    assert await apply(backend, succeeded(claim)) == ["applied"]


async def test_a_crash_known_otherwise_needs_no_lapse(backend: BaseBackend) -> None:
    claim = await take_one(backend, "a", lease=LEASE)
    assert await apply(backend, crashed(claim, lapsed=False)) == ["applied"]
    assert await state(backend, "a") is State.WAITING


async def test_a_worker_that_is_late_but_first_may_still_settle(backend: BaseBackend) -> None:
    claim = await take_one(backend, "a", lease=0.0)
    await later(backend)
    assert await apply(backend, succeeded(claim, b"1")) == ["applied"]
    assert await lapsed(backend) == []
    assert await apply(backend, crashed(claim)) == ["already"]


async def test_two_recoverers_bring_a_job_back_once(
    backend: BaseBackend, open_store: Opener
) -> None:
    other = await open_store()
    await take_one(backend, "a", lease=0.0)
    [one], [two] = await _expired(backend), await _expired(other)
    answers = await asyncio.gather(apply(backend, crashed(one)), apply(other, crashed(two)))
    assert sorted(answers) == [["applied"], ["stale"]]
    assert (await record(backend, "a")).crashes == 1


async def test_lapsed_claims_come_in_pages(backend: BaseBackend) -> None:
    await fill(backend, *names(5))
    await take(backend, lease=0.0)
    seen: list[str] = []
    for expected in (2, 2, 1):
        page = await backend.expired(QUEUE, 2)
        assert (len(page.claims), page.more) == (expected, expected == 2)
        await apply(backend, *map(crashed, page.claims))
        seen += ids(page.claims)
    assert sorted(seen) == names(5)
    assert (await backend.expired(QUEUE, 2)).claims == []


async def test_a_page_of_lapsed_claims_is_bounded(backend: BaseBackend) -> None:
    await fill(backend, *names(PAGE + 1))
    await take(backend, PAGE + 1, lease=0.0)
    page = await backend.expired(QUEUE)
    assert (len(page.claims), page.more) == (PAGE, True)


async def test_extending_moves_the_end_of_the_lease(backend: BaseBackend) -> None:
    claim = await take_one(backend, "a", lease=1.0)
    now = await backend.now()
    assert await backend.extend([hold(claim)], LEASE) == [True]
    extended = await record(backend, "a")
    assert extended.due == pytest.approx(now + LEASE, abs=10)
    assert extended.token == claim.token
    assert (await backend.outlook([QUEUE]))[QUEUE].next_lapse == pytest.approx(
        extended.due, abs=0.1
    )


async def test_extending_may_shorten_too(backend: BaseBackend) -> None:
    claim = await take_one(backend, "a", lease=LEASE)
    assert await backend.extend([hold(claim)], 0.0) == [True]
    assert await lapsed(backend) == ["a"]


async def test_a_claim_is_lost_once_the_job_has_moved_on(backend: BaseBackend) -> None:
    await fill(backend, "held", "done", "cancelled", "removed", "released", "taken over")
    claims = {claim.id: claim for claim in await take(backend)}
    await apply(backend, succeeded(claims["done"]), released(claims["released"]))
    await apply(backend, cancel(await record(backend, "cancelled")))
    await backend.remove(QUEUE, ["removed"])
    await apply(backend, crashed(claims["taken over"], lapsed=False))
    await take(backend)
    answers = await backend.extend([hold(claim) for claim in claims.values()], LEASE)
    assert dict(zip(claims, answers, strict=True)) == {
        "held": True,
        "done": False,
        "cancelled": False,
        "removed": False,
        "released": False,
        "taken over": False,
    }


async def test_a_lost_claim_extends_nothing(backend: BaseBackend) -> None:
    claim = await take_one(backend, "a")
    await apply(backend, released(claim))
    [current] = await take(backend, lease=0.0)
    assert await backend.extend([hold(claim)], LEASE) == [False]
    assert await lapsed(backend) == ["a"]
    assert await backend.extend([hold(current)], LEASE) == [True]


async def test_claims_of_several_queues_are_extended_in_one_call(backend: BaseBackend) -> None:
    claims: list[Claim] = []
    for queue in ("mail", "reports", "images"):
        await fill(backend, "a", queue=queue)
        claims += await backend.claim(queue, 1, 0.0, WORKER)
    await backend.remove("reports", ["a"])
    asked = [hold(claim) for claim in claims]
    assert await backend.extend([*asked, *reversed(asked)], LEASE) == [
        True,
        False,
        True,
        True,
        False,
        True,
    ]
    assert (await backend.expired("images")).claims == []
    assert await backend.extend([], LEASE) == []


async def test_a_thread_can_extend_without_a_loop(backend: BaseBackend) -> None:
    extend = backend.extender()
    if extend is None:  # the store lives in this process: its leases need no thread
        return
    claim = await take_one(backend, "a", lease=0.0)
    other = msgspec.structs.replace(claim, token=claim.token + 1)
    answers = await asyncio.to_thread(extend, [hold(claim), hold(other)], LEASE)
    assert answers == [True, False]
    assert await lapsed(backend) == []
    assert await asyncio.to_thread(extend, [], LEASE) == []


async def test_the_outlook_names_the_next_lapse(backend: BaseBackend) -> None:
    assert (await backend.outlook([QUEUE]))[QUEUE].next_lapse is None
    await fill(backend, "a", "b")
    await take(backend, 1, lease=2 * LEASE)
    await take(backend, 1, lease=LEASE)
    outlook = (await backend.outlook([QUEUE]))[QUEUE]
    assert outlook.next_lapse == pytest.approx(outlook.now + LEASE, abs=10)


async def test_claims_are_found_by_the_name_of_their_worker_or_its_beginning(
    backend: BaseBackend,
) -> None:
    await fill(backend, "a", "b", "c", "d")
    for worker in ("host/one", "host/two", "hos", "h*st/one"):
        await backend.claim(QUEUE, 1, LEASE, worker)
    found = {prefix: ids(await backend.held(QUEUE, prefix)) for prefix in ("host/", "host/one")}
    assert found == {"host/": ["a", "b"], "host/one": ["a"]}
    assert ids(await backend.held(QUEUE, "h*")) == ["d"]
    assert ids(await backend.held(QUEUE, "")) == ["a", "b", "c", "d"]
    assert await backend.held(QUEUE, "nobody") == []
    assert await backend.held("reports", "host/") == []


async def test_only_active_jobs_are_held(backend: BaseBackend) -> None:
    await fill(backend, "a", "b", "c")
    claims = await take(backend)
    await apply(backend, succeeded(claims[0]), released(claims[1]))
    [held] = await backend.held(QUEUE, WORKER)
    assert held == msgspec.structs.replace(claims[2], age=held.age)


async def test_a_released_job_keeps_its_place_and_its_attempt(backend: BaseBackend) -> None:
    await fill(backend, "a", "b", "c")
    a, b = await take(backend, 2)
    assert await apply(backend, released(b), released(a)) == ["applied", "applied"]
    assert (await record(backend, "a")).failures == 0
    again = await take(backend)
    assert ids(again) == ["a", "b", "c"]
    assert tokens(again) == [2, 2, 1]
    assert again[0].attempt == 1


async def test_a_released_job_goes_back_to_where_it_stood_last(backend: BaseBackend) -> None:
    await apply(backend, retried(await take_one(backend, "a"), 0.0))
    await fill(backend, "b")
    await backend.move_due(QUEUE)
    claims = await take(backend)
    assert ids(claims) == ["b", "a"]
    await apply(backend, *map(released, claims))
    assert ids(await take(backend)) == ["b", "a"]


async def test_a_released_job_stands_before_later_ones_of_its_priority(
    backend: BaseBackend,
) -> None:
    claim = await take_one(backend, "a")
    await fill(backend, "b")
    await apply(backend, released(claim))
    await fill(backend, "c")
    assert await ids_in(backend, State.WAITING) == ["a", "b", "c"]


async def test_a_replayed_job_starts_afresh_at_the_end_of_the_line(backend: BaseBackend) -> None:
    await finish(backend, "a", b"1")
    await fill(backend, "b")
    ended = await record(backend, "a")
    assert await apply(backend, replay(ended)) == ["applied"]
    replayed = await record(backend, "a")
    assert (replayed.finished, replayed.result) == (None, b"")
    claims = await take(backend)
    assert ids(claims) == ["b", "a"]
    assert (claims[1].failures, claims[1].crashes) == (0, 0)
    assert claims[1].token > ended.token
    assert claims[1].payload == ended.payload
    # Its ttl counts from the replay, or a job that had expired would expire again at once.
    assert ended.finished is not None
    assert replayed.created >= ended.finished > ended.created
