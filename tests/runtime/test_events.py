"""Events of a process: told in a few calls while somebody watches, and not at all before."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence

import pytest

from asyncmqd import Event, Queue
from asyncmqd.backends import InMemoryBackend
from asyncmqd.backends.base import StoreError
from asyncmqd.client.events import LOOK_EVERY
from asyncmqd.domain import events
from asyncmqd.domain.events import Position
from asyncmqd.domain.queue_options import QueueOptions
from asyncmqd.domain.retry import Fixed
from asyncmqd.observe.observer import Observer
from asyncmqd.runtime.process import event_publisher
from asyncmqd.runtime.worker import Worker
from tests.runtime.conftest import Bench
from tests.runtime.virtual import store_clock, virtual


class Counting(InMemoryBackend):
    """Counts calls that publish; some of them fail, and answers may be late."""

    def __init__(self) -> None:
        super().__init__(now=store_clock)
        self.calls: list[int] = []
        self.failures = 0
        self.late = 0.0  # seconds

    async def publish(self, lines: Sequence[bytes]) -> bool:
        self.calls.append(len(lines))
        if self.failures:
            self.failures -= 1
            raise StoreError("down")
        answer = await super().publish(lines)
        await asyncio.sleep(self.late)
        return answer

    async def beat(self, worker: str, info: bytes, ttl: float) -> list[str]:
        answer = await super().beat(worker, info, ttl)
        await asyncio.sleep(self.late)
        return answer


@pytest.fixture
def store(bench: Bench) -> Counting:
    bench.backend = Counting()
    return bench.backend


async def until(seen: AsyncIterator[Event], *names: str) -> list[Event]:
    """The events up to the last of these, each of which comes once."""
    found, left = [], set(names)
    while left:
        found.append(await anext(seen))
        left.discard(found[-1].event)
    return found


async def nothing() -> None: ...


@virtual
async def test_nothing_is_told_while_nobody_watches(bench: Bench, store: Counting) -> None:
    observer = Observer([])
    before = observer._event, observer._started, observer._changes
    async with bench.worker(bench.context(observer=observer)):
        await bench.ended(await bench.add(bench.task(nothing)))
        await asyncio.sleep(1)
        assert store.calls == []
        assert (observer._event, observer._started, observer._changes) == before


@virtual
async def test_runs_are_told_with_what_became_of_them(bench: Bench, store: Counting) -> None:
    async def flaky() -> None:
        raise ValueError("x" * 1_000)

    task = bench.task(flaky, retries=1, backoff=Fixed(0.01))
    async with bench.worker(bench.context(observer=Observer([]))):
        seen = Queue("q", store).events()
        first = asyncio.ensure_future(anext(seen))
        await asyncio.sleep(1)
        id = await bench.add(task)
        found = [await first, *await until(seen, "job.failed")]
    assert [(each.event, each.attempt) for each in found] == [
        ("job.started", 1),
        ("job.retrying", 1),
        ("job.started", 2),
        ("job.failed", 2),
    ]
    assert {(each.job_id, each.task, each.queue) for each in found} == {(id, task, "q")}
    assert len({each.worker for each in found}) == 1
    assert found[1].retry_in == 0.01
    error = found[3].error
    assert error is not None
    assert (error[:15], error[-1], len(error)) == ("ValueError: xxx", "…", 500)
    assert found[3].duration_ms is not None
    numbers = [Position.of(each.position).number for each in found]
    assert numbers == [*range(numbers[0], numbers[0] + 4)]


@virtual
async def test_the_events_of_many_jobs_are_one_call(bench: Bench, store: Counting) -> None:
    async def short() -> None:
        await asyncio.sleep(0.005)

    task = bench.task(short)
    async with bench.worker(bench.context(observer=Observer([])), concurrency=10):
        await store.watch(60)
        await asyncio.sleep(1)
        ids = [await bench.add(task) for _ in range(100)]
        await bench.ended(*ids)
        await asyncio.sleep(1)
    assert sum(store.calls) >= 200
    assert len(store.calls) <= 4


@virtual
async def test_what_the_store_does_not_take_is_counted(bench: Bench, store: Counting) -> None:
    task = bench.task(nothing)
    async with bench.worker(bench.context(observer=Observer([]))):
        seen = Queue("q", store).events()
        first = asyncio.ensure_future(anext(seen))
        await asyncio.sleep(1)
        store.failures = 1
        await bench.ended(await bench.add(task))
        await asyncio.sleep(1)
        await bench.add(task)
        missed = await first
        assert (missed.event, missed.missed) == ("events.missed", 2)
        assert [each.event for each in await until(seen, "job.completed")] == [
            "job.started",
            "job.completed",
        ]


@virtual
async def test_it_tells_no_more_once_nobody_watches(
    bench: Bench, store: Counting, monkeypatch: pytest.MonkeyPatch
) -> None:
    task = bench.task(nothing)
    observer = Observer([])
    before = observer._started
    async with bench.worker(bench.context(observer=observer)):
        await store.watch(5)
        await asyncio.sleep(1)
        assert observer._started != before
        await asyncio.sleep(6)
        await bench.ended(await bench.add(task))
        await asyncio.sleep(1)
        assert len(store.calls) == 1
        assert observer._started == before
        await store.watch(5)  # and again, when somebody does
        await asyncio.sleep(1)
        assert observer._started != before


async def told_names(store: Counting, after: Position) -> list[str]:
    page = await store.events(after)
    found = [events.decode(line, at) for at, line in page.events]
    return [each.event for each in found if each]


@virtual
async def test_a_heartbeat_that_asked_before_somebody_watched_stops_nothing(
    bench: Bench, store: Counting
) -> None:
    context = bench.context(observer=Observer([]))
    async with bench.worker(context):
        await asyncio.sleep(1)
        store.late = 1.0
        context.presence.beat_soon()
        await asyncio.sleep(0.5)
        begin = await store.watch(60)
        await asyncio.sleep(0.6)  # the answer has come, and the one to the next is under way
        await bench.ended(await bench.add(bench.task(nothing)))
        await asyncio.sleep(2)
        assert await told_names(store, begin) == ["job.started", "job.completed"]


@virtual
async def test_who_watches_before_the_first_worker_is_told_of_its_jobs(
    bench: Bench, store: Counting
) -> None:
    id = await bench.add(bench.task(nothing))
    context = bench.context(observer=Observer([]))
    async with context:
        await asyncio.sleep(1)  # a heartbeat had asked, and no worker listens for wake-ups
        begin = await store.watch(60)
        running = asyncio.create_task(Worker("q", context, QueueOptions()).run())
        await bench.ended(id)
        await asyncio.sleep(1)
        running.cancel()
        await asyncio.wait([running])
        assert await told_names(store, begin) == ["job.started", "job.completed"]


@virtual
async def test_a_call_that_told_before_somebody_watched_stops_nothing(
    bench: Bench, store: Counting
) -> None:
    task = bench.task(nothing)
    async with bench.worker(bench.context(observer=Observer([]))):
        await store.watch(1)
        await asyncio.sleep(1.5)
        store.late = 1.0
        await bench.ended(await bench.add(task))  # nobody watches, which is not known yet
        await asyncio.sleep(0.5)
        begin = await store.watch(60)
        await bench.ended(await bench.add(task))
        await asyncio.sleep(3)
        assert len(store.calls) == 2
        assert await told_names(store, begin) == ["job.started", "job.completed"]


@virtual
async def test_only_the_newest_wait_for_the_store(
    bench: Bench, store: Counting, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(event_publisher, "KEPT", 3)
    observer = Observer([])
    async with bench.context(observer=observer):
        start = await store.watch(60)
        await asyncio.sleep(12)  # a heartbeat: no worker listens for wake-ups
        for number in range(5):
            observer.event("daemon.warning", warning=str(number))
        await asyncio.sleep(1)
        page = await store.events(start)
    found = [events.decode(line, at) for at, line in page.events]
    told = [(each.event, each.missed, each.warning) for each in found if each]
    assert told == [
        ("events.missed", 2, None),
        *(("daemon.warning", None, str(number)) for number in (2, 3, 4)),
    ]


@virtual
async def test_of_many_starts_and_completions_some_are_told_and_the_rest_is_counted(
    bench: Bench, store: Counting, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def short(fails: bool) -> None:
        if fails:
            raise ValueError

    monkeypatch.setattr(event_publisher, "AT_ONCE", 5)
    task = bench.task(short, retries=0)
    async with bench.worker(bench.context(observer=Observer([])), concurrency=10):
        start = await store.watch(60)
        await asyncio.sleep(1)
        store.failures = 1  # what it did not take is counted, also what was counted before
        ids = [await bench.add(task, number % 3 == 0) for number in range(30)]
        await bench.ended(*ids)
        await asyncio.sleep(1)
        store.calls.clear()
        ids = [await bench.add(task, number % 3 == 0) for number in range(30)]
        await bench.ended(*ids)
        await asyncio.sleep(1)
        assert len(store.calls) <= 3
        ids = [await bench.add(task, False) for _ in range(2)]  # few: all of them are told
        await bench.ended(*ids)
        await asyncio.sleep(1)
        page = await store.events(start)
    told = [each for each in (events.decode(line, at) for at, line in page.events) if each]
    assert sum(each.missed or 1 for each in told) == 2 * 62
    assert [each.event for each in told].count("job.failed") == 10, "those of the second call"
    assert sum(each.event in events.OFTEN for each in told) <= 5 * 3 + 4
    assert told[-5].event == "events.missed", "behind those that were told with them"
    assert {each.job_id for each in told[-4:]} == set(ids)


@virtual
async def test_what_operators_do_is_told(bench: Bench, store: Counting) -> None:
    queue = Queue("q", store)
    seen = queue.events()
    first = asyncio.ensure_future(anext(seen))
    await asyncio.sleep(2 * LOOK_EVERY)
    job = await queue.get(await bench.add(bench.task(nothing)))
    assert job is not None
    await job.cancel()
    await job.retry()
    await job.remove()
    found = [await first, *await until(seen, "job.removed")]
    assert [each.event for each in found] == ["job.cancelled", "job.replayed", "job.removed"]
    assert {each.job_id for each in found} == {job.id}
    assert all(each.by for each in found)


@virtual
async def test_a_reader_is_told_what_it_missed(bench: Bench, store: Counting) -> None:
    queue = Queue("q", store)
    with pytest.raises(ValueError, match="expected a position"):
        await anext(queue.events(after="now"))
    start = await store.watch(60)
    for number in range(3):
        await store.publish([events.encode(_event("q" if number else "other"))])
    seen = queue.events(after=str(start))
    assert [(await anext(seen)).position for _ in range(2)] == [
        str(Position(start.epoch, number)) for number in (2, 3)
    ]
    resumed = queue.events(after=str(Position(start.epoch - 1, 77)))
    found = [await anext(resumed) for _ in range(3)]
    assert [(each.event, each.missed) for each in found] == [
        ("events.missed", None),
        ("job.failed", None),
        ("job.failed", None),
    ]
    assert found[0].position == str(start)


@virtual
async def test_a_line_that_nobody_can_read_is_passed_over(store: Counting) -> None:
    start = await store.watch(60)
    await store.publish([b"\xff{", events.encode(_event("q"))])
    event = await anext(Queue("q", store).events(after=str(start)))
    assert event.position == str(Position(start.epoch, 2))


def _event(queue: str) -> Event:
    from asyncmqd.domain.clock import utc_now

    return Event(timestamp=utc_now(), event="job.failed", queue=queue)
