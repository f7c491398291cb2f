"""What a store knows about whether a job runs: `why` decides by it."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

from asyncmqd.admin.jobs import find, job_view, only
from asyncmqd.admin.queues import Names, check_known
from asyncmqd.backends.base import BaseBackend, KeyOutlook, Outlook, ScheduleRecord
from asyncmqd.domain.heartbeat import BEAT, Load, Serving, serving_of
from asyncmqd.domain.in_line import InLine
from asyncmqd.domain.job import Counts, Record
from asyncmqd.domain.slot_shares import slots_left
from asyncmqd.domain.states import State

LISTED = 200  # active jobs of a queue that are looked at
SAMPLE = 20  # ended and delayed jobs that are looked at
SILENT = 2 * BEAT  # seconds without a heartbeat, after which something is wrong with a process


class Process(msgspec.Struct, frozen=True, kw_only=True):
    """A process that is listed as living."""

    id: str
    seen: float  # its last heartbeat, by the store's clock
    said: Serving

    def load(self, queue: str) -> Load:
        """Its share of a queue that it serves."""
        return (self.said.queues or {}).get(queue, Load())

    @property
    def has_cap(self) -> bool:
        """Whether its queues share a number of slots."""
        loads = (self.said.queues or {}).values()
        return any(each.max_concurrency is not None for each in loads)

    def slots_left(self, queue: str, active: Mapping[str, Sequence[Record]]) -> int | None:
        """How many jobs of the queue its `max_concurrency` lets begin; None: as many as come.

        `active` are the jobs that run, by queue.
        """
        most = self.load(queue).max_concurrency
        if most is None:
            return None
        queues = self.said.queues or {}
        held = {name: sum(map(self.claimed, active.get(name, ()))) for name in queues}
        idle = sum(not held[name] for name in queues if name != queue)
        return slots_left(most, sum(held.values()), idle, keeps=not held[queue])

    def claimed(self, record: Record) -> bool:
        """Whether one of its workers claimed the job last."""
        return record.worker.rpartition("#")[0] == self.id


class Facts(msgspec.Struct, frozen=True, kw_only=True):
    """A queue, or one job of it, at one moment by the store's clock."""

    queue: str
    counts: Counts
    outlook: Outlook
    processes: tuple[Process, ...]
    active: tuple[Record, ...] = ()  # those of the queue that run, up to `LISTED` of them
    sharing: Mapping[str, Sequence[Record]] = {}  # the same of all queues that share its slots
    head: Record | None = None  # the job that runs next; beside a `job`: of those of its key
    parked: Record | None = None  # the first job that waits for a daemon that knows its task
    ended: tuple[Record, ...] = ()  # the newest that completed or failed, up to `SAMPLE` of each
    delayed: tuple[Record, ...] = ()  # the first `SAMPLE` of them
    schedules: tuple[ScheduleRecord, ...] = ()
    job: Record | None = None
    line: InLine | None = None  # what stands before it; None: it does not wait, or not any more
    of_key: KeyOutlook | None = None  # what the queue has of the job's key, if keys have limits

    @property
    def now(self) -> float:
        """The moment."""
        return self.outlook.now

    @property
    def waits(self) -> float:
        """Seconds for which the job that runs next has waited; 0 if none waits.

        A job that was delayed by its producer counts from its enqueue on.
        """
        return 0.0 if self.head is None else waited(self.head, self.now)

    @property
    def next_cost(self) -> int:
        """Tokens that the job takes that runs next."""
        return 1 if self.head is None else self.head.cost

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


def waited(record: Record, now: float) -> float:
    """Seconds for which a job has waited, from its enqueue or from its last run on."""
    return max(0.0, now - max(record.created, record.started or 0.0))


def task_of(record: Record) -> str:
    """The name of the job's task; empty if its payload cannot be read."""
    return job_view(record).task or ""


async def of_queue(store: BaseBackend, queue: str, elsewhere: Names = tuple) -> Facts:
    """The facts about the jobs of a queue. Raises NotFound if nobody knows it."""
    await check_known(store, queue, elsewhere)
    [found] = await of_queues(store, [queue])
    return found


async def of_queues(
    store: BaseBackend, queues: Sequence[str], *, looked_at: int = LISTED, listed: int = LISTED
) -> list[Facts]:
    """The facts about each of these queues: jobs of the `looked_at` fullest, `listed` active ones.

    Queues that have no jobs cost no call of their own.
    """
    processes, counts, schedules = await asyncio.gather(
        _processes(store), store.counts(queues), store.schedules(*queues)
    )
    fullest = sorted(queues, key=lambda each: counts[each].waiting, reverse=True)[:looked_at]
    # Together: one after the other, so many queues would take a hundred round trips.
    found = await asyncio.gather(*(_jobs(store, each, counts[each], listed) for each in fullest))
    jobs = dict(zip(fullest, found, strict=True))
    sharing = await _sharing(store, processes)
    outlooks = await store.outlook(queues)  # the last call: its time is no earlier than the rest
    return [
        Facts(
            queue=queue,
            counts=counts[queue],
            processes=processes,
            outlook=outlooks[queue],
            sharing=sharing,
            schedules=tuple(each for each in schedules if each.queue == queue)[:LISTED],
            **jobs.get(queue, {}),
        )
        for queue in queues
    ]


async def _jobs(store: BaseBackend, queue: str, counts: Counts, listed: int) -> dict[str, Any]:
    """The jobs of a queue that tell what is wrong."""

    async def page(state: State, size: int, begin: int = 0) -> tuple[Record, ...]:
        there = size and getattr(counts, state) > begin
        # Of one that runs its task is told; of the others only times and errors.
        named = state is State.ACTIVE
        found = await store.list(queue, state, begin, size, payloads=named) if there else ()
        return tuple(found)

    runnable = counts.waiting - counts.parked
    failed, delayed, active, head, parked = await asyncio.gather(
        page(State.FAILED, SAMPLE),
        page(State.DELAYED, SAMPLE),
        page(State.ACTIVE, listed),
        page(State.WAITING, 1 if runnable else 0),
        page(State.WAITING, 1 if counts.parked else 0, runnable),
    )
    failing = bool(failed) or any(each.failures for each in delayed)
    completed = await page(State.COMPLETED, SAMPLE) if failing else ()
    return {
        "active": active,
        "head": head[0] if head else None,
        "parked": parked[0] if parked else None,
        "ended": completed + failed,
        "delayed": delayed,
    }


async def of_job(store: BaseBackend, id: str, queue: str | None) -> Facts | Mapping[str, State]:
    """The facts about a job; if it is not there, its state in each queue that has one of this id.

    Raises AdminError if no queue is named and several have one of this id.
    """
    found = (await find(store, [id], queue))[id]
    if found:
        return await _about(store, only(id, found, queue))
    others = [] if queue is None else (await find(store, [id], None))[id]
    return {each.queue: each.state for each in others}


async def _about(store: BaseBackend, job: Record) -> Facts:
    queue = job.queue
    processes, counts, active, (line, head), outlooks = await asyncio.gather(
        _processes(store),
        store.counts([queue]),
        store.list(queue, State.ACTIVE, 0, LISTED),
        _line(store, job),
        store.outlook([queue]),
    )
    outlook = outlooks[queue]
    limited = bool(job.key) and outlook.limits is not None and outlook.limits.limits.of_keys
    return Facts(
        queue=queue,
        processes=processes,
        counts=counts[queue],
        active=tuple(active),
        sharing=await _sharing(store, processes),
        job=job,
        head=head,
        line=line,
        of_key=await store.outlook_of_key(queue, job.key) if limited else None,
        outlook=outlook,
    )


async def _processes(store: BaseBackend) -> tuple[Process, ...]:
    return tuple(
        Process(id=each.id, seen=each.seen, said=serving_of(each.info))
        for each in await store.workers()
    )


async def _sharing(store: BaseBackend, processes: Sequence[Process]) -> dict[str, Sequence[Record]]:
    """What runs in the queues of daemons whose queues share slots."""
    limited = [each.said.queues or {} for each in processes if each.has_cap]
    names = sorted({name for queues in limited for name in queues})
    counts = await store.counts(names) if names else {}
    running = [name for name, count in counts.items() if count.active]
    found = await asyncio.gather(*(store.list(name, State.ACTIVE, 0, LISTED) for name in running))
    return dict(zip(running, found, strict=True))


async def _line(store: BaseBackend, job: Record) -> tuple[InLine | None, Record | None]:
    """What stands before it, and the first job of its key. Nothing of a job that does not wait."""
    line = await store.in_line(job.queue, job.id) if job.place == State.WAITING else None
    if line is None or line.first == job.id:
        return line, None if line is None else job
    [first] = await store.get(job.queue, [line.first])
    return line, first
