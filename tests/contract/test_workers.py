"""The registry of living processes."""

from __future__ import annotations

import pytest

from asyncmqd.backends.base import BaseBackend
from tests.contract.conftest import Opener
from tests.contract.jobs import later
from tests.eventually import eventually

TTL = 60.0


async def test_a_living_process_is_listed_everywhere(
    backend: BaseBackend, open_store: Opener
) -> None:
    other = await open_store()
    assert await backend.workers() == []
    await backend.beat("host/b", b'{"pid": 2}\x00\xff', TTL)
    await other.beat("host/a", b"", TTL)
    assert [(each.id, each.info) for each in await other.workers()] == [
        ("host/a", b""),
        ("host/b", b'{"pid": 2}\x00\xff'),
    ]


async def test_each_beat_is_seen_and_the_start_is_kept(backend: BaseBackend) -> None:
    await backend.beat("a", b"one", TTL)
    [first] = await backend.workers()
    assert first.started == first.seen == pytest.approx(await backend.now(), abs=10)
    await later(backend)
    await backend.beat("a", b"two", TTL)
    [second] = await backend.workers()
    assert (second.info, second.started) == (b"two", first.started)
    assert second.seen > first.seen


async def test_a_silent_process_drops_off_the_list(backend: BaseBackend) -> None:
    await backend.beat("silent", b"", 0.05)
    await backend.beat("alive", b"", TTL)

    async def dropped() -> bool:
        return [each.id for each in await backend.workers()] == ["alive"]

    await eventually(dropped)


async def test_a_beat_prolongs_the_life(backend: BaseBackend) -> None:
    await backend.beat("a", b"", 0.05)
    await backend.beat("a", b"", TTL)
    end = await backend.now() + 0.1
    while await backend.now() < end:
        assert [each.id for each in await backend.workers()] == ["a"]


async def test_who_leaves_is_not_listed(backend: BaseBackend) -> None:
    await backend.beat("a", b"", TTL)
    await backend.beat("b", b"", TTL)
    await backend.leave("a")
    await backend.leave("nobody")
    assert [each.id for each in await backend.workers()] == ["b"]
