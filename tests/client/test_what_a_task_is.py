"""What a task is to the code around it: a function, with its names and documents."""

from __future__ import annotations

import asyncio
import doctest
import functools
import inspect
import re
import sys
import typing
from typing import Any
from uuid import uuid4

import pytest

from asyncmqd import Queue, connect, run_worker, task
from asyncmqd.client import connection
from asyncmqd.domain.job import JobSpec

NAMES = ("self", "task", "function", "args", "kwargs", "options", "job", "queue", "call", "run")


@task(queue="names", name="names.add")
async def add(a: int, b: int = 0) -> int:
    """Add two numbers."""
    return a + b


@task(queue="names", name="names.anything")
def anything(**values: int) -> int:
    """How many there are.

    >>> anything(a=1)
    1
    """
    return len(values)


@task(queue="names", name="names.something")
async def something(**values: int) -> int:
    return len(values)


@pytest.fixture(autouse=True)
def store(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connection, "_default", None)
    connect(f"memory://{uuid4()}")


@pytest.mark.parametrize(
    ("given", "why"),
    [
        (print, "<built-in function print>, which is no task without @task"),
        (None, "a value of type NoneType: pass the task, then its arguments, without a call"),
        (add.definition.name.encode(), "a value of type bytes: pass the task, then its arguments"),
    ],
    ids=["a function", "what a call returned", "bytes"],
)
def test_what_is_no_task_is_refused_in_words(given: Any, why: str) -> None:
    refused = pytest.raises(
        TypeError, match="task: expected a task or the name of one, got " + re.escape(why)
    )
    with refused:
        Queue("names").add_sync(given)
    with refused:
        Queue("names").add_repeatable(given, every=5)


async def test_a_task_may_have_parameters_of_any_name() -> None:
    values = dict.fromkeys(NAMES, 1)
    assert anything(**values) == await something(**values) == len(NAMES)
    jobs = [await each.enqueue(**values) for each in (anything, something)]
    jobs.append(await asyncio.to_thread(anything.enqueue_sync, **values))
    worker = asyncio.create_task(run_worker("names"))
    assert [await job.result(timeout=60) for job in jobs] == [len(NAMES)] * 3
    worker.cancel()
    await asyncio.wait([worker])


@task(queue="names", name="names.fetch")
async def fetch(url: str, timeout: int = 1) -> None: ...


def test_under_another_loop_than_asyncio_s_it_is_said_what_to_do() -> None:
    with pytest.raises(RuntimeError, match="under another, such as trio's, call enqueue_sync in a"):
        add.enqueue(1).send(None)


def test_an_option_that_may_be_a_parameter_is_not_guessed_at() -> None:
    queue = Queue("names")
    for enqueue in (queue.add_sync, functools.partial(queue.add_repeatable, every=60)):
        with pytest.raises(TypeError, match=r"^timeout: expected to know whether the"):
            enqueue(fetch, timeout=5, kwargs={"url": "x"})
    job = queue.add_sync(fetch, "x", 2, timeout=5, delay=1)
    assert (job.args, job.kwargs) == (["x", 2], {})
    assert fetch.options(timeout=5).job("x").spec.timeout == 5
    assert fetch.enqueue_sync("x", timeout=7).kwargs == {"timeout": 7}


@pytest.mark.parametrize("wide", [False, True], ids=["add_sync", "add"])
def test_a_queue_takes_what_the_options_of_a_task_ask_for(wide: bool) -> None:
    queue = Queue("names")

    def added(*args: Any, **options: Any) -> JobSpec:
        if wide:
            return asyncio.run(queue.add(*args, **options)).spec
        return queue.add_sync(*args, **options).spec

    mine = fetch.options(timeout=5, priority=1, ttl=90, queue="names", job_id=f"mine-{wide}")
    spec = added(mine, "u")
    assert (spec.timeout, spec.priority, spec.ttl, spec.id) == (5, 1, 90, f"mine-{wide}")
    spec = added(mine, "u", 1, timeout=7, priority=None, retries=2, job_id=f"call-{wide}")
    assert (spec.timeout, spec.priority, spec.retries, spec.id) == (7, 1, 2, f"call-{wide}")
    assert added(fetch, "u").timeout is None
    with pytest.raises(ValueError, match=r"^queue: expected 'names', got 'others'"):
        added(fetch.options(queue="others"), "u")


def test_a_schedule_takes_what_the_options_of_a_task_ask_for() -> None:
    declare = functools.partial(Queue("names").add_repeatable, every=60, args=["u", 1])
    mine = fetch.options(timeout=5, priority=1, queue="names")
    made = declare(mine)
    assert (made.timeout, made.priority, made.retries, made.every) == (5, 1, None, 60)
    made = declare(mine, timeout="7s", priority=None, ttl=9)
    assert (made.timeout, made.priority, made.ttl) == (7, 1, 9)
    for meaningless in ({"queue": "others"}, {"delay": 5}, {"job_id": "a"}):
        (name,) = meaningless
        with pytest.raises(TypeError, match=f"^{name}: expected a known option"):
            declare(fetch.options(**meaningless))


def test_a_task_is_documented_as_its_function_is() -> None:
    for each in (add, anything):
        function = each.definition.function
        assert typing.get_type_hints(each) == typing.get_type_hints(function)
        assert inspect.getmodule(each) is sys.modules[__name__]
        assert (each.__qualname__, each.__doc__) == (function.__qualname__, function.__doc__)
    (found,) = doctest.DocTestFinder(recurse=False).find(anything, "anything")
    assert len(found.examples) == 1
