"""`on_conflict = "again"`: while the holder of a name runs, one job waits to come after it."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from asyncmqd.backends.base import BaseBackend
from asyncmqd.domain.job import Added, Claim
from asyncmqd.domain.settle import cancel, replay
from asyncmqd.domain.states import State
from tests.contract.conftest import Opener
from tests.contract.jobs import (
    LONG,
    QUEUE,
    apply,
    ids,
    job,
    record,
    retried,
    state,
    succeeded,
    take,
)

NAME = "1" * 64
MIDDLE, LARGE = b"n" * 5_000, b"n" * 40_000


async def add(backend: BaseBackend, id: str, on_conflict: str = "again", **more: Any) -> Added:
    more = {"unique": NAME, "on_conflict": on_conflict, "push_for": 10 * LONG, **more}
    [added] = await backend.add(QUEUE, [msgspec.structs.replace(job(id), **more)])
    return added


async def running(backend: BaseBackend, **more: Any) -> Claim:
    await add(backend, "a", **more)
    [claim] = await take(backend)
    return claim


async def test_a_job_that_waits_is_replaced(backend: BaseBackend) -> None:
    await add(backend, "a", payload=b"old")
    assert await add(backend, "b", payload=b"new") == Added("a", "replaced")
    [claim] = await take(backend)
    assert (claim.id, claim.payload) == ("a", b"new")


async def test_a_job_that_runs_has_one_successor(backend: BaseBackend) -> None:
    claim = await running(backend)
    assert await add(backend, "b", payload=b"first") == Added("b", "new")
    assert await add(backend, "c", payload=b"last", priority=9) == Added("b", "replaced")
    assert await add(backend, "d", "replace") == Added("a", "existed")
    found = await record(backend, "b")
    assert (found.state, found.waits_for, found.holder) == (State.BLOCKED, ("a",), "a")
    assert (found.payload, found.priority) == (b"last", 9)
    turn = await backend.turn(QUEUE, [succeeded(claim, b"1")], 5, 60.0, "host/one")
    assert [(each.id, each.payload) for each in turn.claims] == [("b", b"last")]
    assert (await record(backend, "b")).holder == "b"
    assert await add(backend, "e") == Added("e", "new")
    assert (await record(backend, "e")).waits_for == ("b",)


@pytest.mark.parametrize("old", [b"old", MIDDLE, LARGE], ids=len)
@pytest.mark.parametrize("new", [b"new", MIDDLE, LARGE], ids=len)
async def test_a_successor_gets_the_newest_payload(
    backend: BaseBackend, old: bytes, new: bytes
) -> None:
    claim = await running(backend)
    await add(backend, "b", payload=old)
    await add(backend, "c", payload=new)
    await apply(backend, succeeded(claim, b"1"))
    assert [each.payload for each in await take(backend)] == [new]


async def test_jobs_of_one_call_have_one_successor(backend: BaseBackend) -> None:
    await running(backend)
    base = {"unique": NAME, "on_conflict": "again"}
    jobs = [msgspec.structs.replace(job(id), payload=id.encode(), **base) for id in "bcd"]
    jobs.insert(1, job("x"))
    added = await backend.add(QUEUE, jobs)
    assert [(each.id, each.outcome) for each in added] == [
        ("b", "new"),
        ("x", "new"),
        ("b", "replaced"),
        ("b", "replaced"),
    ]
    assert (await record(backend, "b")).payload == b"d"
    assert await add(backend, "b") == Added("b", "existed")  # its own id


@pytest.mark.parametrize("end", ["cancelled", "removed", "purged"])
async def test_it_has_the_name_from_the_step_on_that_ends_the_holder(
    backend: BaseBackend, end: str
) -> None:
    await running(backend, unique_for=LONG)
    await add(backend, "b")
    if end == "cancelled":
        await apply(backend, cancel(await record(backend, "a")))
    elif end == "removed":
        await backend.remove(QUEUE, ["a"])
    else:
        await backend.purge(QUEUE, State.ACTIVE)
    found = await record(backend, "b")
    assert (found.state, found.holder) == (State.WAITING, "b")
    assert await add(backend, "c", "existing") == Added("b", "existed")
    if end == "cancelled":
        assert await apply(backend, replay(await record(backend, "a"))) == ["taken"]


async def test_between_two_attempts_the_newest_arguments_are_kept(backend: BaseBackend) -> None:
    claim = await running(backend)
    await apply(backend, retried(claim, LONG))
    assert await add(backend, "b", payload=b"new") == Added("b", "new")
    assert await state(backend, "b") is State.BLOCKED


@pytest.mark.parametrize("way", ["cancelled", "removed"])
async def test_a_successor_that_is_gone_is_followed_by_another(
    backend: BaseBackend, way: str
) -> None:
    claim = await running(backend)
    await add(backend, "b")
    if way == "cancelled":
        await apply(backend, cancel(await record(backend, "b")))
        assert await apply(backend, replay(await record(backend, "b"))) == ["taken"]
    else:
        await backend.remove(QUEUE, ["b"])
    assert await add(backend, "c") == Added("c", "new")
    await apply(backend, succeeded(claim, b"1"))
    assert ids(await take(backend)) == ["c"]


async def test_a_holder_that_is_gone_has_no_successor(backend: BaseBackend) -> None:
    claim = await running(backend, unique_for=LONG)
    await apply(backend, succeeded(claim, b"1"))
    assert await add(backend, "b") == Added("a", "existed")


async def test_a_key_is_kept(backend: BaseBackend, open_store: Opener) -> None:
    claim = await running(backend, key="t7")
    other = await open_store()
    await add(other, "b", key="t8")
    assert await apply(other, succeeded(claim, b"1")) == ["applied"]
    [taken] = await take(backend)
    assert (taken.id, (await record(backend, "b")).key) == ("b", "t8")
