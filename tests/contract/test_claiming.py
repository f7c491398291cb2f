"""Claims: how many, for how long, by whom, and never twice."""

from __future__ import annotations

import asyncio

from asyncmqd.backends.base import BaseBackend
from asyncmqd.domain.job import Claim
from asyncmqd.domain.states import State
from tests.contract.conftest import Opener
from tests.contract.jobs import (
    LEASE,
    QUEUE,
    WORKER,
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
    take_one,
    tokens,
)


async def test_a_claim_takes_at_most_its_limit(backend: BaseBackend) -> None:
    await fill(backend, "a", "b", "c")
    assert ids(await take(backend, 2)) == ["a", "b"]
    assert ids(await take(backend, 2)) == ["c"]
    assert await take(backend, 2) == []


async def test_limit_zero_claims_nothing(backend: BaseBackend) -> None:
    await fill(backend, "a")
    assert await take(backend, 0) == []
    assert await ids_in(backend, State.WAITING) == ["a"]


async def test_a_claim_carries_what_its_holder_must_know(backend: BaseBackend) -> None:
    await backend.add(QUEUE, [job("a", payload=b'{"task": "t"}')])
    [claim] = await take(backend)
    assert (claim.queue, claim.id, claim.token, claim.worker) == (QUEUE, "a", 1, WORKER)
    assert claim.payload == b'{"task": "t"}'
    assert (claim.failures, claim.crashes, claim.solo, claim.attempt) == (0, 0, False, 1)
    assert 0 <= claim.age < 60


async def test_an_active_job_tells_its_holder_and_the_end_of_its_lease(
    backend: BaseBackend,
) -> None:
    await take_one(backend, "a", lease=LEASE)
    now = await backend.now()
    held = await record(backend, "a")
    assert (held.place, held.worker, held.token) == ("active", WORKER, 1)
    assert held.started is not None
    assert now - 10 < held.started <= now + 0.01
    assert held.due is not None
    assert now + LEASE - 10 < held.due <= now + LEASE + 0.01


async def test_the_age_is_counted_by_the_store(backend: BaseBackend) -> None:
    await fill(backend, "a")
    created = (await record(backend, "a")).created
    while await backend.now() < created + 0.05:
        pass
    [claim] = await take(backend)
    assert 0.05 <= claim.age < 60


async def test_tokens_rise_by_one_with_each_claim(backend: BaseBackend) -> None:
    await fill(backend, "a", "b")
    for token in range(1, 5):
        claims = await take(backend)
        assert tokens(claims) == [token, token]
        assert await apply(backend, *map(released, claims)) == ["applied", "applied"]


async def test_a_released_job_is_still_behind_those_of_a_better_priority(
    backend: BaseBackend,
) -> None:
    await fill(backend, "a", "b")
    await apply(backend, *map(released, await take(backend)))
    await backend.add(QUEUE, [job("urgent", priority=0)])
    assert ids(await take(backend)) == ["urgent", "a", "b"]


async def test_a_turn_applies_before_it_claims(backend: BaseBackend) -> None:
    await fill(backend, "a", "b")
    [a] = await take(backend, 1)
    turn = await backend.turn(QUEUE, [released(a)], 2, LEASE, WORKER)
    assert turn.answers == ["applied"]
    assert [(claim.id, claim.token) for claim in turn.claims] == [("a", 2), ("b", 1)]
    turn = await backend.turn(QUEUE, [succeeded(claim) for claim in turn.claims], 5, LEASE, WORKER)
    assert turn.answers == ["applied", "applied"]
    assert turn.claims == []


async def test_a_turn_answers_each_change_even_when_one_is_refused(backend: BaseBackend) -> None:
    await fill(backend, "a", "b")
    a, b = await take(backend)
    await backend.remove(QUEUE, ["a"])
    turn = await backend.turn(QUEUE, [succeeded(a), succeeded(b)], 1, LEASE, WORKER)
    assert turn.answers == ["gone", "applied"]


async def test_many_claimers_over_two_instances_take_each_job_once(
    backend: BaseBackend, open_store: Opener
) -> None:
    other = await open_store()
    many = names(400)
    await fill(backend, *many)
    taken: list[str] = []

    async def claimer(store: BaseBackend, worker: str) -> None:
        while claims := await store.claim(QUEUE, 7, LEASE, worker):
            taken.extend(ids(claims))

    stores = [backend, other] * 4
    await asyncio.gather(*(claimer(store, f"w{n}") for n, store in enumerate(stores)))
    assert sorted(taken) == sorted(many)


async def test_producers_and_workers_at_once_lose_and_double_nothing(
    backend: BaseBackend, open_store: Opener
) -> None:
    other = await open_store()
    done: list[str] = []

    async def producer(store: BaseBackend, prefix: str) -> None:
        for start in range(0, 100, 10):
            await fill(store, *(f"{prefix}{number}" for number in range(start, start + 10)))

    async def worker(store: BaseBackend, name: str) -> None:
        claims: list[Claim] = []
        while len(done) < 400:
            turn = await store.turn(QUEUE, [succeeded(c) for c in claims], 5, LEASE, name)
            assert turn.answers == ["applied"] * len(claims)
            done.extend(ids(claims))
            claims = turn.claims
            await asyncio.sleep(0)  # a store in memory never waits, so the others would starve

    stores = [backend, other, backend, other]
    async with asyncio.timeout(30):
        await asyncio.gather(
            *(producer(store, f"p{n}-") for n, store in enumerate(stores)),
            *(worker(store, f"w{n}") for n, store in enumerate(stores)),
        )
    assert len(done) == len(set(done)) == 400
