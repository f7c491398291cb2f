"""The key of a job is kept with it, whatever becomes of it, and goes with it."""

from __future__ import annotations

import msgspec
import pytest

from asyncmqd.backends.base import PAGE, BaseBackend
from asyncmqd.domain.settle import Retention, cancel, replay
from asyncmqd.domain.states import State
from tests.added import are_new
from tests.contract.audit import audit
from tests.contract.conftest import Opener
from tests.contract.jobs import (
    QUEUE,
    apply,
    failed,
    job,
    later,
    names,
    parked,
    record,
    released,
    retried,
    succeeded,
    take,
)

KEY = "Kunde é 7"


async def keys(backend: BaseBackend, *ids: str) -> list[str]:
    return [each.key if each else "gone" for each in await backend.get(QUEUE, ids)]


async def test_a_key_is_kept_and_told(backend: BaseBackend) -> None:
    added = await backend.add(QUEUE, [job("a", key=KEY), job("b"), job("c", key="x" * 128)])
    assert are_new(added) == [True] * 3
    assert await keys(backend, "a", "b", "c") == [KEY, "", "x" * 128]
    listed = await backend.list(QUEUE, State.WAITING)
    assert {each.id: each.key for each in listed} == {"a": KEY, "b": "", "c": "x" * 128}


async def test_a_key_is_told_beside_a_unique_name(backend: BaseBackend) -> None:
    jobs = [job("a", unique="1" * 64, key=KEY), job("b", unique="2" * 64), job("c", key="k")]
    assert are_new(await backend.add(QUEUE, jobs)) == [True] * 3
    assert await keys(backend, "a", "b", "c") == [KEY, "", "k"]
    found = await backend.get(QUEUE, ["a", "b", "c"])
    assert [each and each.holder for each in found] == ["a", "b", ""]


async def test_an_id_that_is_known_keeps_its_key(backend: BaseBackend) -> None:
    await backend.add(QUEUE, [job("a", key="first"), job("b")])
    await backend.add(QUEUE, [job("a", key="second"), job("b", key="second"), job("c", key="new")])
    await backend.add(QUEUE, [job("d", key="one"), job("d", key="two")])
    assert await keys(backend, "a", "b", "c", "d") == ["first", "", "new", "one"]


async def test_more_than_a_page_of_keys(backend: BaseBackend) -> None:
    many = names(PAGE + 50)
    await backend.add(QUEUE, [job(id, key=f"of {id}") for id in many])
    assert await keys(backend, *many) == [f"of {id}" for id in many]


async def test_a_key_stays_with_its_job(backend: BaseBackend) -> None:
    await backend.add(QUEUE, [job("a", key=KEY, delay=0.001)])
    await later(backend)
    await later(backend)
    assert await backend.move_due(QUEUE) == 1
    for decide in (released, lambda claim: parked(claim, "mod.f")):
        [claim] = await take(backend)
        assert await apply(backend, decide(claim)) == ["applied"]
        assert (await record(backend, "a")).key == KEY
    assert await backend.unpark(QUEUE, ["mod.f"]) == 1
    [claim] = await take(backend)
    await apply(backend, retried(claim, 0.0))
    await later(backend)
    await backend.move_due(QUEUE)
    [claim] = await take(backend)
    await apply(backend, failed(claim))
    assert (await record(backend, "a")).key == KEY
    assert await apply(backend, replay(await record(backend, "a"))) == ["applied"]
    assert await apply(backend, cancel(await record(backend, "a"))) == ["applied"]
    assert (await record(backend, "a")).key == KEY


@pytest.mark.parametrize("way", ["remove", "purge", "prune"])
async def test_a_key_goes_with_its_job(backend: BaseBackend, way: str) -> None:
    await backend.add(QUEUE, [job("a", key=KEY), job("b", key="k")])
    if way == "remove":
        assert await backend.remove(QUEUE, ["a", "b"]) == [True, True]
    elif way == "purge":
        assert await backend.purge(QUEUE, State.WAITING) == 2
    else:
        claims = await take(backend)
        ended = [msgspec.structs.replace(succeeded(claim), keep=0.0) for claim in claims]
        await apply(backend, *ended)
        await later(backend)
        assert await backend.prune(QUEUE, Retention()) == 2
    await backend.add(QUEUE, [job("a"), job("b", key="new")])
    assert await keys(backend, "a", "b") == ["", "new"]


async def test_keys_last(open_store: Opener) -> None:
    one, two = await open_store(), await open_store()
    await one.add(QUEUE, [job("a", key=KEY)])
    assert await keys(two, "a") == [KEY]


async def test_a_large_payload_may_have_a_key(backend: BaseBackend) -> None:
    large = msgspec.structs.replace(job("a", key=KEY), payload=b"x" * 200_000)
    assert are_new(await backend.add(QUEUE, [large, job("b", key="k")])) == [True, True]
    assert await keys(backend, "a", "b") == [KEY, "k"]
    assert {len(claim.payload) for claim in await take(backend)} == {200_000, 2}


async def test_nothing_is_left_of_keys_once_the_last_job_that_has_one_is_gone(
    backend: BaseBackend,
) -> None:
    await backend.add(QUEUE, [job("a", key="k"), job("b", key="k"), job("c")])
    [claim] = await take(backend, limit=1)
    assert await apply(backend, succeeded(claim)) == ["applied"]
    await backend.remove(QUEUE, ["a", "b"])
    await audit(backend, QUEUE)
