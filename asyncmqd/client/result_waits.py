"""All waits for results in one event loop share wake-ups and looks at the store.

However many wait: one call of the store sleeps for all of them, and one call reads all jobs that
are to be looked at in one moment.
"""

from __future__ import annotations

import asyncio
import contextvars
from collections.abc import Coroutine
from typing import Any, TypeVar
from weakref import WeakKeyDictionary

from asyncmqd.backends.base import BaseBackend, StoreError, StoreRefused
from asyncmqd.backends.per_loop import PerLoop
from asyncmqd.client.outbox import own
from asyncmqd.domain import clock
from asyncmqd.domain.heartbeat import Serving, serving_of
from asyncmqd.domain.job import Record
from asyncmqd.domain.loop_tasks import begin

ROUND = 60.0  # seconds of one sleep
PAUSE = 0.5  # seconds before another try, when the store cannot be reached
PATIENCE = 60.0  # seconds without the store after which nobody waits any more

Result = TypeVar("Result")
_Reply = asyncio.Future[Record | None]
_Replies = dict[str, dict[str, list[_Reply]]]  # by queue and id


class Looks:
    """Looks at jobs that are asked for in the same moment, or while a look is under way."""

    def __init__(self) -> None:
        self._wanted: _Replies = {}
        self.task: asyncio.Task[None] | None = None

    async def look(self, backend: BaseBackend, queue: str, id: str) -> Record | None:
        """What the store has of the job now; None if it has none. Raises StoreError."""
        reply: _Reply = asyncio.get_running_loop().create_future()
        self._wanted.setdefault(queue, {}).setdefault(id, []).append(reply)
        if self.task is None:
            self.task = begun(self._look(backend))
        return await reply

    async def _look(self, backend: BaseBackend) -> None:
        wanted: _Replies = {}
        try:
            while self._wanted:
                queue, ids = self._wanted.popitem()
                wanted = {queue: ids}
                try:
                    records = await backend.get(queue, list(ids))
                except Exception as error:  # noqa: BLE001 - it is theirs who asked
                    _fail(wanted, error)
                    continue
                for replies, record in zip(ids.values(), records, strict=True):
                    _answer(replies, record)
        finally:
            self.task = None
            _give_up(wanted)
            _give_up(self._wanted)


class Waits:
    """All that wait for jobs of one store to end."""

    def __init__(self) -> None:
        self.looks = Looks()
        self._waiting: _Replies = {}
        self._listener: asyncio.Task[None] | None = None
        self._sleep: asyncio.Task[dict[str, set[str]]] | None = None
        self._heard: set[str] = set()  # queues of which the sleep knows
        self._owed: dict[str, set[str]] = {}  # ended, as the store told, and not looked at yet
        self._failing: float | None = None  # since when, by the monotonic clock
        self._asking: asyncio.Task[list[Serving]] | None = None

    async def end(self, backend: BaseBackend, queue: str, id: str) -> Record | None:
        """The job's record once it has ended; None if the store has it no more.

        Raises StoreError, when the store cannot be reached at first or for a minute.
        """
        reply: _Reply = asyncio.get_running_loop().create_future()
        self._waiting.setdefault(queue, {}).setdefault(id, []).append(reply)
        try:
            # Once it is known here, no end of it is missed.
            record = await self.looks.look(backend, queue, id)
            if record is None or record.state.terminal:
                return record
            self._listen(backend, queue)
            return await reply
        finally:
            self._forget(queue, id, reply)

    async def close(self) -> None:
        """The loop ends, and with it all who waited."""
        for task in (self._listener, self.looks.task, self._asking):
            if task is not None:
                task.cancel()

    def abandon(self) -> None:
        """Nothing has to be closed."""

    async def serving(self, backend: BaseBackend) -> list[Serving]:
        """What the living processes say of themselves. Raises StoreError."""
        if self._asking is None:
            self._asking = begun(serving(backend))
            self._asking.add_done_callback(self._note_asked)
        return await asyncio.shield(self._asking)

    def _note_asked(self, asked: asyncio.Task[list[Serving]]) -> None:
        self._asking = None
        if not asked.cancelled():
            asked.exception()  # who asked may be gone

    def _forget(self, queue: str, id: str, reply: _Reply) -> None:
        ids = self._waiting[queue]
        ids[id].remove(reply)
        if not ids[id]:
            del ids[id]
        if not ids:
            del self._waiting[queue]
        if not self._waiting and self._sleep is not None:
            self._sleep.cancel()

    def _listen(self, backend: BaseBackend, queue: str) -> None:
        if self._listener is None:
            self._listener = begun(self._serve(backend))
        elif queue not in self._heard and self._sleep is not None:
            self._sleep.cancel()  # it begins anew, with this queue

    async def _serve(self, backend: BaseBackend) -> None:
        """As long as anybody waits."""
        self._failing = None  # an outage in which all gave up waiting may be over for hours
        try:
            while self._waiting:
                try:
                    await self._hear(backend)
                    await self._look(backend)
                    self._failing = None
                except StoreError as error:
                    await self._bear(error)
        except Exception as error:  # noqa: BLE001 - it is theirs who wait
            _fail(self._waiting, error)
        finally:
            self._listener = None
            self._owed.clear()
            _give_up(self._waiting)

    async def _hear(self, backend: BaseBackend) -> None:
        """Sleep until the store tells of an end, or somebody waits for another queue."""
        if self._owed:
            return
        self._heard = set(self._waiting)
        self._sleep = begin(backend.wait_ended(self._waiting, ROUND))
        try:
            await asyncio.wait([self._sleep])
            self._owed = {} if self._sleep.cancelled() else self._sleep.result()
        finally:
            self._sleep.cancel()
            self._sleep = None

    async def _look(self, backend: BaseBackend) -> None:
        while self._owed:
            queue, told = next(iter(self._owed.items()))
            if ids := [id for id in told if id in self._waiting.get(queue, {})]:
                for id, record in zip(ids, await backend.get(queue, ids), strict=True):
                    if record is None or record.state.terminal:
                        _answer(self._waiting.get(queue, {}).get(id, []), record)
            del self._owed[queue]

    async def _bear(self, error: StoreError) -> None:
        """Wait a little; not for ever, and not if the store will never have us."""
        now = clock.monotonic()
        self._failing = self._failing or now
        if isinstance(error, StoreRefused) or now - self._failing > PATIENCE:
            _fail(self._waiting, error)
        await asyncio.sleep(PAUSE)


def _answer(replies: list[_Reply], record: Record | None) -> None:
    for reply in replies:
        if not reply.done():
            reply.set_result(record)


def _fail(waiting: _Replies, error: Exception) -> None:
    for reply in _all(waiting):
        if not reply.done():
            reply.set_exception(own(error))


def _give_up(waiting: _Replies) -> None:
    """Nobody will answer: whose task it was, cancelled it."""
    for reply in _all(waiting):
        reply.cancel()


def _all(waiting: _Replies) -> list[_Reply]:
    return [reply for ids in waiting.values() for replies in ids.values() for reply in replies]


async def serving(backend: BaseBackend) -> list[Serving]:
    """What the living processes say of themselves. Raises StoreError."""
    return [serving_of(worker.info) for worker in await backend.workers()]


async def served_queues(backend: BaseBackend) -> set[str]:
    """The queues that living processes serve. Raises StoreError."""
    return {queue for process in await serving(backend) for queue in process.queues or ()}


def begun(work: Coroutine[Any, Any, Result]) -> asyncio.Task[Result]:
    """A task that belongs to no job: a job that cancels all its tasks ends no others' waits."""
    return begin(work, context=contextvars.Context())


_of_stores: WeakKeyDictionary[BaseBackend, PerLoop[Waits]] = WeakKeyDictionary()


def waits(backend: BaseBackend) -> Waits:
    """Those of the running loop."""
    of_store = _of_stores.get(backend)
    if of_store is None:
        of_store = _of_stores.setdefault(backend, PerLoop(Waits))
    return of_store.here()
