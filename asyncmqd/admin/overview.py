"""A store at a glance: what is wrong, its queues and daemons, and some of its jobs.

For whoever looks again and again, as `asyncmq top` does: each look reads counts, and of a bounded
number of queues one job that has ended, and a page of jobs. What is wrong is asked less often.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from itertools import chain

import msgspec

from asyncmqd.admin import causes, facts
from asyncmqd.admin.causes import Cause
from asyncmqd.admin.facts import waited
from asyncmqd.admin.jobs import job_view
from asyncmqd.admin.queues import LimitsView, PauseView, limits_view, pause_view
from asyncmqd.admin.time_format import rfc3339
from asyncmqd.admin.workers import about_of
from asyncmqd.backends.base import BaseBackend, Outlook, WorkerRecord
from asyncmqd.domain import clock
from asyncmqd.domain.heartbeat import BEAT, Serving, serving_of
from asyncmqd.domain.job import Counts, Record
from asyncmqd.domain.states import State

LOOKED_AT = 20  # queues whose jobs are looked at, the fullest first
PAGE = 50  # jobs of each that are listed
JOBS = 200  # jobs that are listed in all
_RATE_FOR = 15.0  # seconds: about the time over which a rate is measured
_LEAST, _MOST = 20, 2_000  # jobs over which it is
_ERROR = 200  # characters of an error; `job show` has all of it


class QueueLine(msgspec.Struct, frozen=True, kw_only=True):
    """One queue."""

    name: str
    waiting: int
    parked: int  # a part of the waiting ones
    delayed: int
    blocked: int
    active: int
    slots: int  # of all daemons together, by their last heartbeats
    failed: int
    daemons: int  # how many serve it
    # Seconds for which the oldest has waited of the jobs that run next; None: no job is to run.
    oldest: float | None
    rate: float | None  # jobs completed in a second, lately; None: not known
    pause: PauseView | None
    limits: LimitsView | None = None  # those over all daemons


class DaemonLine(msgspec.Struct, frozen=True, kw_only=True):
    """One process that serves queues, as its last heartbeat says."""

    id: str
    host: str
    pid: int
    running: int
    slots: int
    queues: tuple[str, ...]
    up: float  # seconds
    silent: float  # seconds since that heartbeat
    degraded: str  # what is wrong with its store, as it sees it
    memory: int | None  # bytes that are resident
    phase: str | None  # of a daemon; the rest, too
    generation: int | None  # of its configuration
    unit: str | None  # of systemd that runs it
    restarts: int | None  # of the unit by systemd itself


class JobLine(msgspec.Struct, frozen=True, kw_only=True):
    """One job, without its arguments."""

    id: str
    queue: str
    task: str | None
    state: str
    key: str | None
    attempt: int
    worker: str | None
    # How long it has run or waited, how long ago it ended, or for how long it is still delayed.
    seconds: float
    error: str | None


class Overview(msgspec.Struct, frozen=True, kw_only=True):
    """A store at one moment by its own clock."""

    store: str
    now: str | None
    causes: Sequence[Cause]  # the worst first
    queues: Sequence[QueueLine]
    daemons: Sequence[DaemonLine]
    state: State  # of the jobs that are listed
    jobs: Sequence[JobLine]
    total: int  # how many jobs are in that state


class Wanted(msgspec.Struct, frozen=True):
    """The jobs that somebody wants to see."""

    state: State = State.ACTIVE
    queue: str | None = None  # None: of all queues
    listed: bool = True  # False: no job is read, they are only counted


class Looks:
    """Looks at one store, each of which knows what the one before has seen."""

    def __init__(self, store: BaseBackend) -> None:
        self._store = store
        self._causes: Sequence[Cause] = ()
        self._judged = float("-inf")  # the monotonic time at which what is wrong was asked last
        self._counts: Mapping[str, Counts] = {}
        self._rates: dict[str, _Rate] = {}

    async def look(self, wanted: Wanted, *, judge: bool = False) -> Overview:
        """What there is now. `judge`: ask in any case what is wrong. Raises StoreError."""
        store = self._store
        processes, stored = await asyncio.gather(store.workers(), store.queues())
        said = [serving_of(each.info) for each in processes]  # once: a look at many queues is long
        names = sorted({*stored, *chain.from_iterable(each.queues or () for each in said)})
        counts = await store.counts(names)
        oldest, jobs, *_ = await asyncio.gather(
            store.oldest([name for name in names if counts[name].waiting > counts[name].parked]),
            self._jobs(wanted, counts),
            self._judge(names, anyway=judge),
            self._measure(counts),
        )
        outlooks = await store.outlook(names)  # the last call: its time is no earlier than the rest
        now = max((each.now for each in outlooks.values()), default=0.0) or await store.now()
        return Overview(
            store=store.url,
            now=rfc3339(now),
            causes=self._causes,
            queues=[
                self._queue(name, counts[name], outlooks[name], oldest.get(name), said)
                for name in names
            ],
            daemons=[_daemon(*each, now) for each in zip(processes, said, strict=True)],
            state=wanted.state,
            jobs=[_job(each, now) for each in jobs],
            total=sum(_sizes(wanted, counts).values()),
        )

    async def _judge(self, names: Sequence[str], *, anyway: bool) -> None:
        if anyway or clock.monotonic() - self._judged >= BEAT:
            read = await facts.of_queues(self._store, names, looked_at=LOOKED_AT, listed=PAGE)
            self._causes, self._judged = causes.of_store(read), clock.monotonic()

    async def _jobs(self, wanted: Wanted, counts: Mapping[str, Counts]) -> list[Record]:
        if not wanted.listed:
            return []
        sizes = _sizes(wanted, counts)
        fullest = sorted((each for each in sizes if sizes[each]), key=sizes.__getitem__)
        pages = await asyncio.gather(
            *(self._store.list(name, wanted.state, 0, PAGE) for name in fullest[-LOOKED_AT:])
        )
        return [record for page in pages for record in page][:JOBS]

    async def _measure(self, counts: Mapping[str, Counts]) -> None:
        """See when jobs have ended in queues in which something has happened since."""
        moved = [
            name
            for name in sorted(counts, key=lambda each: counts[each].completed, reverse=True)
            if counts[name].completed
            and (counts[name].active or counts[name] != self._counts.get(name))
        ][:LOOKED_AT]
        rates = [self._rates.setdefault(name, _Rate()) for name in moved]
        await asyncio.gather(
            *(
                rate.measure(self._store, name, counts[name].completed)
                for name, rate in zip(moved, rates, strict=True)
            )
        )
        self._counts = counts

    def _queue(
        self,
        name: str,
        counts: Counts,
        outlook: Outlook,
        oldest: float | None,
        processes: Sequence[Serving],
    ) -> QueueLine:
        loads = [load for each in processes if (load := (each.queues or {}).get(name)) is not None]
        rate = self._rates.get(name)
        return QueueLine(
            name=name,
            waiting=counts.waiting,
            parked=counts.parked,
            delayed=counts.delayed,
            blocked=counts.blocked,
            active=counts.active,
            slots=sum(load.concurrency for load in loads),
            failed=counts.failed,
            daemons=len(loads),
            oldest=None if oldest is None else round(max(0.0, oldest), 1),
            rate=None if rate is None else rate.at(outlook.now),
            pause=pause_view(outlook.pause),
            limits=limits_view(outlook, counts),
        )


class _Rate:
    """How many jobs of a queue complete in a second, by when one of the last of them did."""

    def __init__(self) -> None:
        self._over = _LEAST  # jobs over which it is measured next: so many take some seconds
        self._jobs = 0  # that completed ...
        self._since = 0.0  # ... from then on

    async def measure(self, store: BaseBackend, queue: str, completed: int) -> None:
        jobs = min(self._over, completed)
        page = await store.list(queue, State.COMPLETED, jobs - 1, 1, payloads=False)
        if page and page[0].finished:
            self._jobs, self._since = jobs, page[0].finished

    def at(self, now: float) -> float | None:
        if not self._jobs:
            return None
        rate = self._jobs / max(now - self._since, 0.001)
        self._over = int(min(max(rate * _RATE_FOR, _LEAST), _MOST))
        return round(rate, 2)


def _sizes(wanted: Wanted, counts: Mapping[str, Counts]) -> dict[str, int]:
    """How many jobs in the wanted state each wanted queue has."""
    names = counts if wanted.queue is None else {wanted.queue} & counts.keys()
    return {name: getattr(counts[name], wanted.state) for name in names}


def _daemon(record: WorkerRecord, said: Serving, now: float) -> DaemonLine:
    loads = said.queues or {}
    return DaemonLine(
        id=record.id,
        host=said.host,
        pid=said.pid,
        running=sum(each.running for each in loads.values()),
        slots=sum(each.concurrency for each in loads.values()),
        queues=tuple(loads),
        up=round(max(0.0, now - record.started), 1),
        silent=round(max(0.0, now - record.seen), 1),
        degraded=said.degraded,
        memory=said.memory or None,
        **about_of(said),
    )


def _job(record: Record, now: float) -> JobLine:
    view = job_view(record)
    if record.state is State.DELAYED:
        seconds = (record.due or now) - now
    elif record.state is State.ACTIVE:
        seconds = now - (record.started or now)
    elif record.state.terminal:
        seconds = now - (record.finished or now)
    else:
        seconds = waited(record, now)
    return JobLine(
        id=record.id,
        queue=record.queue,
        task=view.task,
        state=view.state,
        key=view.key,
        attempt=view.attempt,
        worker=view.worker,
        seconds=round(max(0.0, seconds), 1),
        error=f"{view.error.type}: {view.error.message}"[:_ERROR] if view.error else None,
    )
