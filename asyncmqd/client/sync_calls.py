"""The event loop behind `enqueue_sync`: for callers that have none (Django, WSGI, scripts).

It runs in a daemon thread, which is started at the first call, and again when it has ended.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import sys
import threading
import time
from collections.abc import Coroutine
from types import FrameType
from typing import Any, Generic, TypeVar

from asyncmqd.backends.base import StoreError, StoreUncertain
from asyncmqd.domain import clock, os_threads
from asyncmqd.domain.loop_tasks import BlockingLoop

Result = TypeVar("Result")

LOOK_EVERY = 1.0  # seconds between looks whether the thread is still there
_POLL = 0.002  # seconds, where no other thread can wake a caller


def run_sync(work: Coroutine[Any, Any, Result], limit: float | None = None) -> Result:
    """Run a coroutine for a caller without an event loop.

    Raises RuntimeError inside of one and while the interpreter shuts down, StoreError if no thread
    can be started, and StoreUncertain if the thread ends, or after `limit` seconds.
    """
    try:
        refuse_here()
        call = _Call(work, _serving())
    except BaseException:
        work.close()
        raise
    return call.result(limit)


def refuse_here() -> None:
    """Raise RuntimeError where it would wait for ever, or hold up others."""
    if sys.is_finalizing():
        raise RuntimeError("the interpreter shuts down: no further call is possible")
    try:
        loop = asyncio.get_running_loop()
    except RuntimeError:
        return
    if isinstance(loop, BlockingLoop):  # the handler of a signal
        return
    # asyncio asks the thread, which greenlets share: it may be another one that turns the loop.
    if os_threads.patched_by() is None or _is_called_by_a_loop():
        raise RuntimeError(
            "this would block the event loop here: await enqueue instead of enqueue_sync, and so on"
        )


def _is_called_by_a_loop() -> bool:
    frame: FrameType | None = sys._getframe()  # noqa: SLF001 - the documented way to the callers
    while frame is not None:
        if frame.f_code is asyncio.BaseEventLoop.run_forever.__code__:
            return True
        frame = frame.f_back
    return False


# ------------------------------------------------------------------ the thread


class _Thread:
    """A thread and its event loop."""

    def __init__(self) -> None:
        self.pid = os.getpid()
        self.ended = False
        self.calls: set[_Call[Any]] = set()
        make = asyncio.new_event_loop
        if os_threads.patched_by():
            # What uvloop stands on has no greenlets in its place. Imported by nobody else here.
            import uvloop

            make = uvloop.new_event_loop
        self.loop: asyncio.AbstractEventLoop = make()

    def start(self) -> None:
        """Raises RuntimeError."""
        try:
            os_threads.start(self._run, "asyncmqd-enqueue")
        except RuntimeError:
            self.loop.close()
            raise

    def serves(self) -> bool:
        """Whether calls can be handed to it: a fork has the object, but not the thread."""
        return not self.ended and self.pid == os.getpid()

    def _run(self) -> None:
        try:
            self.loop.run_forever()
        finally:
            self.ended = True
            for call in list(self.calls):
                call.give_up()
            with contextlib.suppress(RuntimeError):
                self.loop.close()


_thread: _Thread | None = None  # that serves this process
_lock = threading.Lock()
_starters: set[int] = set()  # the threads that hold it or wait for it


def _serving() -> _Thread:
    """Raises StoreError, for another try may help."""
    if _thread is not None and _thread.serves():
        return _thread
    # A new event loop is logged, and a handler may enqueue; so may one of a signal that comes now.
    me = threading.get_ident()
    if me in _starters:
        raise StoreError("not begun: called by a handler while this thread's first call begins")
    _starters.add(me)
    try:
        with _lock:
            return _started()
    finally:
        _starters.discard(me)


def _started() -> _Thread:
    global _thread  # noqa: PLW0603 - one a process
    if _thread is None or not _thread.serves():
        try:
            starting = _Thread()
            starting.start()
        except (RuntimeError, OSError) as error:
            raise StoreError(f"no thread can be started to do it: {error}") from error
        _thread = starting
    return _thread


def _renew_lock() -> None:
    global _lock  # noqa: PLW0603 - whoever held it stayed behind in the parent
    _lock = threading.Lock()
    _starters.clear()


os.register_at_fork(after_in_child=_renew_lock)


# ------------------------------------------------------------------ a call


class _Call(Generic[Result]):
    """A coroutine that the thread runs, and the caller who waits for it."""

    def __init__(self, work: Coroutine[Any, Any, Result], thread: _Thread) -> None:
        self._work = work
        self._thread = thread
        self._task: asyncio.Task[None] | None = None
        self._woken = threading.Event()
        self._done = False
        self._result: Any = None
        self._error: BaseException | None = None
        thread.calls.add(self)
        with contextlib.suppress(RuntimeError):  # closed in this moment: the caller looks
            thread.loop.call_soon_threadsafe(self._begin)

    def result(self, limit: float | None) -> Result:
        """Wait for it. Raises what it raises, StoreError and StoreUncertain."""
        over = None if limit is None else clock.monotonic() + limit
        try:
            while not self._wait(over):
                if not self._thread.serves():
                    self.give_up()
                elif over is not None and clock.monotonic() >= over:
                    self._abandon(f"within {limit:g} s")
        except BaseException:  # of a signal, or of a greenlet's time limit
            self._abandon("before its caller was interrupted")
            raise
        try:
            if self._error is not None:
                raise self._error
            return self._result  # type: ignore[no-any-return]
        finally:
            self._error = None  # whose traceback has this frame

    def _wait(self, over: float | None) -> bool:
        """For a while; whether it is done."""
        seconds = LOOK_EVERY
        if over is not None:
            seconds = max(0.0, min(seconds, over - clock.monotonic()))
        if os_threads.patched_by() != "eventlet":
            self._woken.wait(seconds)
        else:  # whose locks belong to a thread
            end = clock.monotonic() + seconds
            while not self._done and clock.monotonic() < end:
                time.sleep(_POLL)
        return self._done

    def _late(self, when: str) -> StoreError:
        if self._task is None:
            return StoreError(f"not begun {when}")
        return StoreUncertain(f"no answer {when}")

    def _abandon(self, when: str) -> None:
        """Nobody waits for it any more: without this, a wait for a result might never end."""
        self._end(None, self._late(when))
        with contextlib.suppress(RuntimeError):  # closed in this moment
            self._thread.loop.call_soon_threadsafe(self._cancel)

    def give_up(self) -> None:
        """The thread has ended."""
        self._end(None, self._late("before the thread ended"))
        if self._task is None:
            self._work.close()

    # ------------------------------------------------------------------ in the thread

    def _begin(self) -> None:
        if self._done:  # the caller waits no more
            self._work.close()
        else:
            self._task = asyncio.ensure_future(self._run())

    async def _run(self) -> None:
        try:
            result = await self._work
        except BaseException as error:  # noqa: BLE001 - it is the caller's
            self._end(None, error)
        else:
            self._end(result, None)

    def _cancel(self) -> None:
        if self._task is not None:
            self._task.cancel()

    def _end(self, result: Any, error: BaseException | None) -> None:
        """The first end counts."""
        self._thread.calls.discard(self)
        if not self._done:
            self._result, self._error = result, error
            self._done = True
            self._woken.set()
