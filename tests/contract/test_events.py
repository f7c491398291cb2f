"""Events: kept only while somebody watches, the oldest dropped, and what is missed is told."""

from __future__ import annotations

import asyncio

import pytest

from asyncmqd.backends.base import WATCHED, BaseBackend
from asyncmqd.domain.events import BATCH, KEPT, PAGE, EventPage, Position
from tests.contract.conftest import Opener
from tests.contract.jobs import later

LONG, LIMIT = 60.0, 10.0


def lines(first: int, number: int = 1) -> list[bytes]:
    return [b'{"n":%d}' % each for each in range(first, first + number)]


def shown(page: EventPage) -> list[bytes]:
    return [line for _, line in page.events]


async def all_after(backend: BaseBackend, after: Position) -> list[EventPage]:
    pages = [await backend.events(after)]
    while pages[-1].events:
        pages.append(await backend.events(pages[-1].position))
    return pages


async def test_nothing_is_kept_while_nobody_watches(
    backend: BaseBackend, open_store: Opener
) -> None:
    assert await backend.publish(lines(0)) is False
    assert await backend.publish([]) is False
    nowhere = Position(1, 0)
    assert await backend.events(nowhere) == EventPage([], nowhere, is_watched=False)
    assert await backend.beat("w", b"{}", LONG) == []
    start = await (await open_store()).watch(LONG)
    assert start.number == 0
    assert await backend.events(start) == EventPage([], start)
    assert await backend.beat("w", b"{}", LONG) == [WATCHED]
    assert await backend.publish([]) is True
    assert await backend.publish(lines(1, 2)) is True
    page = await backend.events(start)
    ends = [Position(start.epoch, number) for number in (1, 2)]
    assert page == EventPage([*zip(ends, lines(1, 2), strict=True)], ends[-1])
    assert await backend.events(page.position) == EventPage([], page.position)


async def test_a_reader_goes_on_in_the_middle_of_a_batch(backend: BaseBackend) -> None:
    start = await backend.watch(LONG)
    await backend.publish(lines(0, 5))
    await backend.publish(lines(5, 2))
    found = await backend.events(Position(start.epoch, 3))
    assert (shown(found), found.missed) == (lines(3, 4), 0)
    assert found.events[0][0] == Position(start.epoch, 4)
    assert await backend.watch(LONG) == Position(start.epoch, 7)


async def test_many_batches_come_in_pages(backend: BaseBackend) -> None:
    start = await backend.watch(LONG)
    for number in range(PAGE + 2):
        await backend.publish(lines(number))
    pages = await all_after(backend, start)
    assert [len(each.events) for each in pages] == [PAGE, 2, 0]
    assert [line for each in pages for line in shown(each)] == lines(0, PAGE + 2)


async def test_the_oldest_are_dropped_and_that_is_told(backend: BaseBackend) -> None:
    start = await backend.watch(LONG)
    batches = KEPT // BATCH + 2
    for number in range(batches):
        await backend.publish(lines(number * BATCH, BATCH))
    pages = await all_after(backend, start)
    found = [line for each in pages for line in shown(each)]
    assert [each.missed for each in pages] == [2 * BATCH, *[0] * (len(pages) - 1)]
    assert found == lines(2 * BATCH, KEPT)
    partly = await backend.events(Position(start.epoch, BATCH + 7))
    assert (partly.missed, shown(partly)[0]) == (BATCH - 7, lines(2 * BATCH)[0])


async def test_who_watches_anew_begins_anew(backend: BaseBackend) -> None:
    """Nobody knows what would have been told in between."""
    former = await backend.watch(0.05)
    assert await backend.publish(lines(0, 3)) is True
    await asyncio.sleep(0.06)
    assert await backend.publish(lines(3)) is False
    assert await backend.beat("w", b"{}", LONG) == []
    assert (await backend.events(former)).events == []
    start = await backend.watch(LONG)
    assert (start.number, start.epoch > former.epoch) == (0, True)
    await backend.publish(lines(4))
    await backend.publish(lines(5))
    resumed = await backend.events(Position(former.epoch, 1))
    assert (resumed.missed, shown(resumed)) == (None, lines(4, 2))
    assert resumed.position == Position(start.epoch, 2)
    assert (await backend.events(resumed.position)).missed == 0


async def test_a_position_that_never_was_is_told(backend: BaseBackend) -> None:
    """A server may have lost the newest."""
    start = await backend.watch(LONG)
    await backend.publish(lines(0, 2))
    page = await backend.events(Position(start.epoch, 9))
    assert (page.events, page.missed, page.position.number) == ([], None, 2)


async def test_the_longest_watch_counts(backend: BaseBackend) -> None:
    start = await backend.watch(LONG)
    assert await backend.watch(0.01) == start
    await asyncio.sleep(0.02)
    await later(backend)
    assert await backend.publish(lines(0)) is True


async def test_who_waits_is_woken_by_the_first_who_watches(
    backend: BaseBackend, open_store: Opener
) -> None:
    daemon = await open_store()
    await daemon.wait({WATCHED}, 0.0)  # the first is told to look at all
    hears = asyncio.create_task(daemon.wait({WATCHED}, LIMIT))
    await asyncio.sleep(0.05)
    await backend.watch(LONG)
    assert await hears == {WATCHED}
    await backend.watch(LONG)
    assert await daemon.wait({WATCHED}, 0.05) == set()


@pytest.mark.parametrize("text", ["", "-", "12", "1-", "-1", "a-1", "1-²", "1-1-1"])
def test_a_position_is_read_or_refused(text: str) -> None:
    with pytest.raises(ValueError, match="expected a position like"):
        Position.of(text)
    assert Position.of(str(Position(7, 3))) == Position(7, 3)
