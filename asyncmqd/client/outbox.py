"""`Outbox`: concurrent `enqueue` calls of one process share a round trip.

A lone call goes out at once, by itself. What is enqueued while it is under way waits for its reply
and then leaves together, so batches grow with the load by themselves, as those of a worker do.
"""

from __future__ import annotations

import asyncio
import contextvars
import copy
from collections.abc import Iterator, Sequence
from weakref import WeakKeyDictionary

from asyncmqd.backends.base import BaseBackend
from asyncmqd.domain.failpoints import failpoint
from asyncmqd.domain.job import NewJob

BULK = 10_000  # jobs of one round trip
BULK_BYTES = 4 * 1024 * 1024  # of their payloads, so that none takes long; one job may have more

_Waiting = tuple[NewJob, asyncio.Future[bool]]


class Outbox:
    """The jobs of one queue that this process's event loop has on their way to a store."""

    def __init__(self, queue: str) -> None:
        self.queue = queue
        self._waiting: list[_Waiting] = []
        self._busy = False  # a round trip is under way
        self._trip: asyncio.Task[None] | None = None

    async def add(self, backend: BaseBackend, job: NewJob) -> bool:
        """Add one job; False if the queue has its id already. Raises StoreError.

        Who is cancelled cannot know whether the job was added.
        """
        if self._busy:
            future: asyncio.Future[bool] = asyncio.get_running_loop().create_future()
            self._waiting.append((job, future))
            return await future
        self._busy = True
        try:
            return (await send(backend, self.queue, [job]))[0]
        finally:
            self._busy = False
            self._depart(backend)

    def _depart(self, backend: BaseBackend) -> None:
        """Send what waits, if nothing is under way."""
        if self._waiting and not self._busy:
            self._busy = True
            waiting, self._waiting = self._waiting, []
            # Nobody's in particular: a job that cancels all its tasks must not fail others' jobs.
            begin = asyncio.get_running_loop().create_task
            self._trip = contextvars.Context().run(begin, self._send(backend, waiting))

    async def _send(self, backend: BaseBackend, waiting: list[_Waiting]) -> None:
        waiting = [each for each in waiting if not each[1].done()]  # some were cancelled meanwhile
        sent = 0
        try:
            for batch in batches([job for job, _ in waiting]):
                added = await send(backend, self.queue, batch)
                for (_, future), is_new in zip(waiting[sent:], added, strict=False):
                    if not future.done():
                        future.set_result(is_new)
                sent += len(batch)
        except Exception as error:  # noqa: BLE001 - it is theirs who wait for it
            _fail(waiting[sent:], error)
        finally:
            for _, future in waiting:
                future.cancel()  # those that have no answer: this very task was cancelled
            # Those who got their reply run now, and what they enqueue next shares a round trip.
            asyncio.get_running_loop().call_soon(self._arrive, backend)

    def _arrive(self, backend: BaseBackend) -> None:
        self._busy = False
        self._trip = None
        self._depart(backend)


def _fail(waiting: Sequence[_Waiting], error: Exception) -> None:
    for _, future in waiting:
        if not future.done():
            future.set_exception(_own(error))


def _own(error: Exception) -> Exception:
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


async def send(backend: BaseBackend, queue: str, jobs: Sequence[NewJob]) -> list[bool]:
    """Add jobs by one call of the store; of each whether it is new. Raises StoreError."""
    failpoint("adding")
    added = await backend.add(queue, jobs)
    failpoint("added")
    return added


# By loop as well, for the store in this process serves callers of several loops at once.
_outboxes: WeakKeyDictionary[
    asyncio.AbstractEventLoop, WeakKeyDictionary[BaseBackend, dict[str, Outbox]]
] = WeakKeyDictionary()


def outbox(backend: BaseBackend, queue: str) -> Outbox:
    """That of the running loop."""
    loop = asyncio.get_running_loop()
    of_loop = _outboxes.get(loop)
    if of_loop is None:
        of_loop = _outboxes[loop] = WeakKeyDictionary()
    by_queue = of_loop.get(backend)
    if by_queue is None:
        by_queue = of_loop[backend] = {}
    found = by_queue.get(queue)
    if found is None:
        found = by_queue[queue] = Outbox(queue)
    return found
