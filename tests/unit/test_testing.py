"""asyncmqd.testing: jobs on a virtual clock, and everything as before afterwards."""

from __future__ import annotations

import asyncio
import os
import re
import threading
import time
from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any
from uuid import UUID

import pytest

from asyncmqd import (
    JobFailed,
    NotConfigured,
    Queue,
    Retry,
    State,
    connect,
    task,
    testing,
)
from asyncmqd.backends import InMemoryBackend
from asyncmqd.client import connection
from asyncmqd.client.tasks import Task

calls: list[str] = []


@pytest.fixture(autouse=True)
def no_calls_yet() -> None:
    calls.clear()


@pytest.fixture
def app() -> Iterator[testing.App]:
    with testing.app() as app:
        yield app


@task(queue="testing")
async def greet(name: str) -> str:
    calls.append(name)
    return f"hello {name}"


@task(queue="testing", retries=3, backoff=3_600)
def unsteady(fails: int) -> int:
    calls.append("unsteady")
    if len(calls) <= fails:
        raise OSError("not yet")
    return len(calls)


@task(queue="testing-more", retries=10_000)
async def never() -> None:
    raise Retry("once more", after=60)


@task(queue="testing")
def order(days: int) -> None:
    calls.append("order")
    remind.options(delay=timedelta(days=days)).enqueue_sync()


@task(queue="testing-more")
async def remind() -> None:
    calls.append("remind")


@task(queue="testing", executor="process")
def where() -> int:
    return os.getpid()


async def test_jobs_that_ran_come_back_with_their_results(app: testing.App):
    job = await greet.enqueue("Ada")
    (ran,) = await app.run_dry()
    assert (ran.id, ran.queue, ran.task) == (job.id, "testing", greet.name)
    assert (ran.args, ran.kwargs, ran.attempt) == (["Ada"], {}, 1)
    assert (ran.state, ran.result, ran.failure) == (State.COMPLETED, "hello Ada", None)
    assert await job.result(timeout=0) == "hello Ada"
    assert await app.run_dry() == []


async def test_retries_run_at_once_though_they_are_hours_away(app: testing.App):
    begin = app.now
    await unsteady.enqueue(2)
    (ran,) = await app.run_dry()
    assert (ran.state, ran.attempt, ran.result) == (State.COMPLETED, 3, 3)
    assert ran.failure is not None
    assert ran.failure.type == "OSError"
    assert app.now == pytest.approx(begin + 7_200)


async def test_a_job_that_fails_for_good_says_why(app: testing.App):
    await unsteady.enqueue(99)
    (ran,) = await app.run_dry()
    assert (ran.state, ran.attempt, ran.result) == (State.FAILED, 4, None)
    assert ran.failure is not None
    assert ran.failure.message == "not yet"


async def test_failures_are_raised_if_asked(app: testing.App):
    await unsteady.enqueue(99)
    with pytest.raises(JobFailed, match="OSError: not yet"):
        await app.run_dry(raise_failures=True)


async def test_what_a_job_enqueues_runs_too_in_the_order_of_due_times(app: testing.App):
    await greet.options(delay=timedelta(days=2)).enqueue("late")
    await order.enqueue(1)
    await app.run_dry()
    assert calls == ["order", "remind", "late"]


async def test_only_the_queues_that_were_named_are_run(app: testing.App):
    await order.enqueue(1)
    await app.run_dry("testing")
    assert calls == ["order"]
    assert (await Queue("testing-more").counts()).delayed == 1


async def test_time_passes_when_told_to(app: testing.App):
    await remind.options(ttl=3_600).enqueue()
    app.advance(3_601)
    (ran,) = await app.run_dry()
    assert ran.state is State.EXPIRED
    assert calls == []


async def test_a_paused_queue_keeps_its_jobs(app: testing.App):
    await greet.enqueue("Ada")
    await Queue("testing").pause()
    assert await app.run_dry() == []
    await Queue("testing").resume()
    assert len(await app.run_dry()) == 1


async def test_an_endless_job_is_given_up(app: testing.App):
    await never.enqueue()
    with pytest.raises(RuntimeError, match="max_jobs=50"):
        await app.run_dry(max_jobs=50)


async def test_exactly_as_many_runs_as_allowed_are_no_error(app: testing.App):
    for name in ("a", "b", "c"):
        await greet.enqueue(name)
    assert len(await app.run_dry(max_jobs=3)) == 3


async def test_a_task_that_nobody_imported_is_named(app: testing.App):
    await Queue("testing").add("elsewhere.task")
    with pytest.raises(LookupError, match=r"'elsewhere\.task'"):
        await app.run_dry()


async def test_functions_for_child_processes_run_here(app: testing.App):
    await where.enqueue()
    (ran,) = await app.run_dry(raise_failures=True)
    assert ran.result == os.getpid()
    assert where.definition.options.executor == "process"


def test_tests_without_a_loop(app: testing.App):
    greet.enqueue_sync("Ada")
    assert [ran.result for ran in app.run_dry_sync()] == ["hello Ada"]


held = threading.local()


@task(queue="testing")
def in_which_thread() -> int:
    with pytest.raises(RuntimeError):
        asyncio.get_running_loop()  # Django's ORM refuses to work where one runs
    remind.enqueue_sync()
    return threading.get_ident() if held.transaction else 0


@task(queue="testing", timeout=0.01)
def overstays() -> None:
    time.sleep(0.1)


def test_plain_tasks_run_in_the_caller_s_thread(app: testing.App):
    held.transaction = "open"
    in_which_thread.enqueue_sync()
    greet.enqueue_sync("Ada")
    ran = app.run_dry_sync(raise_failures=True)
    assert [each.result for each in ran] == [threading.get_ident(), "hello Ada", None]
    in_which_thread.enqueue_sync()
    assert app.run_dry_sync("testing")[0].result == threading.get_ident()


def test_a_plain_task_that_overstays_ends_before_the_next_begins(app: testing.App):
    held.transaction = "open"
    overstays.enqueue_sync()
    in_which_thread.enqueue_sync()
    first, second = app.run_dry_sync("testing")
    assert first.failure is not None
    assert first.failure.type == "JobTimeout"
    assert second.result == threading.get_ident()


async def test_in_a_loop_run_dry_is_awaited(app: testing.App):
    with pytest.raises(RuntimeError, match="await run_dry"):
        app.run_dry_sync()


async def test_nothing_is_written_between_the_lines_of_the_tests(
    app: testing.App, capfd: pytest.CaptureFixture[str]
):
    await unsteady.enqueue(99)
    await greet.enqueue("Ada")
    await app.run_dry()
    assert capfd.readouterr() == ("", "")


def test_the_default_store_is_as_before(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.delenv("ASYNCMQD_BACKEND", raising=False)
    monkeypatch.setenv("ASYNCMQD_CONFIG", "/nowhere/queues.toml")
    monkeypatch.setattr(connection, "_default", None)
    with testing.app() as app:
        assert connect() is app.backend
    with pytest.raises(NotConfigured):
        connect()
    mine = connect(InMemoryBackend())
    with pytest.raises(ZeroDivisionError), testing.app():
        raise ZeroDivisionError
    assert connect() is mine


# ---------------------------------------------------------------- arguments


@task(queue="testing")
def unhinted(what=None, **more):  # type: ignore[no-untyped-def]
    del what, more


@task(queue="testing")
def hinted(days: list[date], count: int = 0, *, rows: list[Any] | None = None) -> None:
    del days, count, rows


@pytest.mark.parametrize(
    "value",
    [{1}, (1, 2), {1: "x"}, datetime(2026, 1, 1, tzinfo=UTC), Decimal(1), UUID(int=1), b"x"],
    ids=lambda value: type(value).__name__,
)
@pytest.mark.usefixtures("app")
def test_an_argument_without_a_hint_that_changes_is_told(value: object) -> None:
    kind = type(value).__name__
    for call, place in [
        (lambda: unhinted.enqueue_sync([value]), "parameter 'what': args[0]: a list arrives as"),
        (lambda: unhinted.enqueue_sync(x=value), f"'more': kwargs['x']: a {kind} arrives as"),
        (lambda: hinted.job([], rows=[value]), "parameter 'rows': kwargs['rows']: a list"),
    ]:
        with pytest.warns(UserWarning, match=re.escape(place)) as warned:
            call()
        assert warned[0].filename == __file__


@pytest.mark.usefixtures("app")
def test_what_comes_back_as_it_is_warns_of_nothing() -> None:
    unhinted.enqueue_sync([1, "x", None, 1.5, {"a": [True]}])
    hinted.enqueue_sync([date(2026, 1, 1)], 3, rows=[{}])


@pytest.mark.usefixtures("app")
def test_an_argument_that_does_not_fit_is_refused_before_it_is_enqueued() -> None:
    for arguments in [(["soon"],), ([], "x")]:
        with pytest.raises(TypeError, match=r"parameter '(days|count)': args\[.\]: "):
            hinted.enqueue_sync(*arguments)  # type: ignore[arg-type]


def test_outside_of_it_plain_values_are_not_looked_at() -> None:
    hinted.job([], "x")  # type: ignore[arg-type]
    unhinted.job({1})


@pytest.fixture(params=[1, 2])
def declared(request: pytest.FixtureRequest) -> Iterator[Task[[], int]]:
    """Of one name at each of several tests, and each is another function."""

    @task(name="testing.declared")
    def number() -> int:
        return request.param

    yield number
    testing.unregister(number)


def test_a_fixture_may_declare_a_task_for_each_test(
    declared: Task[[], int], app: testing.App, request: pytest.FixtureRequest
) -> None:
    declared.enqueue_sync()
    [ran] = app.run_dry_sync()
    assert ran.result == request.node.callspec.params["declared"]


def test_what_is_not_registered_cannot_be_taken_back() -> None:
    with pytest.raises(LookupError, match=r"task testing\.hintd: expected a registered one"):
        testing.unregister("testing.hintd")
