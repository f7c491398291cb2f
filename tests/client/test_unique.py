"""Unique jobs as applications declare them."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import pytest

from asyncmqd import Job, NameTaken, NotSerialisable, Queue, State, Task, task
from asyncmqd.backends import InMemoryBackend
from asyncmqd.domain.settle import Policy, Succeeded, settle
from asyncmqd.domain.tasks import REGISTRY


@pytest.fixture
def store() -> InMemoryBackend:
    return InMemoryBackend()


def declared(unique: Any, store: InMemoryBackend, **more: Any) -> Task[..., Any]:
    """A new task `unique.sync` of two parameters."""
    if REGISTRY.get("unique.sync") is not None:
        REGISTRY.remove("unique.sync")

    @task(name="unique.sync", unique=unique, **more)
    async def sync(customer: Any, full: bool = False, *rest: int, **more: Any) -> int:
        return 1

    return sync.options(backend=store)


async def existed(*calls: Any) -> list[bool]:
    return [(await call).existed for call in calls]


async def test_jobs_of_the_same_arguments_are_one(store: InMemoryBackend) -> None:
    sync = declared(True, store)
    first = await sync.enqueue(1, full=True)
    again = await sync.enqueue(full=True, customer=1)
    assert (first.existed, again.existed, again.id) == (False, True, first.id)
    assert (again.task, again.args) == ("", [])  # it may be another task's: nothing is known yet
    assert await again.state() is State.WAITING
    assert (again.task, again.args) == (first.task, [1])
    assert (
        await existed(sync.enqueue(1), sync.enqueue(2, full=True), sync.enqueue(1, True, 3))
        == [False] * 3
    )
    assert await existed(sync.enqueue({"a": 1, "b": 2}), sync.enqueue({"b": 2, "a": 1})) == [
        False,
        True,
    ]


async def test_a_parameter_tells_jobs_apart(store: InMemoryBackend) -> None:
    sync = declared("customer", store)
    assert await existed(sync.enqueue(1), sync.enqueue(1, full=True), sync.enqueue("1")) == [
        False,
        True,
        False,
    ]
    assert await existed(sync.enqueue(None), sync.enqueue(None)) == [False, False]
    by_default = declared("full", store)
    assert await existed(by_default.enqueue(1), by_default.enqueue(2, full=False)) == [False, True]


async def test_a_function_tells_jobs_apart(store: InMemoryBackend) -> None:
    def zone(customer: Any, full: bool = False) -> str | None:
        return None if full else str(customer)[:1]

    sync = declared(zone, store)
    assert await existed(sync.enqueue("ab"), sync.enqueue("ac"), sync.enqueue("b")) == [
        False,
        True,
        False,
    ]
    assert await existed(sync.enqueue("a", full=True)) == [False]
    for bad in (7, True, "", "a\nb", "x" * 1_001):
        wrong = declared(lambda customer, bad=bad: bad, store)
        with pytest.raises(
            ValueError, match=r"task unique\.sync: unique: expected text of 1 to 1,000"
        ):
            await wrong.enqueue("a")


async def test_a_text_is_shared_by_the_tasks_of_a_queue(store: InMemoryBackend) -> None:
    sync = declared(None, store)
    queue = Queue("default", store)
    first = await sync.options(unique="nightly").enqueue(1)
    assert await existed(
        sync.enqueue(1),
        queue.add("other.task", unique="nightly"),
        queue.add(sync, 2, unique="nightly"),
        Queue("other", store).add("other.task", unique="nightly"),
    ) == [False, True, True, False]
    assert (await queue.add("other.task", unique="nightly")).id == first.id


async def test_a_call_may_do_without_or_ask_for_more(store: InMemoryBackend) -> None:
    sync = declared("customer", store)
    await sync.enqueue(1)
    assert await existed(sync.options(unique=False).enqueue(1)) == [False]
    alike = sync.options(unique=True)
    assert await existed(alike.enqueue(1), alike.enqueue(1, full=True), alike.enqueue(1)) == [
        False,
        False,
        True,
    ]


async def test_many_at_once_answer_one_by_one(store: InMemoryBackend) -> None:
    sync = declared("customer", store)
    jobs = await asyncio.gather(*(sync.enqueue(number % 3) for number in range(30)))
    assert len({job.id for job in jobs}) == 3
    bulk = await Queue("default", store).add_bulk([sync.job(n) for n in (2, 3, 3)])
    assert [job.existed for job in bulk] == [True, False, True]
    assert bulk[1].id == bulk[2].id


async def test_an_ended_job_runs_again_only_while_its_name_is_free(store: InMemoryBackend) -> None:
    sync = declared(True, store)
    first: Job[int] = await sync.enqueue(1)
    await first.cancel()
    second = await sync.enqueue(1)
    with pytest.raises(NameTaken, match=f"held by job {second.id}") as caught:
        await first.retry()
    assert caught.value.holder == second.id
    await second.remove()
    assert await first.retry()


@pytest.mark.parametrize(
    ("unique", "error", "message"),
    [
        ("custmer", ValueError, r"task unique.sync: unique: expected a parameter .* mean customer"),
        (7, ValueError, "unique: expected true, false, the name of a parameter, or a function"),
    ],
)
def test_a_wrong_rule_is_refused_where_the_task_is_declared(
    unique: Any, error: type[Exception], message: str, store: InMemoryBackend
) -> None:
    with pytest.raises(error, match=message):
        declared(unique, store)


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda sync: sync.options(unique=""), ValueError, "unique: expected true, false or text"),
        (lambda sync: sync.options(unique=3), ValueError, "unique: expected true, false or text"),
        (
            lambda sync: sync.job(object()),
            NotSerialisable,
            "^task unique.sync: unique: parameter 'customer': a value of type object",
        ),
        (
            lambda sync: sync.options(unique=True).job(float("nan")),
            NotSerialisable,
            r"^task unique.sync: unique: arguments\['customer'\]: expected a finite number",
        ),
        (
            lambda sync: sync.job({1, "a"}),
            NotSerialisable,
            "^task unique.sync: unique: parameter 'customer': .*not supported",
        ),
        (
            lambda sync: Queue("default", sync._backend)._pending(
                "no.such", (), {}, {"unique": True}
            ),
            ValueError,
            "unique: expected text, got True: the parameters of task no.such are not known here",
        ),
    ],
)
def test_a_wrong_name_is_refused_at_the_producer(
    call: Callable[[Any], Any], error: type[Exception], message: str, store: InMemoryBackend
) -> None:
    with pytest.raises(error, match=message):
        call(declared("customer", store))


def test_a_schedule_takes_no_unique_name(store: InMemoryBackend) -> None:
    sync = declared(None, store).options(unique="x")
    with pytest.raises(TypeError, match="unique"):
        Queue("default", store).add_repeatable(sync, every=1)


async def test_a_name_may_be_held_until_the_claim_or_for_a_time(store: InMemoryBackend) -> None:
    waiting = declared("customer", store, unique_while="waiting")
    await waiting.enqueue(1)
    assert await existed(waiting.enqueue(1)) == [True]
    await store.claim("default", 1, 60.0, "w")
    assert await existed(waiting.enqueue(1)) == [False]
    live = waiting.options(unique_while="live")
    await live.enqueue(2)
    await store.claim("default", 9, 60.0, "w")
    assert await existed(live.enqueue(2)) == [True]
    timed = declared("customer", store, unique_for="1h")
    first = await timed.enqueue(3)
    await first.cancel()
    assert await existed(timed.enqueue(3), timed.options(unique=False).enqueue(3)) == [True, False]
    for wrong in ({"unique_while": "running"}, {"unique_for": "soon"}):
        with pytest.raises(ValueError, match="unique_"):
            timed.options(**wrong)


@pytest.mark.parametrize(
    "key",
    [
        {"unique_for": "1h"},
        {"unique_while": "waiting"},
        {"on_conflict": "replace"},
        {"push_for": "1h"},
    ],
)
async def test_what_says_how_long_a_name_is_held_is_refused_without_a_name(
    store: InMemoryBackend, key: dict[str, Any]
) -> None:
    alone = f"{next(iter(key))}: expected `unique` beside it"
    with pytest.raises(ValueError, match=alone):
        declared(None, store, **key)
    plain = declared(None, store)
    with pytest.raises(ValueError, match=alone):
        await plain.options(**key).enqueue(1)
    with pytest.raises(ValueError, match=alone):
        await Queue("default", store).add("unique.unknown", 1, **key)
    assert await store.queues() == []
    of_calls = declared(False, store, **key)  # each call may name its job
    assert await existed(of_calls.enqueue(1), of_calls.enqueue(1)) == [False, False]
    named = of_calls.options(unique="one")
    assert await existed(named.enqueue(1), named.enqueue(2)) == [False, True]


async def test_a_job_that_never_ran_gets_the_newest_arguments(store: InMemoryBackend) -> None:
    sync = declared("customer", store, on_conflict="replace")
    first = await sync.enqueue(1, full=False)
    second = await sync.options(priority=1).enqueue(1, full=True)
    assert (second.id, second.existed, second.replaced) == (first.id, True, True)
    assert (second.kwargs, second.priority) == ({"full": True}, 1)
    record = await first.record()
    found = Job.of(record, store)
    assert (found.id, found.kwargs) == (first.id, {"full": True})
    [claim] = await store.claim("default", 1, 60.0, "w")
    assert claim.id == first.id
    third = await sync.enqueue(1, full=False)
    assert (third.id, third.existed, third.replaced) == (first.id, True, False)


async def test_a_change_during_the_run_is_seen_by_a_run_after_it(store: InMemoryBackend) -> None:
    sync = declared("customer", store, on_conflict="again")
    first = await sync.enqueue(1, full=False)
    [claim] = await store.claim("default", 1, 60.0, "w")
    second = await sync.enqueue(1, full=False)
    assert (second.existed, second.replaced, second.id != first.id) == (False, False, True)
    third = await sync.enqueue(1, full=True)
    assert (third.id, third.existed, third.replaced) == (second.id, True, True)
    assert (await second.record()).waits_for == (first.id,)
    change = settle(claim, Succeeded(b"1"), Policy(), 0.5)
    assert await store.apply("default", [change]) == ["applied"]
    record = await second.record()
    found = Job.of(record, store)
    assert (found.id, found.kwargs, record.state) == (second.id, {"full": True}, State.WAITING)


async def test_a_push_moves_the_time_up_to_ten_delays(store: InMemoryBackend) -> None:
    sync = declared("customer", store, on_conflict="push").options(delay="1m")
    first = await sync.enqueue(1)
    await sync.options(delay="1h").enqueue(1)
    record = await first.record()
    assert record.due == pytest.approx(record.created + 3_600, abs=60)
    await sync.options(delay="5s").enqueue(1)
    assert (await first.record()).due == pytest.approx(record.created + 5, abs=4)
    await sync.options(delay="5m", push_for="5m").enqueue(1)
    assert (await first.record()).due == pytest.approx(record.created + 300)


def test_what_a_push_cannot_mean_is_refused(store: InMemoryBackend) -> None:
    sync = declared("customer", store, on_conflict="push")
    for options, message in (
        ({}, "on_conflict: expected a delay beside 'push', got none"),
        ({"delay": 60, "ttl": 600}, "ttl: expected more than the 600 s for which the job may be"),
        ({"on_conflict": "more"}, "expected 'existing', 'replace', 'push' or 'again', got 'more'"),
        ({"delay": 60, "push_for": "long"}, "push_for: expected seconds"),
        ({"delay": 60, "push_for": 59}, "push_for: expected at least the delay of 60 s, got 59"),
        (
            {"on_conflict": "replace", "push_for": 60},
            "push_for: expected on_conflict 'push' beside it, got 'replace'",
        ),
        (
            {"on_conflict": "again", "unique_while": "waiting"},
            "on_conflict: expected 'replace' beside unique_while 'waiting'",
        ),
    ):
        with pytest.raises(ValueError, match=message):
            sync.options(**options).job(1)
    for declaration, message in (
        ({"push_for": 60}, "push_for: expected on_conflict 'push' beside it, got 'existing'"),
        ({"on_conflict": "again", "unique_while": "waiting"}, "expected 'replace' beside"),
        (
            {"on_conflict": "push", "push_for": "1h", "ttl": "1h"},
            "ttl: expected more than the 3600 s for which the job may be pushed",
        ),
    ):
        with pytest.raises(ValueError, match=message):
            declared("customer", store, **declaration)
    assert sync.options(delay=60, ttl=601).job(1)
    assert sync.options(unique=False).job(1)
