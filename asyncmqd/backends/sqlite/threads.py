"""A thread that carries out requests in groups, and how their results get back."""

from __future__ import annotations

import abc
import asyncio
import concurrent.futures
import contextlib
import queue
import sqlite3
from collections import deque
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Generic, TypeVar

from asyncmqd.backends.base import StoreError, StoreUncertain
from asyncmqd.backends.call_withdrawal import departing
from asyncmqd.backends.sqlite.corruption import damage
from asyncmqd.backends.sqlite.errors import busy, damaged, is_busy, translated
from asyncmqd.backends.sqlite.file import DatabaseFile
from asyncmqd.backends.sqlite.transaction import Snapshot
from asyncmqd.backends.sqlite.write_order import TRY_EVERY
from asyncmqd.domain import clock, os_threads

_View = TypeVar("_View", bound=Snapshot)
_Result = TypeVar("_Result")

GROUP = 1_000  # requests that one transaction carries at most
BUSY_LIMIT = 15.0  # seconds for which another process may hold the file
# Seconds between two tries to get it, once many were in vain. SQLite's own wait, with sleeps of up
# to 100 ms, would leave one process behind while the others take turns.
BUSY_PAUSE = 0.001
SHORT_WAIT = 0.005  # seconds for which it is tried more often


running: set[StoreThread[Any]] = set()
"""The threads of this process that may have a connection, also those that are about to end."""


class Request:
    """Something to do in the thread, and the future that waits for it."""

    __slots__ = (
        "begun",
        "early",
        "error",
        "flushes",
        "future",
        "given_up",
        "loop",
        "result",
        "work",
    )

    def __init__(
        self,
        work: Callable[[Any], Any],
        future: asyncio.Future[Any] | concurrent.futures.Future[Any],
        loop: asyncio.AbstractEventLoop | None,
        *,
        flushes: bool = True,
        early: bool = False,
    ) -> None:
        self.work = work
        self.flushes = flushes  # whether it has to be on the disk before it is answered
        self.early = early  # whether others may see it before that
        self.future = future
        self.loop = loop  # where the future lives; None for one that any thread may settle
        self.begun = self.given_up = False
        self.result: Any = None
        self.error: Exception | None = None

    def give_up(self, path: Path, limit: float) -> None:
        """Wait no more. Runs where the future lives."""
        self.given_up = True  # first: the thread looks at it once it has said that it begins
        if self.future.done():
            return
        if self.begun:
            self.future.set_exception(StoreUncertain(f"{path}: no answer within {limit:g} s"))
        else:
            self.future.set_exception(StoreError(f"{path}: not begun within {limit:g} s"))

    def settle(self) -> None:
        """Wake who waits. Runs where the future lives."""
        if self.future.done():  # cancelled, or given up
            return
        if self.error is not None:
            self.future.set_exception(self.error)
        else:
            self.future.set_result(self.result)


class Patience:
    """Ends the wait of requests of one event loop after their time: one timer for all."""

    def __init__(self, path: Path, limit: float) -> None:
        self._path = path
        self._limit = limit  # seconds
        self._waiting: deque[tuple[float, Request]] = deque()  # and the loop's time of the call
        self._timer: asyncio.TimerHandle | None = None

    def watch(self, request: Request, loop: asyncio.AbstractEventLoop) -> None:
        """From now on."""
        self._drop_done()
        self._waiting.append((loop.time(), request))
        if self._timer is None:
            self._timer = loop.call_later(self._limit, self._look, loop)

    def _drop_done(self) -> None:
        while self._waiting and self._waiting[0][1].future.done():
            self._waiting.popleft()

    def _look(self, loop: asyncio.AbstractEventLoop) -> None:
        over = loop.time() - self._limit + 0.001  # timers are early
        while self._waiting and self._waiting[0][0] <= over:
            self._waiting.popleft()[1].give_up(self._path, self._limit)
        self._drop_done()
        next_end = self._waiting[0][0] + self._limit if self._waiting else None
        self._timer = None if next_end is None else loop.call_at(next_end, self._look, loop)

    async def close(self) -> None:
        """The loop ends."""
        self.abandon()

    def abandon(self) -> None:
        """The same."""
        if self._timer is not None:
            self._timer.cancel()


async def ask(
    thread: StoreThread[_View],
    work: Callable[[_View], _Result],
    patience: Patience | None = None,
    *,
    flushes: bool = True,
    early: bool = False,
) -> _Result:
    """Have `work` done in the thread; its result.

    Raises StoreError when `patience` ends, and StoreUncertain if it had begun by then.
    """
    loop = asyncio.get_running_loop()
    future: asyncio.Future[_Result] = loop.create_future()
    request = Request(work, future, loop, flushes=flushes, early=early)
    if (departure := departing.get()) is not None:
        departure.has_begun = lambda: request.begun
    if patience is not None:
        patience.watch(request, loop)
    thread.submit(request)
    return await future


def ask_blocking(
    thread: StoreThread[_View],
    work: Callable[[_View], _Result],
    limit: float,
    *,
    flushes: bool = True,
) -> _Result:
    """The same for a caller without an event loop. Raises StoreError after `limit` seconds."""
    future: concurrent.futures.Future[_Result] = concurrent.futures.Future()
    thread.submit(Request(work, future, None, flushes=flushes))
    try:
        return future.result(limit)
    except concurrent.futures.TimeoutError:
        future.cancel()
        raise StoreError(f"{thread.file.path}: no answer within {limit:g} s") from None


def deliver(requests: list[Request]) -> None:
    """Settle the futures, with one call to each event loop."""
    loops = {request.loop for request in requests}
    for loop in loops:
        settled = requests
        if len(loops) > 1:
            settled = [request for request in requests if request.loop is loop]
        if loop is None:
            _settle(settled)
        else:
            with contextlib.suppress(RuntimeError):  # the loop was closed; nobody waits
                loop.call_soon_threadsafe(_settle, settled)


def _settle(requests: list[Request]) -> None:
    for request in requests:
        request.settle()


class StoreThread(abc.ABC, Generic[_View]):
    """One thread with one connection, opened at its first request and again after a failure.

    Requests that came while it was busy are its next group.
    """

    def __init__(self, file: DatabaseFile, name: str) -> None:
        self.file = file
        self.stopping = False
        self._requests: queue.SimpleQueue[Request | None] = os_threads.simple_queue()
        self._lock = os_threads.lock()  # nothing is submitted behind the end
        self._farewell: Request | None = None
        self._connection: sqlite3.Connection | None = None
        self._at_work = os_threads.lock()  # held while the connection is in use
        running.add(self)
        os_threads.start(self._run, f"asyncmqd-sqlite-{name}")

    def submit(self, request: Request) -> None:
        """Have it done; its future tells."""
        with self._lock:
            if not self.stopping:
                self._requests.put(request)
                return
        self._refuse([request])

    def stop(self, farewell: Request | None = None) -> None:
        """End after the present group; `farewell` is settled when the file is closed."""
        with self._lock:
            self._farewell = farewell
            self.stopping = True
            self._requests.put(None)

    def pause(self, deadline: float) -> bool:
        """See `forks.Pausable`."""
        if not self._at_work.acquire(timeout=max(0.0, deadline - clock.monotonic())):
            return False
        self._disconnect()
        return True

    def resume(self) -> None:
        """See `forks.Pausable`."""
        self._at_work.release()

    def open(self) -> sqlite3.Connection:
        """A connection for this thread."""
        return self.file.open()

    def close(self, connection: sqlite3.Connection) -> None:
        """Close one that `open` made."""
        self.file.close(connection)

    def prepare(self, group: Sequence[Request]) -> None:
        """These are the next."""

    @abc.abstractmethod
    def begin(self, connection: sqlite3.Connection) -> _View:
        """Begin a transaction."""

    def end_waiting(self) -> None:
        """A transaction has begun, or does not."""

    def finish(self, view: _View) -> None:
        """End it: all was done."""
        view.commit()

    def tidy(self, connection: sqlite3.Connection) -> None:
        """Do what is left to do once all who asked have their answers."""

    # ------------------------------------------------------------------ in the thread

    def _run(self) -> None:
        while not self.stopping:
            group = self._next_group()
            with self._at_work:
                self._serve(group)
            deliver(group)
            del group  # it would keep the event loop of the last who asked
            with self._at_work:
                if self._connection is not None:
                    self.tidy(self._connection)
        with self._at_work:
            self._disconnect()
        running.discard(self)
        self._refuse(self._left())
        if self._farewell is not None:
            deliver([self._farewell])

    def _serve(self, group: list[Request]) -> None:
        if not group:
            return
        try:
            self._carry_out(group)
        except Exception as error:  # noqa: BLE001 - whatever it is, who asked is to know it
            self._roll_back(error)
            if len(group) == 1 or isinstance(error, StoreError):
                for request in group:
                    request.error = self._explained(error)
            else:  # one of them is at fault, and only that one is to know
                for request in group:
                    self._serve([request])

    def _carry_out(self, group: list[Request]) -> None:
        """Do what is requested, in one transaction."""
        self.prepare(group)
        view = self._begun()
        for request in group:
            request.begun = True
            if not (request.given_up or request.future.cancelled()):
                request.result = request.work(view)
        self.finish(view)

    def _begun(self) -> _View:
        """A transaction. Raises StoreError if others leave no room for one."""
        began = clock.monotonic()
        try:
            while True:
                try:
                    return self.begin(self._connected())
                except sqlite3.Error as error:
                    if not is_busy(error):
                        raise
                    self._roll_back(error)
                    waited = clock.monotonic() - began
                    if waited > BUSY_LIMIT or self.stopping:
                        raise busy(self.file.path) from error
                    self._at_work.release()  # nothing is under way: this process may be forked
                    os_threads.sleep(TRY_EVERY if waited < SHORT_WAIT else BUSY_PAUSE)
                    self._at_work.acquire()
        finally:
            self.end_waiting()

    def _connected(self) -> sqlite3.Connection:
        """The connection to the file, if that is still the one at the path."""
        if self._connection is None:
            self.file.look()
            self._connection = self.open()
        else:
            self.file.confirm()
        return self._connection

    def _roll_back(self, error: Exception) -> None:
        connection = self._connection
        if isinstance(error, sqlite3.Error) and not is_busy(error):
            self._disconnect()  # nothing of it is trusted any more
        elif connection is not None and connection.in_transaction:
            connection.execute("ROLLBACK")

    def _disconnect(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            self.close(connection)

    def _explained(self, error: Exception) -> Exception:
        """The error as the contract wants it; one for each caller, who adds its own traceback."""
        if isinstance(error, sqlite3.Error):
            return translated(self.file.path, error) or error
        if isinstance(error, StoreError):
            return type(error)(*error.args)
        return self._damage_behind(error) or error

    def _damage_behind(self, error: Exception) -> StoreError | None:
        """What a row that cannot be read says of the file; None if the caller is at fault."""
        if self._connection is None or not isinstance(
            error, TypeError | ValueError | ArithmeticError
        ):
            return None
        reason = damage(self._connection)
        return damaged(self.file.path, reason) if reason else None

    def _next_group(self) -> list[Request]:
        request = self._requests.get()
        group: list[Request] = []
        while request is not None:
            if not request.future.done():
                group.append(request)
            if len(group) == GROUP:
                break
            try:
                request = self._requests.get_nowait()
            except queue.Empty:
                break
        return group

    def _left(self) -> list[Request]:
        left = []
        with contextlib.suppress(queue.Empty):
            while True:
                request = self._requests.get_nowait()
                if request is not None:
                    left.append(request)
        return left

    def _refuse(self, requests: list[Request]) -> None:
        for request in requests:
            request.error = StoreError(f"{self.file.path}: the store was closed")
        deliver(requests)
