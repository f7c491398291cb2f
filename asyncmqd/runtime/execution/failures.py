"""What people see of an error, and what is freed once they have it."""

from __future__ import annotations

import asyncio
import itertools
import traceback
from pathlib import Path
from types import TracebackType
from typing import Any

from asyncmqd.domain.job import Failure
from asyncmqd.domain.retry import leaves, parts

_HERE = str(Path(__file__).parents[1])
_MESSAGE_LIMIT = 2_000  # characters of an error message that are kept
_TRACEBACK_LIMIT = 16_000  # characters of a traceback: the end of it says most
_CAUSES = 5  # errors of an exception group that its message names


def failure_of(error: BaseException) -> Failure:
    """What people get to see of an exception, bounded in size. Never raises."""
    remote = getattr(error, "failure", None)
    if isinstance(remote, Failure):
        return remote
    try:
        lines = "".join(
            traceback.format_exception(type(error), error, _own_frames(error.__traceback__))
        )
    except BaseException:  # noqa: BLE001 - what is shown is the application's code
        lines = ""
    return Failure(
        type(error).__name__,
        _printable(_message(error)[:_MESSAGE_LIMIT]),
        _printable(lines[-_TRACEBACK_LIMIT:]),
    )


def cancellation(error: BaseException, task: asyncio.Task[Any] | None) -> Failure:
    """Why a run, in this asyncio task, ended by a cancellation that nobody asked for."""
    told = getattr(error, "failure", None)
    if isinstance(told, Failure):  # where it was cancelled
        return told
    failure = failure_of(error)
    own = task is not None and task.cancelling() > 0
    why = "the job cancelled itself" if own else "what the job waited for was cancelled"
    message = f"{why}: {failure.message}" if failure.message else why
    return Failure(failure.type, message, failure.traceback)


def _message(error: BaseException) -> str:
    """Its own message; of a group, which only says how many there are, what they are as well."""
    if not isinstance(error, BaseExceptionGroup):
        return _text(error)
    causes = itertools.islice(leaves(error), _CAUSES)
    named = (f"{type(each).__name__}: {_text(each)}" for each in causes)
    return f"{_text(error)}: {'; '.join(named)}"


def _text(error: BaseException) -> str:
    try:
        return str(error)
    except BaseException as broken:  # noqa: BLE001 - __str__ is the application's code
        return f"(its message cannot be shown: {type(broken).__name__})"


def forget(error: BaseException) -> None:
    """Free the frames that the error went through, and so all that they hold.

    Frames and errors often hold each other (a task group's do, before Python 3.13), and such a
    circle is there until the collector comes by: with a megabyte each, that is too late.
    """
    seen: set[int] = set()
    waiting: list[BaseException | None] = [error]
    while waiting:
        each = waiting.pop()
        if each is None or id(each) in seen:
            continue
        seen.add(id(each))
        # The type's own setter could be the application's code, and refuse.
        BaseException.with_traceback(each, None)
        waiting += [each.__cause__, each.__context__]
        waiting += parts(each) if isinstance(each, BaseExceptionGroup) else ()


def _own_frames(frames: TracebackType | None) -> TracebackType | None:
    """The traceback from the task on: how we came to call it helps nobody."""
    while frames is not None and frames.tb_frame.f_code.co_filename.startswith(_HERE):
        frames = frames.tb_next
    return frames


def _printable(text: str) -> str:
    return text.encode("utf-8", "backslashreplace").decode()
