"""Turns of several queues at one moment: each queue has what it would have had alone."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

from asyncmqd.backends.base import BaseBackend, Turn
from asyncmqd.domain.job import Claim
from asyncmqd.domain.settle import cancel
from asyncmqd.domain.shared_limits import SharedLimits
from asyncmqd.domain.states import State
from tests.contract.jobs import LEASE, WORKER, fill, ids, job, parked, released, retried, succeeded

Shape = Callable[[BaseBackend, str], Awaitable[object]]


async def keyed(backend: BaseBackend, queue: str) -> None:
    await backend.add(queue, [job(f"{queue}-x", key="x"), job(f"{queue}-y", key="x")])
    await backend.add(queue, [job(f"{queue}-z", key="z")])


async def limited(backend: BaseBackend, queue: str) -> None:
    await plain(backend, queue)
    await backend.declare_limits(queue, SharedLimits(concurrency=1), "d1")


async def paused(backend: BaseBackend, queue: str) -> None:
    await plain(backend, queue)
    await backend.pause(queue, True)


async def plain(backend: BaseBackend, queue: str) -> None:
    await fill(backend, f"{queue}-1", f"{queue}-2", f"{queue}-3", f"{queue}-4", queue=queue)


async def empty(_backend: BaseBackend, _queue: str) -> None:
    pass


async def named(backend: BaseBackend, queue: str) -> None:
    await backend.add(queue, [job(f"{queue}-n", unique="name")])


SHAPES = (plain, plain, keyed, plain, limited, plain, paused, empty, named, plain)
QUEUES = [f"q{number}" for number in range(len(SHAPES))]
DECISIONS = (succeeded, released, lambda claim: retried(claim, 1_000.0))


async def all_turns(backend: BaseBackend, *, together: bool) -> list[Any]:
    """Four turns of each queue, the ends of its jobs in them; what each was told, and all jobs."""
    prefix = "t" if together else "a"
    queues = [f"{prefix}{queue}" for queue in QUEUES]
    for queue, shape in zip(queues, SHAPES, strict=True):
        await shape(backend, queue)
    held: dict[str, list[Claim]] = {queue: [] for queue in queues}
    told: list[Any] = []

    async def turn(queue: str) -> Turn:
        changes = [
            DECISIONS[number % len(DECISIONS)](claim) for number, claim in enumerate(held[queue])
        ]
        return await backend.turn(queue, changes, 2, LEASE, WORKER)

    for _ in range(4):
        if together:
            found = await asyncio.gather(*map(turn, queues))
        else:
            found = [await turn(queue) for queue in queues]
        held = {queue: each.claims for queue, each in zip(queues, found, strict=True)}
        told += [each.answers for each in found]
        told += [[(claim.id[1:], claim.token) for claim in each.claims] for each in found]
    for queue in queues:
        told += [
            [each[1:] for each in ids(await backend.list(queue, state, 0, 100))] for state in State
        ]
    return told


async def test_each_queue_has_what_it_would_have_alone(backend: BaseBackend) -> None:
    alone = await all_turns(backend, together=False)
    assert await all_turns(backend, together=True) == alone


async def test_parked_jobs_of_all_queues_are_cancelled_at_one_moment(backend: BaseBackend) -> None:
    """Where a job may be parked depends on its queue: not on what another queue has parked."""
    claims = []
    for number, queue in enumerate(QUEUES):
        await fill(backend, "a", queue=queue)
        [claim] = await backend.claim(queue, 1, LEASE, WORKER)
        assert await backend.apply(queue, [parked(claim, f"task{number}")]) == ["applied"]
        claims.append(claim)
    records = [(await backend.get(queue, ["a"]))[0] for queue in QUEUES]
    found = await asyncio.gather(
        *(
            backend.turn(queue, [cancel(record)], 0, LEASE, WORKER)
            for queue, record in zip(QUEUES, records, strict=True)
        )
    )
    assert [each.answers for each in found] == [["applied"]] * len(QUEUES)
