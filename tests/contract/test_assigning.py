"""A job is claimed for a worker that waits in the call that adds it; some stores never do that.

The same calls end in the same state in either case: the worker has the job.
"""

from __future__ import annotations

import asyncio

import pytest

from asyncmqd.backends.base import Assigned, BaseBackend
from asyncmqd.domain.job import Claim
from asyncmqd.domain.shared_limits import SharedLimits
from asyncmqd.domain.states import State
from tests.contract.conftest import Opener
from tests.contract.jobs import (
    LEASE,
    LONG,
    QUEUE,
    apply,
    fill,
    ids,
    ids_in,
    job,
    names,
    record,
    released,
    succeeded,
    take,
)
from tests.eventually import LIMIT, eventually


class Waiter:
    """A worker that has signed up, and claims when it is woken."""

    def __init__(self, backend: BaseBackend, name: str = "waiter", lease: float = LEASE) -> None:
        self.backend, self.name, self.lease = backend, name, lease
        self.assigned: list[Assigned] = []
        self.sign_ups = 0

    async def sign_up(self, limit: int = 1) -> list[Claim]:
        """Claim, and wait for a job that is added if there are fewer."""
        if not self.sign_ups:
            self.backend.take_assigned(self.assigned.append)
            await self.backend.wait([QUEUE], 0.0)
        self.sign_ups += 1
        turn = await self.backend.turn(QUEUE, (), limit, self.lease, self.name, None, self.sign_ups)
        return turn.claims

    async def next(self) -> Claim:
        """The next job, by a message or a claim."""
        async with asyncio.timeout(LIMIT):
            while not self.assigned:
                await self.backend.wait([QUEUE], 0.05)
                if not self.assigned and (claims := await self.sign_up()):
                    return claims[0]
        return self.assigned.pop(0).claim


@pytest.fixture
def assigns(backend: BaseBackend) -> bool:
    """Whether the store does it."""
    return "sqlite" not in backend.url


async def waiter(backend: BaseBackend, name: str = "waiter", lease: float = LEASE) -> Waiter:
    """One that has looked and found nothing."""
    found = Waiter(backend, name, lease)
    assert await found.sign_up() == []
    return found


async def close(gone: Waiter, other: BaseBackend) -> None:
    """End a connection, and let the server see that: it looks between two calls of others."""
    await gone.backend.close()
    for _ in range(3):
        await other.now()


async def test_one_that_waits_has_the_job(backend: BaseBackend, open_store: Opener) -> None:
    waits = await waiter(backend)
    await fill(await open_store(), "a")
    claim = await waits.next()
    again = [await backend.held(QUEUE, "waiter"), await backend.held(QUEUE, "other")]
    assert [ids(each) for each in again] == [["a"], []]
    (held,) = again[0]
    assert (claim.id, claim.token, claim.worker, claim.failures) == ("a", 1, "waiter", 0)
    assert (claim.payload, claim.size) == (held.payload, held.size)
    assert 0 <= claim.age < LIMIT
    assert await apply(backend, succeeded(claim)) == ["applied"]


async def test_it_is_claimed_in_the_call_that_adds_it(
    backend: BaseBackend, open_store: Opener, assigns: bool
) -> None:
    await waiter(backend)
    await fill(await open_store(), "a")
    found = await record(backend, "a")
    assert found.state is (State.ACTIVE if assigns else State.WAITING)
    if assigns:
        now = await backend.now()
        assert found.due is not None
        assert 0 < found.due - now <= LEASE
        assert (found.worker, found.token) == ("waiter", 1)


async def test_the_message_says_to_which_sign_up_it_is_the_answer(
    backend: BaseBackend, open_store: Opener, assigns: bool
) -> None:
    other = await open_store()
    waits = await waiter(backend)
    begin = asyncio.get_running_loop().time()
    for number in range(1, 4 * assigns):
        await fill(other, f"job{number}")
        await eventually(lambda: _there(waits))
        assigned = waits.assigned.pop()
        assert (assigned.claim.id, assigned.sign_up) == (f"job{number}", number)
        assert begin - LIMIT < assigned.since <= asyncio.get_running_loop().time()
        assert await waits.sign_up() == []


async def _there(waits: Waiter) -> bool:
    return bool(waits.assigned)


async def test_each_sign_up_is_for_one_job(
    backend: BaseBackend, open_store: Opener, assigns: bool
) -> None:
    waits, other = await waiter(backend), await open_store()
    await fill(other, "a")
    await fill(other, "b")
    assert await ids_in(backend, State.WAITING) == (["b"] if assigns else ["a", "b"])
    if assigns:
        await eventually(lambda: _there(waits))
    assert (await waits.next()).id == "a"
    assert ids(await waits.sign_up()) == ["b"]


async def test_jobs_go_to_one_worker_each(backend: BaseBackend, open_store: Opener) -> None:
    waiters = [await waiter(await open_store(), name) for name in names(3)]
    for id in names(3):
        await fill(backend, id)
    claims = [await each.next() for each in waiters]
    assert sorted(ids(claims)) == names(3)
    assert sorted(claim.worker for claim in claims) == names(3)


async def test_one_that_is_gone_gets_none(backend: BaseBackend, open_store: Opener) -> None:
    gone = [await waiter(await open_store(), f"gone{number}") for number in range(3)]
    for each in gone:
        await close(each, backend)
    waits = await waiter(backend)
    await fill(await open_store(), "a")
    assert (await waits.next()).worker == "waiter"


async def test_what_nobody_hears_waits(backend: BaseBackend, open_store: Opener) -> None:
    gone = await waiter(await open_store())
    await close(gone, backend)
    await fill(backend, "a")
    found = await record(backend, "a")
    assert (found.state, found.token, found.worker) == (State.WAITING, 0, "")
    assert await ids_in(backend, State.ACTIVE) == []
    (claim,) = await take(backend)
    assert (claim.id, claim.token) == ("a", 1)


async def test_one_that_retired_gets_none(backend: BaseBackend, open_store: Opener) -> None:
    waits = await waiter(backend)
    await backend.retire(QUEUE)
    await fill(await open_store(), "a")
    assert await ids_in(backend, State.WAITING) == ["a"]
    assert waits.assigned == []


async def test_one_that_got_all_it_asked_for_gets_none(
    backend: BaseBackend, open_store: Opener
) -> None:
    other = await open_store()
    await waiter(backend)
    await other.add(QUEUE, [job("a"), job("b")])  # for which it is woken
    again = Waiter(backend)
    again.sign_ups = 1
    assert ids(await again.sign_up(2)) == ["a", "b"]
    await fill(other, "c")
    assert await ids_in(backend, State.WAITING) == ["c"]


async def test_one_that_has_not_signed_up_gets_none(
    backend: BaseBackend, open_store: Opener
) -> None:
    backend.take_assigned(lambda _: None)
    await backend.wait([QUEUE], 0.0)
    assert await take(backend) == []
    await fill(await open_store(), "a")
    assert await ids_in(backend, State.WAITING) == ["a"]


SPECIAL = {
    "delayed": job("new", delay=LONG),
    "unique": job("new", unique="digest"),
    "keyed": job("new", key="customer"),
    "dear": job("new", cost=2),
    "large": job("new", payload=b"x" * 20_000),
}


@pytest.mark.parametrize("kind", SPECIAL)
async def test_what_a_claim_has_to_look_at_goes_the_other_way(
    backend: BaseBackend, open_store: Opener, kind: str
) -> None:
    await waiter(backend)
    await (await open_store()).add(QUEUE, [SPECIAL[kind]])
    assert await ids_in(backend, State.ACTIVE) == []


@pytest.mark.parametrize("key", ["", "customer"])
async def test_no_job_goes_past_others(backend: BaseBackend, open_store: Opener, key: str) -> None:
    """One of two waiters is woken for a job that comes back; the other gets none before that."""
    other = await open_store()
    await other.add(QUEUE, [job("a", key=key)])
    (claim,) = await take(backend)
    waiters = [await waiter(await open_store(), name) for name in ("first", "second")]
    await apply(other, released(claim))
    await other.add(QUEUE, [job("b", priority=0)])
    assert await ids_in(backend, State.ACTIVE) == []
    assert ids(await waiters[0].sign_up(2)) == ["b", "a"]


async def test_several_jobs_of_one_call_wait(backend: BaseBackend, open_store: Opener) -> None:
    waits = await waiter(backend)
    await fill(await open_store(), "a", "b")
    assert await ids_in(backend, State.ACTIVE) == []
    assert (await waits.next()).id == "a"


async def test_a_known_id_is_not_claimed_again(backend: BaseBackend, open_store: Opener) -> None:
    other = await open_store()
    await fill(other, "a")
    (claim,) = await take(backend)
    await apply(other, succeeded(claim))
    waits = await waiter(backend)
    (added,) = await other.add(QUEUE, [job("a")])
    assert not added.is_new
    await fill(other, "b")
    assert (await waits.next()).id == "b"


async def test_a_paused_queue_gives_none(backend: BaseBackend, open_store: Opener) -> None:
    await waiter(backend)
    other = await open_store()
    await other.pause(QUEUE, True)
    await waiter(backend)
    await fill(other, "a")
    assert await ids_in(backend, State.WAITING) == ["a"]


async def test_where_limits_hold_over_all_daemons_a_claim_judges(
    backend: BaseBackend, open_store: Opener
) -> None:
    other = await open_store()
    await other.declare_limits(QUEUE, SharedLimits(concurrency=1), "daemon")
    first, second = await waiter(backend, "first"), await waiter(await open_store(), "second")
    await fill(other, "a")
    await fill(other, "b")
    assert len(await ids_in(backend, State.ACTIVE)) == 0
    assert len(first.assigned) + len(second.assigned) == 0


async def test_one_that_is_handed_back_goes_to_another(
    backend: BaseBackend, open_store: Opener
) -> None:
    first = await waiter(backend, "first")
    await fill(await open_store(), "a")
    claim = await first.next()
    await backend.retire(QUEUE)
    second = await waiter(await open_store(), "second")
    assert await apply(backend, released(claim)) == ["applied"]
    again = await second.next()
    assert (again.id, again.worker, again.token) == ("a", "second", 2)


async def test_one_whose_lease_has_ended_is_found(backend: BaseBackend, open_store: Opener) -> None:
    waits = await waiter(backend, lease=0.0)
    await fill(await open_store(), "a")
    claim = await waits.next()
    lapsed = (await backend.expired(QUEUE)).claims
    assert [(each.id, each.token) for each in lapsed] == [("a", claim.token)]


async def test_a_payload_over_the_limit_is_cut_as_that_of_a_claim(
    backend: BaseBackend, open_store: Opener
) -> None:
    backend.payload_limit = 100
    waits = await waiter(backend)
    await (await open_store()).add(QUEUE, [job("a", payload=b"x" * 1_000)])
    claim = await waits.next()
    (held,) = await backend.held(QUEUE, "waiter")
    assert (len(claim.payload), claim.size) == (101, 1_000)
    assert (held.payload, held.size) == (claim.payload, claim.size) or held.size == 101


async def test_many_jobs_one_by_one_each_come_once(
    backend: BaseBackend, open_store: Opener
) -> None:
    waits, other = await waiter(backend), await open_store()
    for id in names(20):
        await fill(other, id)
        claim = await waits.next()
        assert claim.id == id
        assert await apply(backend, succeeded(claim)) == ["applied"]
        assert await waits.sign_up() == []
    assert sorted(await ids_in(backend, State.COMPLETED)) == sorted(names(20))
