"""Look at queues, pause, resume and purge them."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable
from typing import Any

import msgspec

from asyncmqd.admin.errors import NotFound
from asyncmqd.admin.jobs import job_view
from asyncmqd.admin.schedules import ScheduleView, of_queue
from asyncmqd.admin.time_format import rfc3339
from asyncmqd.admin.workers import WorkerView, list_workers
from asyncmqd.backends.base import BaseBackend, Outlook
from asyncmqd.client.operations import last_resumed
from asyncmqd.client.operations import pause as note_pause
from asyncmqd.client.result_waits import served_queues
from asyncmqd.domain.did_you_mean import did_you_mean
from asyncmqd.domain.job import Counts, Record
from asyncmqd.domain.pause import Pause
from asyncmqd.domain.shared_limits import Bucket, KeyLimits
from asyncmqd.domain.states import State

Names = Callable[[], Iterable[str]]
"""Names of queues from elsewhere, a configuration say; asked only if the store has not the one."""


class PauseView(msgspec.Struct, frozen=True, kw_only=True):
    """The last call that paused a queue; None where an older release did not note it."""

    since: str | None
    by: str | None
    reason: str | None


class LimitsView(msgspec.Struct, frozen=True, kw_only=True):
    """The limits of a queue that hold over all daemons, and how near it is to them."""

    concurrency: int | None  # None: no limit
    held: int  # active jobs, and those that were taken away while their code may still run
    ghosts: int  # the latter
    rate_limit: float | None  # starts in each `rate_interval` (seconds); None: no limit
    rate_interval: float | None
    burst: float | None  # starts at once after a quiet time
    allowed: int | None  # how many may start now
    opens: str | None  # when the next one may, if none may now and one ever will
    each_key: KeyLimits | None  # what holds for each key; None: nothing
    keys: dict[str, KeyLimits]  # what holds for single keys instead
    closed_keys: int  # of which none may start now
    by: str  # the process that declared them
    since: str | None


class DaemonSlotsView(msgspec.Struct, frozen=True, kw_only=True):
    """The slots that all queues of a process share, as its last heartbeat says."""

    worker: str  # the process
    max_concurrency: int
    running: int  # jobs of all of them
    weight: int  # of this queue
    weights: int  # of all of them


class QueueCounts(msgspec.Struct, frozen=True, kw_only=True):
    """A queue in numbers; parked jobs are part of the waiting ones."""

    name: str
    waiting: int
    delayed: int
    blocked: int
    active: int
    completed: int
    failed: int
    expired: int
    cancelled: int
    parked: int
    paused: bool
    pause: PauseView | None  # who paused it last, while it is paused


class ListedQueue(QueueCounts, frozen=True, kw_only=True):
    """A queue among others."""

    workers: int  # how many serve it


class NextJob(msgspec.Struct, frozen=True, kw_only=True):
    """The job that runs next."""

    id: str
    task: str | None
    priority: int
    created: str | None
    age: float  # seconds


class QueueView(QueueCounts, frozen=True, kw_only=True):
    """One queue: its jobs by state, what runs next, its workers and schedules."""

    head: NextJob | None
    next_due: str | None
    next_lease_end: str | None
    parked_tasks: tuple[str, ...]
    resumed: PauseView | None  # who resumed it last, while it is not paused
    limits: LimitsView | None  # that hold over all daemons; None: none were ever declared
    concurrency: int  # of all workers together
    running: int
    workers: list[str]
    daemon_slots: list[DaemonSlotsView]  # of those that have a `max_concurrency`
    schedules: list[ScheduleView]


async def list_queues(store: BaseBackend) -> list[ListedQueue]:
    """The queues that have jobs, schedules or workers."""
    served = [name for worker in await list_workers(store) for name in worker.queues]
    # A queue that is served but empty is one to see, too.
    names = sorted({*await store.queues(), *served})
    counts = await store.counts(names)
    outlooks = await store.outlook([name for name in names if counts[name].paused])
    return [
        ListedQueue(
            name=name,
            **_fields(counts[name]),
            pause=pause_view(outlooks[name].pause) if name in outlooks else None,
            workers=served.count(name),
        )
        for name in names
    ]


async def show(store: BaseBackend, queue: str, elsewhere: Names = tuple) -> QueueView:
    """One queue. Raises NotFound if nobody knows it."""
    (_, done), all_counts, outlooks, workers, records, schedules = await asyncio.gather(
        asyncio.gather(check_known(store, queue, elsewhere), store.operations([queue])),
        store.counts([queue]),
        store.outlook([queue]),
        list_workers(store),
        store.list(queue, State.WAITING, 0, 1),
        of_queue(store, queue),
    )
    counts, outlook = all_counts[queue], outlooks[queue]
    serving = [worker for worker in workers if queue in worker.queues]
    return QueueView(
        name=queue,
        **_fields(counts),
        pause=pause_view(outlook.pause),
        head=_next_job(records[0], outlook.now) if records else None,
        next_due=rfc3339(outlook.next_due),
        next_lease_end=rfc3339(outlook.next_lapse),
        parked_tasks=outlook.parked_tasks,
        resumed=None if outlook.pause else pause_view(last_resumed(done)),
        limits=limits_view(outlook, counts),
        concurrency=sum(worker.queues[queue].concurrency for worker in serving),
        running=sum(worker.queues[queue].running for worker in serving),
        workers=[worker.id for worker in serving],
        daemon_slots=[*filter(None, (_daemon_slots(worker, queue) for worker in serving))],
        schedules=schedules,
    )


def _daemon_slots(worker: WorkerView, queue: str) -> DaemonSlotsView | None:
    load = worker.queues[queue]
    if load.max_concurrency is None:
        return None
    return DaemonSlotsView(
        worker=worker.id,
        max_concurrency=load.max_concurrency,
        running=sum(each.running for each in worker.queues.values()),
        weight=load.weight,
        weights=sum(each.weight for each in worker.queues.values()),
    )


def _next_job(record: Record, now: float) -> NextJob:
    job = job_view(record)
    return NextJob(
        id=job.id,
        task=job.task,
        priority=job.priority,
        created=job.created,
        age=round(now - record.created, 3),
    )


def pause_view(pause: Pause | None) -> PauseView | None:
    """A pause as operators see it."""
    if pause is None:
        return None
    return PauseView(since=rfc3339(pause.since), by=pause.by or None, reason=pause.reason or None)


def limits_view(outlook: Outlook, counts: Counts) -> LimitsView | None:
    """What is in force, as operators see it."""
    declared = outlook.limits
    if declared is None:
        return None
    bucket = Bucket(declared, outlook.filling, outlook.now * 1e6)
    limits, rate = declared.limits, bucket.rate
    opens = None if bucket.allowed != 0 else bucket.opens_in
    return LimitsView(
        concurrency=limits.concurrency,
        held=counts.active + outlook.ghosts,
        ghosts=outlook.ghosts,
        rate_limit=limits.rate_limit,
        rate_interval=None if rate is None else limits.rate_interval,
        burst=None if rate is None else rate.burst,
        allowed=bucket.allowed,
        opens=None if opens is None else rfc3339(outlook.now + opens),
        each_key=limits.each_key,
        keys=limits.keys,
        closed_keys=outlook.closed_keys,
        by=declared.by,
        since=rfc3339(declared.since),
    )


def _fields(counts: Counts) -> dict[str, Any]:
    return msgspec.structs.asdict(counts)


async def pause(
    store: BaseBackend, queue: str, elsewhere: Names = tuple, by: str = "", reason: str = ""
) -> None:
    """Stop all workers from claiming jobs of a queue. Running jobs go on. Raises NotFound.

    The store keeps who paused it last, when and why.
    """
    await check_known(store, queue, elsewhere)
    await note_pause(store, queue, paused=True, by=by, reason=reason)


async def resume(
    store: BaseBackend, queue: str, elsewhere: Names = tuple, by: str = "", reason: str = ""
) -> None:
    """Let workers claim again. Raises NotFound. The store keeps who did it, when and why."""
    await check_known(store, queue, elsewhere)
    await note_pause(store, queue, paused=False, by=by, reason=reason)


async def check_known(store: BaseBackend, queue: str, elsewhere: Names = tuple) -> None:
    """Raise NotFound for a queue that neither store, nor worker, nor anybody elsewhere knows."""
    if (await store.counts([queue]))[queue].paused:
        return
    known = set().union(*await asyncio.gather(store.queues(), served_queues(store)))
    if queue in known:
        return
    known.update(elsewhere())
    if queue not in known:
        near = did_you_mean(queue, known)
        raise NotFound(
            "queue: expected one that has jobs, schedules or workers, or that the configuration"
            f" names, got {queue!r}{near}"
        )
