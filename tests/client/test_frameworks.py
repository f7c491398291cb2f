"""What other frameworks make of a task: they ask `inspect` what they are to await."""

from __future__ import annotations

import asyncio
import functools
import inspect
import warnings
from collections.abc import Callable
from typing import Any

import pytest
from asgiref.sync import async_to_sync, sync_to_async

from asyncmqd import Queue, Task, connect, task
from asyncmqd.backends import BaseBackend, InMemoryBackend

ran: list[int] = []


@task(name="frameworks.note")
async def note(number: int = 0) -> int:
    ran.append(number)
    return number


@task(name="frameworks.plain")
def plain(number: int = 0) -> int:
    return number


queue = Queue("default")
ENQUEUE: dict[str, Callable[..., Any]] = {
    "enqueue": note.enqueue,
    "delay": note.delay,
    "send of a plain one": plain.send,
    "options": note.options(delay=60).enqueue,
    "partial": functools.partial(note.enqueue),
    "Queue.add": functools.partial(queue.add, note),
}


@pytest.fixture(autouse=True)
def store() -> BaseBackend:
    ran.clear()
    return connect(InMemoryBackend())


@pytest.mark.parametrize("call", ENQUEUE.values(), ids=ENQUEUE)
def test_what_looks_like_a_coroutine_function_is_one(call: Callable[..., Any]) -> None:
    assert inspect.iscoroutinefunction(call)
    coroutine = call(1)
    assert inspect.iscoroutine(coroutine)
    coroutine.close()


def test_a_task_is_one_where_its_function_is() -> None:
    assert inspect.iscoroutinefunction(note)
    assert inspect.iscoroutinefunction(note.options(delay=1))
    assert inspect.iscoroutinefunction(functools.partial(note, 1))
    assert not inspect.iscoroutinefunction(plain)
    assert str(inspect.signature(note)) == "(number: 'int' = 0) -> 'int'"


@pytest.mark.parametrize("call", ENQUEUE.values(), ids=ENQUEUE)
def test_a_background_task_of_fastapi_enqueues(call: Callable[..., Any]) -> None:
    from tests.client.behind_fastapi import in_background

    with in_background(call) as client:
        assert client.get("/").status_code == 200
    counts = asyncio.run(queue.counts())
    assert counts.waiting + counts.delayed == 1


def test_a_task_is_what_fastapi_calls_and_awaits() -> None:
    from tests.client.behind_fastapi import in_all_places

    with in_all_places(note, plain) as client:
        given = [client.get(f"/{name}?number=3").json() for name in ("note", "plain", "depends")]
    assert given == [3, 3, 3]
    assert ran == [3, 3, 9]


@pytest.mark.parametrize("call", ENQUEUE.values(), ids=ENQUEUE)
def test_asgiref_takes_it_for_async_without_a_warning(call: Callable[..., Any]) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        job = async_to_sync(call)(1)
    assert job.args == [1]
    with pytest.raises(TypeError, match="sync"):
        sync_to_async(call)


def test_the_kind_stays_through_options_and_pickles() -> None:
    import pickle

    for each in (note, plain):
        assert isinstance(each, Task)
        for copy in (each.options(priority=1), pickle.loads(pickle.dumps(each))):
            assert type(copy) is type(each)
