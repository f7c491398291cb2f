"""What a store knows about whether a job runs: `why` decides by it."""

from __future__ import annotations

from collections.abc import Mapping

import msgspec

from asyncmqd.admin.jobs import find, job_view, only
from asyncmqd.admin.queues import Names, check_known
from asyncmqd.backends.base import PAGE, BaseBackend, Outlook
from asyncmqd.domain.job import Counts, Record
from asyncmqd.domain.serving import BEAT, Load, Serving, serving_of
from asyncmqd.domain.states import State

LISTED = 200  # active jobs of a queue that are looked at
SILENT = 2 * BEAT  # seconds without a heartbeat, after which something is wrong with a process


class Process(msgspec.Struct, frozen=True, kw_only=True):
    """A process that is listed as living."""

    id: str
    seen: float  # its last heartbeat, by the store's clock
    said: Serving

    def load(self, queue: str) -> Load:
        """Its share of a queue that it serves."""
        return (self.said.queues or {}).get(queue, Load())

    def claimed(self, record: Record) -> bool:
        """Whether one of its workers claimed the job last."""
        return record.worker.rpartition("#")[0] == self.id


class Facts(msgspec.Struct, frozen=True, kw_only=True):
    """A queue, and one job of it if that is asked for, at one moment by the store's clock."""

    queue: str
    counts: Counts
    outlook: Outlook
    processes: tuple[Process, ...]
    active: tuple[Record, ...] = ()  # those of the queue that run, up to `LISTED` of them
    job: Record | None = None
    ahead: int | None = None  # jobs that run before it, if it waits; None: more than a page

    @property
    def now(self) -> float:
        """The moment."""
        return self.outlook.now

    @property
    def serving(self) -> tuple[Process, ...]:
        """The processes that say that they serve the queue."""
        return tuple(each for each in self.processes if each.said.serves(self.queue))

    @property
    def heard(self) -> tuple[Process, ...]:
        """Those of them that were heard of lately."""
        return tuple(each for each in self.serving if self.now - each.seen <= SILENT)

    @property
    def claiming(self) -> tuple[Process, ...]:
        """Those of them that take jobs whenever they have room."""
        return tuple(each for each in self.heard if not each.load(self.queue).held)

    def holder(self, record: Record) -> Process | None:
        """The process that claimed the job last, if it is listed."""
        return next((each for each in self.processes if each.claimed(record)), None)


def task_of(record: Record) -> str:
    """The name of the job's task; empty if its payload cannot be read."""
    return job_view(record).task or ""


async def of_queue(store: BaseBackend, queue: str, elsewhere: Names = tuple) -> Facts:
    """The facts about the jobs of a queue. Raises NotFound if nobody knows it."""
    await check_known(store, queue, elsewhere)
    return await _read(store, queue, None)


async def of_job(store: BaseBackend, id: str, queue: str | None) -> Facts | Mapping[str, State]:
    """The facts about a job; if it is not there, its state in each queue that has one of this id.

    Raises AdminError if no queue is named and several have one of this id.
    """
    found = (await find(store, [id], queue))[id]
    if found:
        record = only(id, found, queue)
        return await _read(store, record.queue, record)
    others = [] if queue is None else (await find(store, [id], None))[id]
    return {each.queue: each.state for each in others}


async def _read(store: BaseBackend, queue: str, job: Record | None) -> Facts:
    waits = job is not None and job.place == State.WAITING
    processes = [
        Process(id=each.id, seen=each.seen, said=serving_of(each.info))
        for each in await store.workers()
    ]
    return Facts(
        queue=queue,
        counts=(await store.counts([queue]))[queue],
        processes=tuple(processes),
        active=tuple(await store.list(queue, State.ACTIVE, 0, LISTED)),
        job=job,
        ahead=await _ahead(store, job) if job is not None and waits else None,
        outlook=(await store.outlook([queue]))[queue],
    )


async def _ahead(store: BaseBackend, job: Record) -> int | None:
    page = await store.list(job.queue, State.WAITING, 0, PAGE)
    return next((number for number, each in enumerate(page) if each.id == job.id), None)
