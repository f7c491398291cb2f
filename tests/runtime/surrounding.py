"""Functions round runs, and tasks that end in each way; a child process imports them from here.

Each task gets a file, to which it and all that is around it write what they see.
"""

from __future__ import annotations

import asyncio
import contextvars
import os
import sys
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from typing import Any

from asyncmqd.domain.middleware import AROUND_RUN, around_run
from asyncmqd.domain.retry import Reject
from asyncmqd.domain.tasks import REGISTRY, TaskDef, TaskOptions
from asyncmqd.runtime.execution.middleware import JobRun

ASKED = "ASYNCMQD_TEST_SURROUNDED"  # a variable of the environment
EXECUTORS = ("loop", "thread", "process")
tenant: contextvars.ContextVar[str] = contextvars.ContextVar("tenant", default="none")


def note(path: str, text: str) -> None:
    with Path(path).open("a") as file:
        file.write(f"{text}\n")


def _where() -> str:
    return f"{os.getpid()}-{threading.get_ident()}"


@around_run
def outer(run: JobRun) -> Iterator[None]:
    note(run.args[0], f"outer {run.job.attempt} {run.headers.get('tenant')}")
    try:
        yield
    except Exception:
        pass  # what is around a run cannot have it succeed
    finally:
        note(run.args[0], f"outer {run.outcome} {run.result}")


@around_run
async def in_loop(run: JobRun) -> AsyncIterator[None]:
    tenant.set(run.headers.get("tenant", "nobody"))
    note(run.args[0], "async")
    try:
        yield
    finally:
        note(run.args[0], f"async {run.outcome}")


@around_run
def inner(run: JobRun) -> Iterator[None]:
    note(run.args[0], f"inner in {_where()}")
    if run.job.task.endswith("refused"):
        raise Reject("no such tenant")
    if run.job.task.endswith("yieldless"):
        return
    yield
    if run.job.task.endswith("broken_exit"):
        raise OSError("cannot commit")


DECLARED = AROUND_RUN.declared[-3:]
del AROUND_RUN.declared[-3:]  # in the test's process only a test that asks has them
if "pytest" not in sys.modules and ASKED in os.environ:  # nor in the children of other tests
    AROUND_RUN.declared.extend(DECLARED)


def succeeds(path: str) -> str:
    note(path, f"task of {tenant.get()} in {_where()}")
    return "done"


def fails(path: str) -> None:
    note(path, "task")
    raise ValueError("no")


def refused(path: str) -> None:
    note(path, "task")


yieldless = broken_exit = refused


def cancels(path: str) -> None:
    raise asyncio.CancelledError


def forks(path: str) -> str:
    if not os.fork():
        return "child"
    os.wait()
    return "parent"


def _async(function: Callable[[str], Any]) -> Callable[[str], Any]:
    async def call(path: str) -> Any:
        return function(path)

    return call


for name in ("succeeds", "fails", "refused", "yieldless", "broken_exit", "cancels", "forks"):
    for executor in EXECUTORS:
        function = globals()[name]
        REGISTRY.add(
            TaskDef(
                _async(function) if executor == "loop" else function,
                f"around.{executor}.{name}",
                TaskOptions(executor=None if executor == "loop" else executor),
            )
        )
