"""/live of the dashboard: so many streams, one look at the store for all of them."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any, cast

import pytest

from asyncmqd.backends import InMemoryBackend
from asyncmqd.backends.base import BaseBackend
from asyncmqd.web import sse
from asyncmqd.web.api import CannotDo
from asyncmqd.web.dashboard import ticks
from asyncmqd.web.dashboard.ticks import Ticks
from asyncmqd.web.dashboard.visit import Source
from tests.cli.test_jobs import new
from tests.runtime.virtual import virtual


class Asking:
    """Whom the pages ask for the store."""

    def __init__(self) -> None:
        self.store = InMemoryBackend()
        self.looks = 0
        self.answers = asyncio.Event()
        self.answers.set()

    async def read(self, work: Callable[[BaseBackend], Awaitable[Any]]) -> Any:
        """What it says."""
        await self.answers.wait()
        self.looks += 1
        return await work(self.store)


class World:
    """Streams whose looks follow each other closely."""

    def __init__(self) -> None:
        self.asking = Asking()
        self.forgotten = 0
        self.streams = Ticks(cast("Source", self.asking), self._forget)
        self.may = True

    def _forget(self) -> None:
        self.forgotten += 1

    async def open(self) -> Any:
        """A stream, behind its first line."""
        parts = self.streams.open(lambda: self.may).parts
        assert (await anext(parts)).startswith(b"retry: ")
        return parts

    async def change(self, id: str) -> None:
        """A change that has been seen."""
        before = self.streams._changes
        await self.asking.store.add("mail", [new(id)])
        while self.streams._changes == before:
            await self.streams._changed.wait()


@pytest.fixture
def world(monkeypatch: pytest.MonkeyPatch) -> World:
    monkeypatch.setattr(ticks, "_SPREAD", 0.0)
    monkeypatch.setattr(ticks, "LOOK_EVERY", 0.01)
    return World()


async def test_streams_are_limited_and_share_one_look(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert sse.MOST_STREAMS == 64
    monkeypatch.setattr(ticks, "MOST_STREAMS", 2)
    one, other = await world.open(), await world.open()
    with pytest.raises(CannotDo, match="2 streams already") as refused:
        await world.open()
    assert refused.value.status == 503
    looking = world.streams._looking
    assert (await anext(one)).startswith(b"event: state\n")
    await world.change("a")
    assert (await anext(one)).startswith(b"data: ")
    await other.aclose()
    third = await world.open()
    await anext(third)
    assert world.streams._looking is looking
    world.may = False  # the token is gone
    await world.change("b")
    ends = await asyncio.gather(*(anext(each, b"ended") for each in (one, third)))
    assert ends == [b"ended", b"ended"]
    assert world.streams._looking is None


async def test_a_stream_begins_with_the_state_so_that_an_older_page_is_known_as_such(
    world: World,
) -> None:
    page = await world.streams.state()
    assert await anext(await world.open()) == f"event: state\ndata: {page}\n\n".encode()
    await world.change("a")  # by now the page is old
    told = await anext(await world.open())
    newer = await world.streams.state()
    assert newer != page
    assert told == f"event: state\ndata: {newer}\n\n".encode()


async def test_a_client_that_takes_its_parts_late_misses_no_change(world: World) -> None:
    slow = await world.open()
    await anext(slow)
    await world.change("a")
    await anext(slow)
    await world.change("b")  # while the client still takes the part of before
    async with asyncio.timeout(5.0):
        assert (await anext(slow)).startswith(b"data: ")


async def test_a_state_that_comes_back_is_told_as_a_change(world: World) -> None:
    slow = await world.open()
    await anext(slow)
    before = world.streams._state
    await world.change("a")
    await world.asking.store.remove("mail", ["a"])
    while world.streams._state != before:
        await world.streams._changed.wait()
    assert await anext(slow) == b"data: %b\n\n" % before


async def test_pages_without_streams_look_once_a_second_and_forget_what_was_before(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(ticks, "LOOK_EVERY", 60.0)
    world = World()
    states = await asyncio.gather(*(world.streams.state() for _ in range(5)))
    assert (len({*states}), world.asking.looks, world.forgotten) == (1, 1, 1)
    monkeypatch.setattr(ticks, "LOOK_EVERY", 0.0)
    assert await world.streams.state() == states[0]
    assert (world.asking.looks, world.forgotten) == (2, 1)
    await world.asking.store.add("mail", [new("a")])
    assert await world.streams.state() != states[0]
    assert world.forgotten == 2


async def test_a_page_does_not_wait_for_a_store_that_is_silent(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(ticks, "PATIENCE", 0.01)
    world = World()
    world.asking.answers.clear()
    assert await world.streams.state() == ""
    world.asking.answers.set()
    assert await world.streams.state() != ""


@virtual
async def test_many_browsers_are_told_less_often(monkeypatch: pytest.MonkeyPatch) -> None:
    """All together ask for so many pages a second; a change after a quiet time comes soon."""

    async def looks(number: int, *, changes: bool) -> int:
        world = World()
        opened = [await world.open() for _ in range(number)]
        await asyncio.gather(*map(anext, opened))
        before = world.asking.looks
        for second in range(12):
            if changes:
                await world.asking.store.add("mail", [new(str(second))])
            await asyncio.sleep(1.0)
        for each in opened:
            await each.aclose()
        return world.asking.looks - before

    monkeypatch.setattr(ticks, "MOST_STREAMS", 100)
    assert await looks(1, changes=True) == pytest.approx(12, abs=1)
    assert await looks(4 * ticks._A_SECOND, changes=True) == pytest.approx(3, abs=1)
    assert await looks(4 * ticks._A_SECOND, changes=False) == pytest.approx(12, abs=3)
