"""Whose an asyncio task is: a job's, which is remembered, or ours, which no job gets to see."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from contextvars import Context
from typing import Any
from weakref import WeakKeyDictionary

from asyncmqd.observe.log import HasFields, running_job

_owners: WeakKeyDictionary[asyncio.Task[Any], HasFields] = WeakKeyDictionary()
_present_job = running_job.get
OURS = "asyncmqd"
"""The name of tasks that no job begins. To make one for each takes asyncio a hundredth of a job."""
# From the documentation's page on how to extend asyncio.
_unlist = asyncio._unregister_task  # noqa: SLF001
_exited: list[asyncio.Task[Any]] = []  # by an error that leaves the loop, until it was judged


def begin_task(
    loop: asyncio.AbstractEventLoop,
    coro: Any,
    *,
    name: str | None = None,
    context: Context | None = None,
    **options: Any,
) -> asyncio.Task[Any]:
    """Begin a task; for `loop.set_task_factory`.

    A job that cancels all of `asyncio.all_tasks()`, as programs do at their end, means its own. So
    a task that no job begins is not listed there: cancelled by a job, the daemon would end.
    """
    job = _present_job() if context is None else context.get(running_job)
    if job is None and name is None:
        name = OURS
    task = asyncio.Task(coro, loop=loop, name=name, context=context, **options)
    if job is None:
        _unlist(task)
    else:
        _owners[task] = job
        task.add_done_callback(_keep_exit)
    return task


def _begin_all(loop: asyncio.AbstractEventLoop, coros: Iterable[Any]) -> list[asyncio.Task[Any]]:
    """The same for several of one beginner: the jobs of a round trip."""
    if _present_job() is not None:
        return [begin_task(loop, coro) for coro in coros]
    tasks = [asyncio.Task(coro, loop=loop, name=OURS) for coro in coros]
    for task in tasks:
        _unlist(task)
    return tasks


vars(begin_task)["begin_all"] = _begin_all  # see `loop_tasks`


def _keep_exit(task: asyncio.Task[Any]) -> None:
    if isinstance(_error_of(task), SystemExit | KeyboardInterrupt):
        _exited.append(task)


def _error_of(task: asyncio.Task[Any]) -> BaseException | None:
    # Not `task.exception()`, after which asyncio takes the error for known.
    error: BaseException | None = task._exception  # noqa: SLF001
    return error


def owner_of(task: asyncio.Task[Any]) -> HasFields | None:
    """The job that began the task, if any."""
    return _owners.get(task)


def raiser_of(error: BaseException) -> asyncio.Task[Any] | None:
    """The task of a job that ended by this very error, if any; to be asked once."""
    for task in _exited:
        if _error_of(task) is error:
            _exited.remove(task)
            return task
    return None


def was_told(task: asyncio.Task[Any]) -> bool:
    """Whether somebody who waited for a failed task has got its error."""
    return not task._log_traceback  # noqa: SLF001
