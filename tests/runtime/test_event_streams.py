"""Streams of events over HTTP: one look for all, a beat of the heart, and an end when it is due."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator

import msgspec
import pytest

from asyncmqd import Event
from asyncmqd.backends import InMemoryBackend
from asyncmqd.backends.base import StoreError
from asyncmqd.domain.clock import utc_now
from asyncmqd.domain.events import EventPage, Position, encode
from asyncmqd.web import event_streams
from asyncmqd.web.api import CannotDo
from asyncmqd.web.event_streams import HEARTBEAT, MOST_STREAMS, EventStreams
from asyncmqd.web.server import Request
from tests.runtime.virtual import store_clock, virtual

BEAT = b":\n\n"


class Counting(InMemoryBackend):
    """Counts looks, the first of which may fail."""

    def __init__(self) -> None:
        super().__init__(now=store_clock)
        self.looks = self.failures = 0

    async def events(self, after: Position) -> EventPage:
        self.looks += 1
        if self.failures:
            self.failures -= 1
            raise StoreError("down")
        return await super().events(after)


@pytest.fixture
def store() -> Counting:
    return Counting()


@pytest.fixture
def streams(store: Counting) -> EventStreams:
    return EventStreams(store)


Parts = AsyncGenerator[bytes, None]


def request(query: str = "", **headers: str) -> Request:
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return Request("GET", "/api/v1/events", named, "", query)


async def begun(streams: EventStreams, query: str = "", **headers: str) -> Parts:
    parts = streams.open(request(query, **headers), lambda: True).parts
    assert (await anext(parts)).startswith(b"retry: ")
    return parts


async def tell(store: Counting, *names: str, queue: str = "mail") -> None:
    moment = utc_now()
    events = [Event(timestamp=moment, event=name, queue=queue) for name in names]
    assert await store.publish([encode(each) for each in events])


def names(part: bytes) -> list[str]:
    return [line[7:] for line in part.decode().splitlines() if line.startswith("event: ")]


@virtual
async def test_all_streams_share_one_look(store: Counting, streams: EventStreams) -> None:
    all = [await begun(streams) for _ in range(50)]
    waiting = [asyncio.ensure_future(anext(each)) for each in all]
    await asyncio.sleep(5)
    looks, store.looks = store.looks, 0
    assert looks < 100, "each looks once at its begin"
    await asyncio.sleep(5)
    assert 20 <= store.looks <= 30
    await tell(store, "job.failed")
    parts = await asyncio.gather(*waiting)
    assert {tuple(names(each)) for each in parts} == {("job.failed",)}
    for each in all:
        await each.aclose()
    looks = store.looks
    await asyncio.sleep(5)
    assert store.looks == looks, "nobody is there any more"


@virtual
async def test_many_are_told_of_many_events_together(
    store: Counting, streams: EventStreams
) -> None:
    """One of them is slower than the others, and misses nothing."""
    all = [await begun(streams) for _ in range(50)]
    told: list[list[str]] = [[] for _ in all]

    async def read(number: int) -> None:
        while len(told[number]) < 100:
            told[number] += names(await anext(all[number]))
            await asyncio.sleep(0.3 if number == 7 else 0.0)

    reading = [asyncio.ensure_future(read(number)) for number in range(50)]
    await asyncio.sleep(1)
    looks = store.looks
    for number in range(100):
        await tell(store, f"e{number}")
        await asyncio.sleep(0.05)
    await asyncio.gather(*reading)
    assert store.looks - looks < 30
    assert told == [[f"e{number}" for number in range(100)]] * 50


@virtual
async def test_who_resumes_gets_all_and_then_what_comes(
    store: Counting, streams: EventStreams
) -> None:
    start = await store.watch(60)
    live = await begun(streams)
    first = asyncio.ensure_future(anext(live))
    await asyncio.sleep(1)
    await tell(store, "a", "b", "c")
    assert names(await first) == ["a", "b", "c"]
    second = asyncio.ensure_future(anext(live))
    back = await begun(streams, last_event_id=str(Position(start.epoch, 1)))
    part = await anext(back)
    assert names(part) == ["b", "c"]
    assert f"id: {Position(start.epoch, 3)}\n".encode() in part
    third = asyncio.ensure_future(anext(back))
    await asyncio.sleep(1)
    await tell(store, "d")
    assert [names(await each) for each in (second, third)] == [["d"], ["d"]]
    lost = await begun(streams, query="after=1-5")
    assert names(await anext(lost)) == ["events.missed", "a", "b", "c", "d"]


@virtual
async def test_a_client_sees_what_it_asked_for(store: Counting, streams: EventStreams) -> None:
    parts = await begun(streams, "queue=mail&event=job.f&event=queue.")
    first = asyncio.ensure_future(anext(parts))
    await asyncio.sleep(1)
    await tell(store, "job.failed", queue="web")
    await tell(store, "job.started", "job.failed", "queue.paused")
    assert names(await first) == ["job.failed", "queue.paused"]


def told(part: bytes) -> list[Event]:
    lines = part.decode().splitlines()
    return [msgspec.json.decode(line[6:], type=Event) for line in lines if line[:6] == "data: "]


@virtual
async def test_where_too_much_happens_starts_and_completions_are_counted(
    store: Counting, streams: EventStreams, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(event_streams, "_SENT", 16)  # by four streams
    start = await store.watch(60)
    queries = ("", "event=job.f", "event=job.c", "queue=web")
    all = [await begun(streams, each) for each in queries]
    waiting = [asyncio.ensure_future(anext(each)) for each in all]
    await asyncio.sleep(1)
    await tell(store, *["job.started", "job.completed"] * 2, "job.failed", "job.started")
    await tell(store, "job.released", "job.completed")
    await tell(store, "job.started", queue="web")
    parts = [told(await each) for each in waiting]
    assert [[(each.event, each.missed) for each in part] for part in parts] == [
        [
            ("job.started", None),
            ("job.completed", None),
            ("events.missed", 2),
            ("job.failed", None),
            ("events.missed", 1),
            ("job.released", None),
            ("events.missed", 2),
        ],
        [("job.failed", None)],
        [("job.completed", None)] * 3,
        [("job.started", None)],
    ]
    positions = [Position.of(each.position).number for each in parts[0]]
    assert positions == [1, 2, 4, 5, 6, 7, 9], "a client goes on behind what it was told of"
    back = await begun(streams, last_event_id=str(Position(start.epoch, 2)))
    assert len(names(await anext(back))) == 7, "who comes back is sent what is there"


@pytest.mark.parametrize("query", ["colour=red", "after=x", "queue=%ff"])
def test_wrong_questions_are_told(streams: EventStreams, query: str) -> None:
    with pytest.raises(CannotDo) as refused:
        streams.open(request(query), lambda: True)
    assert refused.value.status == 400


@virtual
async def test_it_shows_that_it_lives(store: Counting, streams: EventStreams) -> None:
    """Proxies end connections that are silent, also while only other queues are busy."""
    loop, parts = asyncio.get_running_loop(), await begun(streams, "queue=mail")
    began = loop.time()
    assert await anext(parts) == BEAT
    assert loop.time() - began == pytest.approx(HEARTBEAT, abs=1)
    second = asyncio.ensure_future(anext(parts))
    while not second.done():
        await tell(store, "job.started", queue="web")
        await asyncio.sleep(1)
    assert await second == BEAT
    assert loop.time() - began == pytest.approx(2 * HEARTBEAT, abs=3)


@virtual
async def test_who_may_not_read_any_more_is_told_no_more(streams: EventStreams) -> None:
    allowed = [True]
    parts = streams.open(request(), lambda: allowed[0]).parts
    await anext(parts)
    assert await anext(parts) == BEAT
    allowed.clear()
    allowed.append(False)
    assert await anext(parts, b"the end") == b"the end"


@virtual
async def test_nor_is_who_was_never_without_an_event(
    store: Counting, streams: EventStreams
) -> None:
    allowed = [True]
    parts = streams.open(request(), lambda: allowed[0]).parts
    await anext(parts)
    for may_read in (True, False):
        allowed[0] = may_read
        await tell(store, "job.failed")
        assert names(await anext(parts, b"")) == ["job.failed"] * may_read


@virtual
async def test_a_store_that_fails_ends_no_stream(store: Counting, streams: EventStreams) -> None:
    both = [await begun(streams) for _ in range(2)]
    waiting = [asyncio.ensure_future(anext(each)) for each in both]
    await asyncio.sleep(1)
    store.failures = 1
    assert {await each for each in waiting} == {b": the store does not answer\n\n"}
    waiting = [asyncio.ensure_future(anext(each)) for each in both]
    await tell(store, "a")
    assert [names(await each) for each in waiting] == [["a"], ["a"]]


@virtual
async def test_there_are_so_many_at_most(
    streams: EventStreams, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert MOST_STREAMS == 64
    monkeypatch.setattr(event_streams, "MOST_STREAMS", 2)
    one, two = await begun(streams), await begun(streams)
    with pytest.raises(CannotDo, match="2 streams already") as refused:
        streams.open(request(), lambda: True)
    assert refused.value.status == 503
    await one.aclose()
    await begun(streams)
    await two.aclose()


@virtual
async def test_texts_of_errors_can_be_hidden(store: Counting) -> None:
    parts = await begun(EventStreams(store, hides=True))
    first = asyncio.ensure_future(anext(parts))
    await asyncio.sleep(1)
    moment = utc_now()
    failed = Event(timestamp=moment, event="job.failed", error="KeyError: the secret")
    begins = Event(timestamp=moment, event="operation.begun", jobs="with key the secret")
    place = "queues.toml:7"
    warned = Event(timestamp=moment, event="daemon.warning", warning=f"{place}: got the secret")
    await store.publish([encode(failed), encode(begins), encode(warned)])
    part = await first
    assert f"{place}: hidden".encode() in part
    assert b"KeyError: hidden" in part
    assert b"secret" not in part
