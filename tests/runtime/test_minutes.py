"""Once a minute the store is told what was counted: when, of which queues, and never twice."""

from __future__ import annotations

from collections.abc import Mapping

import pytest

from asyncmqd.backends import InMemoryBackend
from asyncmqd.backends.base import StoreError, StoreUncertain
from asyncmqd.domain.change import Change
from asyncmqd.domain.history import Period
from asyncmqd.domain.job import Claim, NewJob
from asyncmqd.observe.observer import Observer
from asyncmqd.runtime.process.history_reports import Minutes
from asyncmqd.runtime.process.workers import Workers

CLAIM = Claim(queue="mail", id="x", token=1, payload=b"", age=0.5)
DONE = Change(queue="mail", id="x", edge="succeed", token=1)
START = 6_000.0  # the begin of a minute


class Store(InMemoryBackend):
    """Counts the calls; the reply to one that notes may be lost."""

    def __init__(self) -> None:
        self.time = START + 30
        self.calls: list[str] = []
        self.lost: StoreError | None = None
        super().__init__(now=lambda: self.time)

    async def now(self) -> float:
        self.calls.append("now")
        return await super().now()

    async def note(self, periods: Mapping[str, Period], *, over: bool) -> float:
        self.calls.append("note")
        now = await super().note(periods, over=over)
        if self.lost is not None:
            raise self.lost
        return now

    async def started(self, queue: str = "mail") -> list[tuple[int, int]]:
        return [
            (each.minute, each.count("started")) for each in (await self.history(queue)).minutes
        ]


class Served:
    """A worker, as far as its queue is asked for."""

    def __init__(self, queue: str) -> None:
        self.queue = queue


class Process:
    """What is counted, and the minutes that tell of it; its clock is the store's."""

    def __init__(self, *queues: str) -> None:
        self.store = Store()
        self.observer = Observer([])
        workers = Workers()
        for queue in queues:
            workers.register(Served(queue))  # type: ignore[arg-type]
        self.minutes = Minutes(self.store, workers, self.observer)

    async def beat_at(self, time: float) -> None:
        # The process has a steady clock of its own: let it have gone on as the store's has.
        if self.minutes._offset is not None:
            self.minutes._offset += time - self.store.time
        self.store.time = time
        await self.minutes.now()

    def run(self) -> None:
        self.observer.started(CLAIM, "t")
        self.observer.change(DONE, CLAIM, "t", 0.1)


@pytest.fixture
async def process() -> Process:
    made = Process("mail", "web")
    await made.minutes.now()
    return made


async def test_each_minute_costs_no_further_round_trip(process: Process) -> None:
    process.run()
    for second in range(40, 130, 10):
        await process.beat_at(START + second)
    assert process.store.calls == ["now"] * 3 + ["note"] + ["now"] * 5 + ["note"]
    assert await process.store.started() == [(100, 1)]


async def test_what_comes_later_is_of_its_own_minute(process: Process) -> None:
    process.run()
    await process.beat_at(START + 61)
    process.run()
    process.run()
    await process.beat_at(START + 125)
    assert await process.store.started() == [(100, 1), (101, 2)]


async def test_a_queue_that_is_stuck_tells_how_full_it_is(process: Process) -> None:
    await process.store.add("web", [NewJob(id="a", payload=b"{}")])
    for minute in range(1, 4):
        await process.beat_at(START + 60 * minute)
    found = (await process.store.history("web")).minutes
    assert [(each.minute, each.levels[0], each.levels[4]) for each in found] == [
        (100, 1, 30),
        (101, 1, 90),
        (102, 1, 150),
    ]


@pytest.mark.parametrize("error", [StoreUncertain("no answer"), StoreError("it is full")])
async def test_what_may_have_been_written_is_dropped(process: Process, error: StoreError) -> None:
    process.run()
    process.store.lost = error
    with pytest.raises(StoreError):
        await process.beat_at(START + 61)
    process.store.lost = None
    process.run()
    await process.beat_at(START + 71)
    await process.beat_at(START + 130)
    assert await process.store.started() == [(100, 1), (101, 1)]


async def test_the_rest_is_told_at_the_end(process: Process) -> None:
    process.run()
    await process.beat_at(START + 61)
    process.run()
    await process.minutes.tell_rest()
    assert await process.store.started() == [(100, 1), (101, 1)]
    assert (await process.store.history("mail")).minutes[1].levels == []
    await process.minutes.tell_rest()
    assert process.store.calls.count("note") == 2


async def test_who_only_takes_back_tells_of_that() -> None:
    process = Process()
    process.observer.change(Change(queue="mail", id="x", edge="recover", token=1), CLAIM, "")
    await process.minutes.tell_rest()
    [found] = (await process.store.history("mail")).minutes
    assert found.count("recovered") == 1


async def test_a_clock_that_is_set_back_is_followed(process: Process) -> None:
    await process.beat_at(START + 10_000)
    await process.beat_at(START + 10_070)
    process.minutes._offset = None
    process.store.time = START
    await process.minutes.now()
    process.run()
    await process.beat_at(START + 61)
    assert (100, 1) in await process.store.started()
