"""Tasks that misbehave alike in every executor; a child process imports them from here.

Each is registered as `EXECUTOR.NAME`, in the loop as an async function.
"""

from __future__ import annotations

import asyncio
import functools
import gc
import inspect
import math
import time
import weakref
from collections.abc import Callable
from pathlib import Path
from typing import Any

from asyncmqd.domain.retry import Reject, Retry, backoff
from asyncmqd.domain.task_functions import Origin
from asyncmqd.domain.tasks import REGISTRY, TaskDef, TaskOptions
from asyncmqd.runtime.job_context import current_job

EXECUTORS = ("loop", "thread", "process")


def _raises(error: BaseException) -> Callable[[], Any]:
    def raising() -> None:
        raise error

    return raising


def _breaks(*_: object) -> float:
    raise SystemExit("broken")


def _group(*errors: Exception) -> Callable[[], Any]:
    return _raises(ExceptionGroup("some", [ExceptionGroup("inner", errors[:1]), *errors[1:]]))


RULES: dict[str, tuple[Callable[[], Any], dict[str, Any]]] = {
    "no_type": (_raises(ValueError("v")), {"retry_on": ([ValueError],)}),
    "no_type_not": (_raises(ValueError("v")), {"dont_retry_on": ("ValueError",)}),
    "backoff_raises": (_raises(ValueError("v")), {"backoff": backoff(_breaks)}),
    "backoff_none": (_raises(ValueError("v")), {"backoff": backoff(lambda *_: None)}),
    "backoff_nan": (_raises(ValueError("v")), {"backoff": backoff(lambda *_: math.nan)}),
    "backoff_negative": (_raises(ValueError("v")), {"backoff": backoff(lambda *_: -1)}),
    "backoff_by_error": (_raises(ValueError(3600)), {"backoff": backoff(lambda _, e: e.args[0])}),
    "reject": (_group(OSError("o"), Reject("no")), {}),
    "retry": (_group(Retry("r", after=3600), ValueError()), {"retry_on": (KeyError,)}),
    "reject_first": (_group(Reject("no"), Retry(after=1)), {}),
    "all_of_them": (_group(OSError("o"), ConnectionError()), {"retry_on": (OSError,)}),
    "one_of_them": (_group(OSError("o"), ValueError("v")), {"retry_on": (OSError,)}),
    "none_of_those": (_group(ValueError("v"), OSError("o")), {"dont_retry_on": (OSError,)}),
    "the_group": (_group(OSError("o")), {"retry_on": (ExceptionGroup,)}),
}
"""By name: what is called, and the task's rules."""


# ---------------------------------------------------------------------- awaitables


async def _inner(number: int) -> int:
    await asyncio.sleep(0)
    return number + 1


@functools.wraps(_inner)
def wrapped(number: int) -> Any:
    """A plain decorator round an async function."""
    return _inner(number)


class Awaitable:
    def __await__(self) -> Any:
        return _inner(6).__await__()


async def returns_awaitable() -> Any:
    return Awaitable()


# ---------------------------------------------------------------------- cancellations


async def cancels_itself() -> None:
    task = asyncio.current_task()
    assert task is not None
    task.cancel()
    await asyncio.sleep(3600)


# ---------------------------------------------------------------------- results


def unstorable() -> Any:
    """What JSON cannot carry."""
    return {"rows": [1, Big()]}


# ---------------------------------------------------------------------- memory


class Big:
    """What a failing function holds."""


_held: list[weakref.ref[Big]] = []


def _hold() -> Big:
    gc.disable()
    big = Big()
    _held.append(weakref.ref(big))
    return big


def fails_with_it() -> None:
    big = _hold()
    raise ValueError(type(big).__name__)


def fails_by_another() -> None:
    try:
        fails_with_it()
    except ValueError as error:
        kept = error
        raise RuntimeError("again") from kept


async def fails_in_a_group() -> None:
    async def part() -> None:
        fails_with_it()

    big = _hold()
    async with asyncio.TaskGroup() as group:
        group.create_task(part())
        await asyncio.sleep(10)
    del big


async def fails_by_itself() -> None:
    try:
        fails_with_it()
    except ValueError as error:
        own = error
        raise own from own.__cause__


HOLDING: dict[str, Callable[[], Any]] = {
    "fails": fails_with_it,
    "fails_by_another": fails_by_another,
    "fails_in_a_group": fails_in_a_group,
    "fails_by_itself": fails_by_itself,
}


def still_held() -> int:
    """How many of the objects are alive, with the collector switched off meanwhile."""
    alive = sum(ref() is not None for ref in _held)
    _held.clear()
    gc.enable()
    return alive


def waits_for_file(began: str, end: str) -> str:
    Path(began).touch()
    while not Path(end).exists():
        time.sleep(0.01)
    return "whole"


def instant() -> str | None:
    """Of the schedule, as the job knows it."""
    known = current_job().instant
    return None if known is None else known.isoformat()


# ---------------------------------------------------------------------- registered


def _in_loop(function: Callable[..., Any]) -> Callable[..., Any]:
    async def call(*args: Any) -> Any:
        value = function(*args)
        return await value if asyncio.iscoroutine(value) else value

    return call


def registered(executor: str, name: str, function: Callable[..., Any], **options: Any) -> None:
    if executor == "loop":
        function = _in_loop(function)
    else:
        options["executor"] = executor
        if inspect.iscoroutinefunction(function):
            function = functools.partial(function)
    options = {"retries": 1, **options}
    REGISTRY.add(TaskDef(function, f"{executor}.{name}", TaskOptions(**options), Origin.here()))


for _executor in EXECUTORS:
    for _name, (_function, _options) in RULES.items():
        registered(_executor, _name, _function, **_options)
    for _name, _function in HOLDING.items():
        registered(_executor, _name, _function, dont_retry_on=(Exception,))
    registered(_executor, "still_held", still_held)
    registered(_executor, "instant", instant)
    registered(_executor, "unstorable", unstorable)
    registered(_executor, "cancels_itself", cancels_itself)
    registered(_executor, "waits_for_cancelled", _raises(asyncio.CancelledError("c")))
    registered(_executor, "stops", _raises(StopIteration("s")), dont_retry_on=(Exception,))
registered("process", "waits_for_file", waits_for_file)
for _executor in ("thread", "process"):
    registered(_executor, "wrapped", wrapped)
    registered(_executor, "awaitable", Awaitable)
