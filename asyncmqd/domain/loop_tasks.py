"""asyncio tasks of ours, and a loop of ours."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine, Iterable
from contextvars import Context
from typing import Any, TypeVar

Result = TypeVar("Result")


class BlockingLoop(asyncio.SelectorEventLoop):
    """The event loop of a thread that blocks until this has ended.

    So nothing is held up by code that blocks in it: the handler of a signal that comes meanwhile.
    """


# What all factories of `create_eager_task_factory` run, from Python 3.12 on.
_EAGER = getattr(getattr(asyncio, "eager_task_factory", None), "__code__", None)


def begin(
    work: Coroutine[Any, Any, Result], *, name: str | None = None, context: Context | None = None
) -> asyncio.Task[Result]:
    """A task that takes its first step at the next turn of the loop, never before.

    An application's eager task factory would have it taken at once, before the caller has noted
    that there is a task. Any other is handed the coroutine alone: it may take no keywords.
    """
    loop = asyncio.get_running_loop()
    if _EAGER is not None and _is_eager(loop):
        return asyncio.Task(work, loop=loop, name=name, context=context)
    task = loop.create_task(work) if context is None else context.run(loop.create_task, work)
    if name is not None:
        task.set_name(name)
    return task


def begin_all(works: Iterable[Coroutine[Any, Any, Result]]) -> list[asyncio.Task[Result]]:
    """The same for several, which the loop is looked up for once.

    A task factory that makes several at once for less says so by an attribute, `begin_all`.
    """
    loop = asyncio.get_running_loop()
    if _EAGER is not None and _is_eager(loop):
        return [asyncio.Task(work, loop=loop) for work in works]
    together = getattr(loop.get_task_factory(), "begin_all", None)
    return [*map(loop.create_task, works)] if together is None else together(loop, works)


def retrieve_error(done: asyncio.Future[Any]) -> None:
    """For `add_done_callback`, where whoever still waits tells the error, and nobody may wait.

    asyncio logs an error that nobody has retrieved.
    """
    if not done.cancelled():
        done.exception()


def _is_eager(loop: asyncio.AbstractEventLoop) -> bool:
    return getattr(loop.get_task_factory(), "__code__", None) is _EAGER
