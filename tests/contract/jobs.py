"""What the contract tests talk about: jobs, and the decisions of the domain about them."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Sequence

import msgspec

from asyncmqd.backends.base import BaseBackend
from asyncmqd.domain.change import Answer, Change
from asyncmqd.domain.job import Claim, Failure, NewJob, Record
from asyncmqd.domain.retry import Fixed
from asyncmqd.domain.settle import (
    Crashed,
    Policy,
    Raised,
    Refused,
    Released,
    Retention,
    Succeeded,
    Unknown,
    replay,
    run_now,
    settle,
)
from asyncmqd.domain.states import State
from tests.added import are_new

QUEUE = "mail"
WORKER = "host/one"
LEASE = 60.0  # seconds: does not end during a test
LONG = 1_000.0  # seconds: a delay that does not end during a test
KEPT = Retention()  # nothing is over these limits

Action = Callable[[BaseBackend], Awaitable[object]]
Preparation = Callable[[BaseBackend], Awaitable[Action]]
"""Brings a store to where one action does what a test is about."""


def job(
    id: str,
    *,
    priority: int = 5,
    delay: float = 0.0,
    payload: bytes = b"{}",
    unique: str = "",
    key: str = "",
    cost: int = 1,
) -> NewJob:
    return NewJob(
        id=id,
        payload=payload,
        priority=priority,
        delay=delay,
        unique=unique,
        key=key,
        cost=cost,
    )


def names(count: int, prefix: str = "job") -> list[str]:
    return [f"{prefix}{number}" for number in range(count)]


async def fill(backend: BaseBackend, *ids: str, queue: str = QUEUE) -> None:
    """Add plain jobs in this order."""
    assert are_new(await backend.add(queue, [job(id) for id in ids])) == [True] * len(ids)


async def take(backend: BaseBackend, limit: int = 100, *, lease: float = LEASE) -> list[Claim]:
    return await backend.claim(QUEUE, limit, lease, WORKER)


async def take_one(backend: BaseBackend, id: str, *, lease: float = LEASE) -> Claim:
    """Add one job and claim it."""
    await fill(backend, id)
    [claim] = await take(backend, lease=lease)
    assert claim.id == id
    return claim


def succeeded(claim: Claim, result: bytes = b"", retention: Retention = KEPT) -> Change:
    change = settle(claim, Succeeded(result), Policy(retention=retention), draw=0.5)
    # Stores know no least time; that of the domain would have tests wait.
    return msgspec.structs.replace(change, keep=retention.result_ttl) if result else change


def failed(claim: Claim, message: str = "boom", retention: Retention = KEPT) -> Change:
    change = settle(claim, Refused(Failure("E", message)), Policy(retention=retention), draw=0.5)
    return msgspec.structs.replace(change, keep=retention.keep_failed)


def retried(claim: Claim, delay: float) -> Change:
    policy = Policy(retries=claim.failures + 1, backoff=Fixed(delay))
    return settle(claim, Raised(OSError("x"), Failure("OSError", "x")), policy, draw=0.5)


def released(claim: Claim, delay: float = 0.0) -> Change:
    return settle(claim, Released(delay), Policy(), draw=0.5)


def parked(claim: Claim, task: str) -> Change:
    return settle(claim, Unknown(task), Policy(), draw=0.5)


def crashed(claim: Claim, *, lapsed: bool = True) -> Change:
    return settle(claim, Crashed("its process died", lapsed=lapsed), Policy(), draw=0.5)


async def apply(backend: BaseBackend, *changes: Change) -> list[Answer]:
    return await backend.apply(QUEUE, changes)


async def finish(backend: BaseBackend, id: str, result: bytes = b"") -> None:
    """Run a new job to its successful end."""
    claim = await take_one(backend, id)
    assert await apply(backend, succeeded(claim, result)) == ["applied"]


async def record(backend: BaseBackend, id: str) -> Record:
    [found] = await backend.get(QUEUE, [id])
    assert found is not None, f"{id} is gone"
    return found


async def state(backend: BaseBackend, id: str) -> State | None:
    [found] = await backend.get(QUEUE, [id])
    return found and found.state


async def ids_in(backend: BaseBackend, state: State) -> list[str]:
    return ids(await backend.list(QUEUE, state, 0, 10_000))


def ids(found: Iterable[Claim | Record]) -> list[str]:
    return [each.id for each in found]


def tokens(claims: Sequence[Claim]) -> list[int]:
    return [claim.token for claim in claims]


async def later(backend: BaseBackend) -> None:
    """Return once the store's clock shows a later millisecond than when this was called."""
    before = await backend.now()
    while await backend.now() < before + 0.001:
        pass


async def back_to_waiting(backend: BaseBackend) -> None:
    """Bring job "a" to where it can be claimed; if it is parked, it is for the task `mod.f`."""
    found = await record(backend, "a")
    if found.state is State.DELAYED:
        assert await apply(backend, run_now(found)) == ["applied"]
    elif found.state.terminal:
        assert await apply(backend, replay(found)) == ["applied"]
    elif found.place != State.WAITING:
        assert await backend.unpark(QUEUE, ["mod.f"]) == 1
