"""`Outbox`: concurrent `enqueue` calls of one process share a round trip.

If nothing is under way, a call goes out at once. What is enqueued meanwhile waits for its reply and
then leaves together. So batches grow with the load, as those of a worker do.
"""

from __future__ import annotations

import asyncio
import contextvars
import copy
from collections.abc import Iterator, Sequence
from weakref import WeakKeyDictionary

from asyncmqd.backends.base import BaseBackend, StoreError, StoreUncertain
from asyncmqd.backends.call_withdrawal import Departure, departing
from asyncmqd.backends.per_loop import PerLoop
from asyncmqd.domain.failpoints import failpoint
from asyncmqd.domain.job import Added, NewJob
from asyncmqd.domain.loop_tasks import begin

BULK = 10_000  # jobs of one round trip
BULK_BYTES = 4 * 1024 * 1024  # of their payloads, so that none takes long; one job may have more

_Waiting = tuple[NewJob, asyncio.Future[Added], float]  # the last: loop time of its call


class Outbox:
    """The jobs of one queue that this process's event loop has on their way to a store."""

    def __init__(self, queue: str) -> None:
        self.queue = queue
        self._waiting: list[_Waiting] = []
        self._busy = False  # a round trip is under way
        self._trip: asyncio.Task[None] | None = None
        self._aboard: list[_Waiting] = []  # of that round trip
        self._departure = Departure()  # of that round trip
        self._timer: asyncio.TimerHandle | None = None  # one for all that wait

    async def add(self, backend: BaseBackend, job: NewJob) -> Added:
        """Add one job, unless the queue has its id already or its name is held. Raises StoreError.

        Who is cancelled cannot know whether the job was added.
        """
        if self._busy:
            loop = asyncio.get_running_loop()
            future: asyncio.Future[Added] = loop.create_future()
            self._waiting.append((job, future, loop.time()))
            if self._timer is None and backend.timeout is not None:
                self._timer = loop.call_later(backend.timeout, self._expire, backend.timeout)
            return await future
        self._busy = True
        try:
            return (await send(backend, self.queue, [job]))[0]
        except StoreUncertain as error:
            raise in_doubt(error, [job.id]) from error.__cause__
        finally:
            self._busy = False
            self._depart(backend)

    def _depart(self, backend: BaseBackend) -> None:
        """Send what waits, if nothing is under way."""
        if self._waiting and not self._busy:
            waiting, self._waiting = self._waiting, []
            work = self._send(backend, waiting)
            try:
                # It belongs to no job: one that cancels all its tasks must not fail others.
                self._trip = begin(work, context=contextvars.Context())
            except Exception as error:  # noqa: BLE001 - of the application's task factory
                work.close()
                _fail(waiting, error)
            else:
                self._busy = True
                self._aboard, self._departure = waiting, Departure()

    async def _send(self, backend: BaseBackend, waiting: list[_Waiting]) -> None:
        waiting = [each for each in waiting if not each[1].done()]  # some were cancelled meanwhile
        self._aboard = waiting
        sent = 0
        try:
            for batch in batches([job for job, *_ in waiting]):
                self._departure = Departure()
                departing.set(self._departure)
                added = await send(backend, self.queue, batch)
                for (_, future, _), answer in zip(waiting[sent:], added, strict=False):
                    if not future.done():
                        future.set_result(answer)
                sent += len(batch)
        except Exception as error:  # noqa: BLE001 - it is theirs who wait for it
            _fail(waiting[sent:], error)
        finally:
            for _, future, _ in self._aboard:
                future.cancel()  # those that have no answer: this very task was cancelled
            self._aboard = []
            # Those who got their reply run now, and what they enqueue next shares a round trip.
            asyncio.get_running_loop().call_soon(self._arrive, backend)

    def _arrive(self, backend: BaseBackend) -> None:
        self._busy = False
        self._trip = None
        self._depart(backend)

    def end(self) -> None:
        """The loop has ended, and with it all who waited."""
        if self._timer is not None:
            self._timer.cancel()

    def _expire(self, limit: float) -> None:
        """Fail those whose time is over: it counts from the call, not from the round trip."""
        loop = asyncio.get_running_loop()
        over = loop.time() - limit
        self._expire_aboard(over, limit)
        _fail(_until(over, self._waiting), StoreError(f"not sent within {limit:g} s"))
        self._waiting = [each for each in self._waiting if not each[1].done()]
        left = [began for _, future, began in (*self._aboard, *self._waiting) if not future.done()]
        self._timer = loop.call_at(min(left) + limit, self._expire, limit) if left else None

    def _expire_aboard(self, over: float, limit: float) -> None:
        """A round trip that has not begun is taken back, and never done; the others wait again."""
        late = _until(over, self._aboard)
        if late and self._trip is not None and not self._departure.has_begun():
            self._trip.cancel()
            self._waiting = self._aboard[len(late) :] + self._waiting  # in the order of calls
            self._aboard = []
        # Asked again: where it is done in a thread, it may have begun in this very moment.
        if self._departure.has_begun():
            _fail(late, StoreUncertain(f"no answer within {limit:g} s"))
        else:
            _fail(late, StoreError(f"not begun within {limit:g} s"))


def _until(moment: float, waiting: Sequence[_Waiting]) -> list[_Waiting]:
    """Those that were called by that loop time; a millisecond more, for timers are early."""
    return [each for each in waiting if each[2] <= moment + 0.001]


def _fail(waiting: Sequence[_Waiting], error: Exception) -> None:
    for job, future, _ in waiting:
        if not future.done():
            future.set_exception(own(in_doubt(error, [job.id])))


def in_doubt(error: Exception, ids: Sequence[str]) -> Exception:
    """The same error, which says what to do about jobs that may be stored."""
    if not isinstance(error, StoreUncertain):
        return error
    what = f"job {ids[0]}" if len(ids) == 1 else f"{len(ids)} jobs"
    how = f"job_id={ids[0]!r}" if len(ids) == 1 else "their ids"
    told = StoreUncertain(f"{error}; {what} may be stored: enqueue again with {how} only")
    told.job_ids = tuple(ids)
    return told


def own(error: Exception) -> Exception:
    """One for each caller, who adds to its traceback; a store may raise what cannot be copied."""
    try:
        own = copy.copy(error)
    except Exception:  # noqa: BLE001 - its constructor is not ours
        return error
    own.__cause__ = error
    return own


def batches(jobs: Sequence[NewJob]) -> Iterator[Sequence[NewJob]]:
    """Slices of jobs that make one round trip each."""
    begin, size = 0, 0
    for at, job in enumerate(jobs):
        size += len(job.payload)
        if at > begin and (at - begin == BULK or size > BULK_BYTES):
            yield jobs[begin:at]
            begin, size = at, len(job.payload)
    if begin < len(jobs):
        yield jobs[begin:]


async def send(backend: BaseBackend, queue: str, jobs: Sequence[NewJob]) -> list[Added]:
    """Add jobs by one call of the store; what it says of each. Raises StoreError."""
    failpoint("adding")
    added = await backend.add(queue, jobs)
    failpoint("added")
    return added


class _Outboxes(dict[str, Outbox]):
    """Those of one store in one event loop, by queue."""

    async def close(self) -> None:
        self.abandon()

    def abandon(self) -> None:
        for each in self.values():
            each.end()


_of_stores: WeakKeyDictionary[BaseBackend, PerLoop[_Outboxes]] = WeakKeyDictionary()


def outbox(backend: BaseBackend, queue: str) -> Outbox:
    """That of the running loop."""
    of_store = _of_stores.get(backend)
    if of_store is None:
        of_store = _of_stores.setdefault(backend, PerLoop(_Outboxes))
    by_queue = of_store.here()
    found = by_queue.get(queue)
    if found is None:
        found = by_queue[queue] = Outbox(queue)
    return found
