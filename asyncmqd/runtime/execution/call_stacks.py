"""Where code is right now: the call stacks of threads and of suspended coroutines, for the log."""

from __future__ import annotations

import sys
import traceback
from types import FrameType
from typing import Any

from asyncmqd.runtime.execution.run import Run

_LIMIT = 50  # frames: the innermost ones


def stack_of(run: Run) -> list[str]:
    """Where a running job is, outermost call first, as `FILE:LINE FUNCTION`."""
    if run.thread_id is not None:
        return stack_of_thread(run.thread_id)
    return [_frame_line(frame) for frame in _awaited(run)][:_LIMIT]


def stack_of_thread(thread_id: int) -> list[str]:
    """Where a thread is, outermost call first; empty if it has ended."""
    # The only way to see what another thread does.
    frame = sys._current_frames().get(thread_id)  # noqa: SLF001
    if frame is None:
        return []
    summary = traceback.extract_stack(frame)[-_LIMIT:]
    return [f"{each.filename}:{each.lineno} {each.name}" for each in summary]


def _awaited(run: Run) -> list[FrameType]:
    """The frames of a suspended coroutine: a task's own `get_stack` stops at the first."""
    frames: list[FrameType] = []
    here: Any = run.asyncio_task.get_coro() if run.asyncio_task is not None else None
    while here is not None and len(frames) < _LIMIT:
        frame = getattr(here, "cr_frame", None) or getattr(here, "gi_frame", None)
        if frame is None:
            break
        frames.append(frame)
        here = getattr(here, "cr_await", None) or getattr(here, "gi_yieldfrom", None)
    return frames


def _frame_line(frame: FrameType) -> str:
    return f"{frame.f_code.co_filename}:{frame.f_lineno} {frame.f_code.co_name}"
