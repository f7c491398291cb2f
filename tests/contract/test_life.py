"""Opening, closing, and what two instances of one store see of each other."""

from __future__ import annotations

import asyncio

from asyncmqd.backends.base import BaseBackend
from asyncmqd.backends.factory import open_backend
from tests.contract.conftest import ON_ALL_STORES, Opener
from tests.contract.jobs import QUEUE, apply, fill, ids, names, record, succeeded, take

pytestmark = ON_ALL_STORES


async def test_a_store_connects_at_its_first_use(store_url: str) -> None:
    backend = open_backend(store_url)
    await fill(backend, "a")
    assert ids(await take(backend)) == ["a"]
    await backend.close()


async def test_connecting_twice_and_closing_twice_is_no_error(store_url: str) -> None:
    backend = open_backend(store_url)
    await backend.close()
    await backend.connect()
    await backend.connect()
    await backend.close()
    await backend.close()


async def test_a_closed_store_may_be_used_again(backend: BaseBackend) -> None:
    await fill(backend, "a")
    await backend.wait([QUEUE], 0.0)
    await backend.close()
    assert ids(await take(backend)) == ["a"]
    assert await backend.wait([QUEUE], 60.0) == {QUEUE}, "a wake-up may have been missed"


async def test_two_instances_see_the_same_jobs(backend: BaseBackend, open_store: Opener) -> None:
    other = await open_store()
    await fill(backend, "a")
    [claim] = await take(other)
    assert await record(backend, "a") == await record(other, "a")
    assert await apply(backend, succeeded(claim, b"1")) == ["applied"]
    assert (await record(other, "a")).result == b"1"


async def test_jobs_outlive_the_instance_that_added_them(
    backend: BaseBackend, open_store: Opener
) -> None:
    first = await open_store()
    await fill(first, "a")
    await first.close()
    assert ids(await take(backend)) == ["a"]


async def test_the_clock_of_the_store_goes_forward_and_is_shared(
    backend: BaseBackend, open_store: Opener
) -> None:
    other = await open_store()
    readings = [await store.now() for store in [backend, other] * 50]
    assert readings == sorted(readings)


async def test_warnings_are_sentences(backend: BaseBackend) -> None:
    warnings = await backend.warnings()
    assert all(isinstance(each, str) and each for each in warnings)


async def test_calls_at_the_same_time_do_not_mix_up_their_replies(backend: BaseBackend) -> None:
    many = names(100)
    await fill(backend, *many)
    found = await asyncio.gather(*(record(backend, id) for id in many))
    assert ids(found) == many


async def test_a_cancelled_call_does_not_disturb_the_next(backend: BaseBackend) -> None:
    await fill(backend, *names(50))
    for id in names(50):
        call = asyncio.create_task(record(backend, id))
        await asyncio.sleep(0)
        call.cancel()
        await asyncio.gather(call, return_exceptions=True)
        assert (await record(backend, "job7")).id == "job7"
