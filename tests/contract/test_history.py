"""What a store keeps of the past: minutes of a queue, noted by processes and by itself."""

from __future__ import annotations

from collections import Counter

import msgspec

from asyncmqd.backends.base import BaseBackend
from asyncmqd.domain.history import (
    COUNTS,
    HALF_HOUR,
    KEPT,
    MINUTES_KEPT,
    Count,
    Period,
    minute_of,
)
from asyncmqd.domain.settle import Retention
from asyncmqd.domain.states import State
from tests.contract.jobs import (
    LONG,
    QUEUE,
    apply,
    failed,
    fill,
    finish,
    job,
    parked,
    record,
    replay,
    retried,
    take_one,
)


def period(waits: list[int] | None = None, **counts: int) -> Period:
    numbers = [counts.get(name, 0) for name in COUNTS]
    return Period(0, numbers, [], waits or [], waits or [])


def at(minute: int, period: Period) -> Period:
    return msgspec.structs.replace(period, minute=minute)


async def note(backend: BaseBackend, minute: int, *periods: Period, over: bool = True) -> None:
    for each in periods or (Period(0),):
        await backend.note({QUEUE: at(minute, each)}, over=over)


async def minutes(backend: BaseBackend) -> list[Period]:
    return (await backend.history(QUEUE)).minutes


async def total(backend: BaseBackend, name: Count) -> int:
    history = await backend.history(QUEUE)
    return sum(each.count(name) for _, each in history.periods)


async def test_what_processes_count_is_added_up(backend: BaseBackend) -> None:
    one = period([35, 2, 40, 1], started=3, retried=1)
    two = period([3, 1, 35, 300, 99, 7], started=308, recovered=2)
    await note(backend, 100, one, two, over=False)
    await note(backend, 101, one, over=False)
    [first, second] = await minutes(backend)
    assert first == Period(
        100,
        [0, 311, 0, 0, 1, 0, 0, 2],
        [],
        [3, 1, 35, 302, 40, 1, 99, 7],
        [3, 1, 35, 302, 40, 1, 99, 7],
    )
    assert (second.minute, second.waits) == (101, [35, 2, 40, 1])


async def test_the_answer_is_the_stores_clock(backend: BaseBackend) -> None:
    for queues in ((), (QUEUE,), (QUEUE, "web")):
        now = await backend.note({queue: Period(1) for queue in queues}, over=True)
        assert abs(now - await backend.now()) < 10
    assert abs((await backend.history(QUEUE)).now - now) < 10


async def test_nothing_is_kept_of_a_queue_at_rest(backend: BaseBackend) -> None:
    await note(backend, 100)
    assert (await backend.history(QUEUE)).periods == []
    assert await backend.queues() == []


async def test_how_full_a_queue_is(backend: BaseBackend) -> None:
    await backend.add(QUEUE, [job("d", delay=LONG), job("e", delay=LONG)])
    await take_one(backend, "running")
    assert await apply(backend, failed(await take_one(backend, "bad"))) == ["applied"]
    assert await apply(backend, parked(await take_one(backend, "strange"), "mod.f")) == ["applied"]
    await backend.add(QUEUE, [job("a"), job("b", priority=9), job("k", key="t7")])
    await backend.pause(QUEUE, True)
    await note(backend, 100)
    [found] = await minutes(backend)
    assert found.levels[:4] == [4, 2, 1, 1]
    assert found.counts == [8, 0, 0, 1, 0, 0, 0, 0]


async def test_only_the_first_who_comes_has_the_queue_looked_at(backend: BaseBackend) -> None:
    await fill(backend, "a", "b")
    await note(backend, 100, period(started=1))
    await fill(backend, "c")
    await note(backend, 100, period(started=1))
    await note(backend, 101, period(started=1), over=False)
    await note(backend, 101)
    [first, second] = await minutes(backend)
    assert (first.counts[:2], first.levels[0]) == ([2, 2], 2)
    assert (second.counts[:2], second.levels[0]) == ([1, 1], 3)


async def test_what_a_store_counts_is_exact_whatever_becomes_of_the_jobs(
    backend: BaseBackend,
) -> None:
    await finish(backend, "done")
    await finish(backend, "again")
    bad = failed(await take_one(backend, "bad"))
    await apply(backend, bad)
    await note(backend, 100)
    await apply(backend, replay(await record(backend, "again")))
    [claim] = await backend.claim(QUEUE, 1, 60.0, "w")
    await apply(backend, retried(claim, LONG))
    await apply(backend, replay(await record(backend, "bad")))
    await backend.prune(QUEUE, Retention(keep_completed=0))
    await backend.remove(QUEUE, ["again", "nobody"])
    await fill(backend, "new")
    await note(backend, 101)
    while await backend.purge(QUEUE, State.WAITING):
        pass
    await note(backend, 102)
    found = {each.minute: each.counts for each in await minutes(backend)}
    assert found == {100: [3, 0, 2, 1, 0, 0, 0, 0], 101: [1, 0, 0, 0, 0, 0, 0, 0]}


async def test_duplicates_are_not_added(backend: BaseBackend) -> None:
    await fill(backend, "a")
    await backend.add(QUEUE, [job("a"), job("b", unique="ab" * 32)])
    await backend.add(QUEUE, [job("c", unique="ab" * 32)])
    await note(backend, 100)
    assert await total(backend, "added") == 2


async def test_the_oldest_of_all_priorities_counts(backend: BaseBackend) -> None:
    """Those of a low priority wait for ever while better ones come."""
    await backend.add(QUEUE, [job("low", priority=200)])
    start = await backend.now()
    while await backend.now() < start + 0.6:
        pass
    await backend.add(QUEUE, [job(f"good{n}", priority=n) for n in range(5)])
    await note(backend, 100)
    [found] = await minutes(backend)
    assert found.levels[4] >= 1
    await fill(backend, "new", queue="web")
    ages = await backend.oldest([QUEUE, "web", "nobody"])
    assert 0.6 <= ages[QUEUE] < 60
    assert ages["web"] < ages[QUEUE]
    assert ages["nobody"] == 0
    await backend.purge(QUEUE, State.WAITING)
    assert await backend.oldest([QUEUE]) == {QUEUE: 0}
    assert await backend.oldest([]) == {}


async def test_the_oldest_of_jobs_with_keys_counts_and_a_parked_one_does_not(
    backend: BaseBackend,
) -> None:
    await apply(backend, parked(await take_one(backend, "strange"), "mod.f"))
    assert await backend.oldest([QUEUE]) == {QUEUE: 0}
    await backend.add(QUEUE, [job("k", key="t7")])
    start = await backend.now()
    while await backend.now() < start + 0.05:
        pass
    assert (await backend.oldest([QUEUE]))[QUEUE] >= 0.05


async def test_older_minutes_are_joined_to_half_hours(backend: BaseBackend) -> None:
    begin, one = 29_000 * HALF_HOUR, period([35, 1], started=1)
    noted = [begin, begin + 1, *range(begin + HALF_HOUR, begin + KEPT + HALF_HOUR, 19)]
    for minute in noted:
        await note(backend, minute, one, over=False)
    history = await backend.history(QUEUE)
    alone = [minute for minute in noted if minute > noted[-1] - MINUTES_KEPT]
    assert [each.minute for each in history.minutes] == alone
    joined: Counter[int] = Counter()
    for minute in noted:
        joined[minute - minute % HALF_HOUR] += minute not in alone and minute > begin + 1
    assert [(each.minute, each.count("started")) for each in history.half_hours] == [
        (minute, count) for minute, count in joined.items() if count
    ]
    assert history.half_hours[1].waits == [35, joined[begin + 2 * HALF_HOUR]]


async def test_minutes_come_in_any_order(backend: BaseBackend) -> None:
    for minute in (103, 101, 102, 100, 103, 100):
        await note(backend, minute, period(started=minute), over=False)
    assert [(each.minute, each.count("started")) for each in await minutes(backend)] == [
        (100, 200),
        (101, 101),
        (102, 102),
        (103, 206),
    ]


async def test_a_future_that_is_none_any_more_is_forgotten(backend: BaseBackend) -> None:
    """The store's clock was ahead, and was set back."""
    now = minute_of(await backend.now())
    for minute in (now, now + 5, now + 5_000, now + 5_001):
        await note(backend, minute, period(started=1), over=False)
    await note(backend, now + 1, period(started=1), over=False)
    found = [each.minute for each in await minutes(backend)]
    assert found in ([now + 1, now + 5], [now + 1])


async def test_a_clock_that_was_set_back_does_not_keep_a_queue_from_telling(
    backend: BaseBackend,
) -> None:
    now = minute_of(await backend.now())
    await fill(backend, "a")
    await note(backend, now + 1_000)
    await fill(backend, "b")
    await note(backend, now)
    [found] = await minutes(backend)
    assert (found.minute, found.counts[0], found.levels[0]) == (now, 1, 2)


async def test_who_comes_with_an_old_minute_takes_nothing_away(backend: BaseBackend) -> None:
    """Its host slept for an hour, while other daemons went on."""
    await fill(backend, "a")
    for minute in (1_000, 1_060, 1_061):
        await note(backend, minute, period(started=1))
    await note(backend, 1_001, period(started=1))
    found = [(each.minute, each.counts[:2], each.levels[:1]) for each in await minutes(backend)]
    assert found == [
        (1_000, [1, 1], [1]),
        (1_001, [0, 1], []),
        (1_060, [0, 1], [1]),
        (1_061, [0, 1], [1]),
    ]


async def test_queues_have_pasts_of_their_own(backend: BaseBackend) -> None:
    await fill(backend, "a", queue="web")
    await backend.note(
        {QUEUE: at(100, period(started=1)), "web": at(100, period(started=2))}, over=True
    )
    assert (await minutes(backend))[0].counts[:2] == [0, 1]
    assert (await backend.history("web")).minutes[0].counts[:2] == [1, 2]
