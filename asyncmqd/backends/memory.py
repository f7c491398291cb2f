"""Jobs in this process's memory: for tests and for work that may be lost with the process.

It is also the model that the contract suite holds the other stores to, so it is written to be
obviously right rather than fast. Instances with the same URL share their jobs, in any thread.
"""

from __future__ import annotations

import asyncio
import contextlib
import heapq
import os
import threading
from collections import defaultdict
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from functools import partial
from typing import Literal

import msgspec

from asyncmqd.backends.base import (
    PAGE,
    BaseBackend,
    Held,
    Lapsed,
    Outlook,
    ScheduleRecord,
    StoreError,
    Turn,
    Waited,
    WorkerRecord,
)
from asyncmqd.backends.heard import Heard
from asyncmqd.backends.loops import PerLoop
from asyncmqd.domain import clock, os_threads
from asyncmqd.domain.change import Answer, Change
from asyncmqd.domain.job import Claim, Counts, NewJob, Record
from asyncmqd.domain.settle import Retention
from asyncmqd.domain.states import EDGES, Rank, State, parked_place, state_of
from asyncmqd.domain.store_clock import believed

Key = tuple[float, float]

_EXPIRY = "#expiry"  # ended jobs that are kept for a time, by the end of that time
_COUNTED = "#counted"  # ended jobs that are kept by number, by the time they ended


class _Row(msgspec.Struct, kw_only=True):
    """One job. `order` is where it stands, or last stood, among the waiting jobs."""

    id: str
    payload: bytes
    priority: int
    created: float
    place: str = ""
    rank: float = 0.0
    order: Key = (0, 0)
    token: int = 0
    failures: int = 0
    crashes: int = 0
    solo: bool = False
    started: float | None = None
    worker: str = ""
    error: bytes = b""
    result: bytes = b""
    progress: bytes = b""

    @property
    def size(self) -> int:
        return len(self.payload) + len(self.result) + len(self.error)


class _Line:
    """Ids in the order of their keys: a heap whose outdated entries are passed over."""

    def __init__(self) -> None:
        self._keys: dict[str, Key] = {}
        self._heap: list[tuple[Key, str]] = []

    def __len__(self) -> int:
        return len(self._keys)

    def put(self, id: str, key: Key) -> None:
        self._keys[id] = key
        heapq.heappush(self._heap, (key, id))

    def drop(self, id: str) -> None:
        self._keys.pop(id, None)

    def first(self) -> tuple[Key, str] | None:
        while self._heap:
            key, id = self._heap[0]
            if self._keys.get(id) == key:
                return key, id
            heapq.heappop(self._heap)
        return None

    def ids(self) -> list[str]:
        return sorted(self._keys, key=lambda id: (self._keys[id], id))


class _Queue:
    """One queue: its rows, and the ordered line of each place."""

    def __init__(self) -> None:
        self.rows: dict[str, _Row] = {}
        self.lines: defaultdict[str, _Line] = defaultdict(_Line)
        self.schedules: dict[str, ScheduleRecord] = {}
        self.paused = False
        self.bytes = 0  # of all ended jobs
        self._count = 0

    def next(self) -> int:
        self._count += 1
        return self._count

    def move(self, row: _Row, place: str, key: Key) -> None:
        """Take the row from its line and put it into the line of `place`."""
        self._leave(row)
        row.place, row.rank = place, key[0]
        if state_of(place) is State.WAITING:
            row.order = key
        self.lines[place].put(row.id, key)

    def move_to_tail(self, row: _Row) -> None:
        self.move(row, State.WAITING, (row.priority, self.next()))

    def keep(self, row: _Row, until: float | None) -> None:
        """Note how long an ended row is kept; None means by number."""
        self.bytes += row.size
        line = self.lines[_COUNTED if until is None else _EXPIRY]
        line.put(row.id, (row.rank if until is None else until, self.next()))

    def delete(self, row: _Row) -> None:
        self._leave(row)
        del self.rows[row.id]

    def _leave(self, row: _Row) -> None:
        if not row.place:
            return
        self.lines[row.place].drop(row.id)
        if state_of(row.place).terminal:
            self.bytes -= row.size
            self.lines[_EXPIRY].drop(row.id)
            self.lines[_COUNTED].drop(row.id)

    def parked_places(self) -> Iterator[str]:
        prefix = parked_place("")
        return (place for place, line in self.lines.items() if line and place.startswith(prefix))

    def ids_in(self, state: State) -> list[str]:
        """All ids of a state in order, parked ones last."""
        places = [str(state)]
        if state is State.WAITING:
            places += sorted(self.parked_places())
        return [id for place in places for id in self.lines[place].ids()]


class _Store:
    """What all instances of one URL share."""

    def __init__(self) -> None:
        self._lock = os_threads.rlock()
        self._process = 0  # whose jobs these are: that of the first who looks, or adds one
        self.queues: defaultdict[str, _Queue] = defaultdict(_Queue)
        self.workers: dict[str, tuple[WorkerRecord, float]] = {}
        self.listeners: list[Callable[[str], None]] = []
        self.hearers: list[Callable[[str, Collection[str]], None]] = []

    @property
    def lock(self) -> threading.RLock:
        """For one look or change. Raises StoreError in a process that was forked after the first:
        its copy of the jobs is nobody's, and the lock may be held by a thread that it lacks.
        """
        if self._process != (here := os.getpid()):
            if self._process:
                raise StoreError(
                    f"memory://: the jobs are in the memory of process {self._process}, which a"
                    f" forked process ({here}) cannot reach: enqueue before the fork, or use a"
                    " store that processes share, such as sqlite:///"
                )
            self._process = here
        return self._lock

    def wake(self, queue: str) -> None:
        for listener in list(self.listeners):
            listener(queue)

    def tell(self, queue: str, ended: Collection[str]) -> None:
        if ended:
            for hearer in list(self.hearers):
                hearer(queue, ended)


class _Ear:
    """Who waits for jobs to end, in one event loop."""

    def __init__(self, store: _Store) -> None:
        self._store = store
        self._loop = asyncio.get_running_loop()
        self.heard = Heard()
        store.hearers.append(self._on_end)

    async def close(self) -> None:
        self.abandon()

    def abandon(self) -> None:
        self._store.hearers.remove(self._on_end)

    def _on_end(self, queue: str, ids: Collection[str]) -> None:
        with contextlib.suppress(RuntimeError):  # the loop was closed
            self._loop.call_soon_threadsafe(self.heard.note, queue, ids)


class _Sleeper:
    """Who waits for jobs of a store, in one event loop."""

    def __init__(self, store: _Store) -> None:
        self._store = store
        self._listening = False
        self._woken: set[str] = set()
        self._event = asyncio.Event()
        self._loop = asyncio.get_running_loop()

    async def wait(self, queues: set[str], timeout: float) -> set[str]:
        if not self._listening:
            self._listening = True
            self._store.listeners.append(self._on_wake)
            return queues
        try:
            async with asyncio.timeout(timeout):
                while not self._woken & queues:
                    self._event.clear()
                    await self._event.wait()
        except TimeoutError:
            return set()
        woken = self._woken & queues
        self._woken -= woken
        return woken

    async def close(self) -> None:
        self.abandon()

    def abandon(self) -> None:
        if self._listening:
            self._listening = False
            self._store.listeners.remove(self._on_wake)

    def _on_wake(self, queue: str) -> None:
        try:
            here = asyncio.get_running_loop()
        except RuntimeError:  # a plain thread enqueues
            here = None
        if here is self._loop:
            self._note_wake(queue)
        else:
            with contextlib.suppress(RuntimeError):  # it was closed
                self._loop.call_soon_threadsafe(self._note_wake, queue)

    def _note_wake(self, queue: str) -> None:
        self._woken.add(queue)
        self._event.set()


_stores: defaultdict[str, _Store] = defaultdict(_Store)


class InMemoryBackend(BaseBackend):
    """A store in memory. Without a URL its jobs belong to this instance alone.

    `now` is the store's clock; tests pass a virtual one.
    """

    def __init__(self, url: str | None = None, *, now: clock.Clock = clock.wall) -> None:
        self.url = url or "memory://"
        self._store = _stores[url] if url else _Store()
        self._now = now
        self._sleepers = PerLoop(partial(_Sleeper, self._store))
        self._ears = PerLoop(partial(_Ear, self._store))

    async def connect(self) -> None:
        """Nothing to reach."""

    async def close(self) -> None:
        """Stop listening; the jobs stay with the URL."""
        await self._sleepers.close()
        await self._ears.close()

    async def warnings(self) -> list[str]:
        return []

    # ------------------------------------------------------------- the way of a job

    async def add(self, queue: str, jobs: Sequence[NewJob]) -> list[bool]:
        with self._store.lock:
            added = [self._add(self._store.queues[queue], job) for job in jobs]
        if any(added):
            self._store.wake(queue)
        return added

    def _add(self, queue: _Queue, job: NewJob) -> bool:
        if job.id in queue.rows:
            return False
        now = self._now()
        row = _Row(id=job.id, payload=job.payload, priority=job.priority, created=now)
        queue.rows[job.id] = row
        if job.delay > 0:
            queue.move(row, State.DELAYED, (now + job.delay, queue.next()))
        else:
            queue.move_to_tail(row)
        return True

    async def turn(
        self,
        queue: str,
        changes: Sequence[Change],
        limit: int,
        lease: float,
        worker: str,
    ) -> Turn:
        with self._store.lock:
            data = self._store.queues[queue]
            answers = [self._apply(data, change) for change in changes]
            ended = [
                change.id
                for change, answer in zip(changes, answers, strict=True)
                if answer == "applied" and change.path.target.terminal
            ]
            claims = [] if data.paused else list(self._claim(queue, data, limit, lease, worker))
        if any(change.path.target is State.WAITING for change in changes):
            self._store.wake(queue)
        self._store.tell(queue, ended)
        return Turn(answers, claims)

    def _claim(
        self, name: str, queue: _Queue, limit: int, lease: float, worker: str
    ) -> Iterator[Claim]:
        now = self._now()
        line = queue.lines[State.WAITING]
        for _ in range(limit):
            first = line.first()
            if first is None:
                return
            row = queue.rows[first[1]]
            row.token += 1
            row.worker, row.started = worker, now
            queue.move(row, EDGES["claim"].target, (now + lease, queue.next()))
            yield self._claim_of(name, row)

    def _claim_of(self, queue: str, row: _Row) -> Claim:
        return Claim(
            queue=queue,
            id=row.id,
            token=row.token,
            payload=row.payload[: self.payload_limit + 1],
            size=len(row.payload),
            failures=row.failures,
            crashes=row.crashes,
            solo=row.solo,
            age=self._now() - row.created,
            worker=row.worker,
        )

    def _apply(self, queue: _Queue, change: Change) -> Answer:
        row = queue.rows.get(change.id)
        if row is None:
            return "gone"
        if row.token != change.token:
            return "stale"
        if state_of(row.place) not in change.path.sources:
            return "already"
        now = self._now()
        if change.lapsed and row.rank > now:
            return "stale"
        row.token += change.outside
        if change.path.revives:
            row.created = now
        self._place(queue, row, change, now)
        return "applied"

    def _place(self, queue: _Queue, row: _Row, change: Change, now: float) -> None:
        if change.target != row.place:
            if change.path.rank is Rank.TAIL:
                queue.move_to_tail(row)
            elif change.path.rank is Rank.KEPT:
                queue.move(row, change.target, row.order)
            else:
                queue.move(row, change.target, (now + change.delay, queue.next()))
        for field in ("failures", "crashes", "solo", "error", "result", "progress"):
            value = getattr(change, field)
            if value is not None:
                setattr(row, field, value)
        if change.path.target.terminal:
            queue.keep(row, None if change.keep is None else now + change.keep)

    async def extend(self, held: Sequence[Held], lease: float) -> list[bool]:
        with self._store.lock:
            return [self._extend(each, lease) for each in held]

    def _extend(self, held: Held, lease: float) -> bool:
        queue = self._store.queues[held.queue]
        row = queue.rows.get(held.id)
        if row is None or row.token != held.token or row.place != State.ACTIVE:
            return False
        queue.move(row, row.place, (self._now() + lease, queue.next()))
        return True

    # ------------------------------------------------------------------ upkeep

    async def move_due(self, queue: str, page: int = PAGE) -> int:
        moved = 0
        with self._store.lock:
            data, now = self._store.queues[queue], self._now()
            line = data.lines[State.DELAYED]
            while moved < page and (first := line.first()) and first[0][0] <= now:
                data.move_to_tail(data.rows[first[1]])
                moved += 1
        if moved:
            self._store.wake(queue)
        return moved

    async def expired(self, queue: str, page: int = PAGE) -> Lapsed:
        with self._store.lock:
            rows, now = self._rows(queue, State.ACTIVE), self._now()
            lapsed = [self._claim_of(queue, row) for row in rows if row.rank <= now]
        return Lapsed(lapsed[:page], more=len(lapsed) >= page)

    async def held(self, queue: str, worker: str) -> list[Claim]:
        with self._store.lock:
            rows = self._rows(queue, State.ACTIVE)
            return [self._claim_of(queue, row) for row in rows if row.worker.startswith(worker)]

    def _rows(self, queue: str, state: State) -> list[_Row]:
        data = self._store.queues[queue]
        return [data.rows[id] for id in data.ids_in(state)]

    async def unpark(self, queue: str, tasks: Collection[str], page: int = PAGE) -> int:
        with self._store.lock:
            data = self._store.queues[queue]
            places = sorted(place for place in map(parked_place, tasks) if data.lines.get(place))
            ids = [id for place in places for id in data.lines[place].ids()][:page]
            for id in ids:
                row = data.rows[id]
                data.move(row, State.WAITING, row.order)
        if ids:
            self._store.wake(queue)
        return len(ids)

    async def prune(self, queue: str, retention: Retention, page: int = PAGE) -> int:
        removed = 0
        with self._store.lock:
            data = self._store.queues[queue]
            while removed < page and (id := self._surplus(data, retention)):
                data.delete(data.rows[id])
                removed += 1
        return removed

    def _surplus(self, queue: _Queue, retention: Retention) -> str | None:
        """The next ended job to delete, if there is one too many."""
        soonest = queue.lines[_EXPIRY].first()
        if soonest and soonest[0][0] <= self._now():
            return soonest[1]
        counted = queue.lines[_COUNTED]
        too_big = queue.bytes > retention.keep_bytes
        if len(counted) > retention.keep_completed or (too_big and counted):
            oldest = counted.first()
            return oldest[1] if oldest else None
        return soonest[1] if too_big and soonest else None

    async def outlook(self, queues: Sequence[str]) -> dict[str, Outlook]:
        with self._store.lock:
            return {name: self._outlook(self._store.queues[name]) for name in queues}

    def _outlook(self, queue: _Queue) -> Outlook:
        delayed = queue.lines[State.DELAYED].first()
        active = queue.lines[State.ACTIVE].first()
        return Outlook(
            now=self._now(),
            waiting=0 if queue.paused else len(queue.lines[State.WAITING]),
            next_due=delayed[0][0] if delayed else None,
            next_lapse=active[0][0] if active else None,
            parked_tasks=tuple(
                sorted(place.removeprefix(parked_place("")) for place in queue.parked_places())
            ),
            paused=queue.paused,
        )

    async def wait(self, queues: Collection[str], timeout: float) -> set[str]:
        return await self._sleepers.here().wait(set(queues), timeout)

    async def wait_ended(self, waited: Waited, timeout: float) -> dict[str, set[str]]:
        return await self._ears.here().heard.wait(waited, timeout)

    async def retire(self, queue: str) -> None:  # noqa: ARG002 - all are woken for each job
        return

    # ------------------------------------------------------------------ reading

    async def now(self) -> float:
        return self._now()

    async def get(self, queue: str, ids: Sequence[str]) -> list[Record | None]:
        with self._store.lock:
            rows = self._store.queues[queue].rows
            return [self._record(queue, rows[id]) if id in rows else None for id in ids]

    def _record(self, queue: str, row: _Row) -> Record:
        state = state_of(row.place)
        return Record(
            queue=queue,
            id=row.id,
            place=row.place,
            payload=row.payload,
            priority=row.priority,
            token=row.token,
            failures=row.failures,
            crashes=row.crashes,
            solo=row.solo,
            created=row.created,
            due=row.rank if state in {State.DELAYED, State.ACTIVE} else None,
            started=row.started,
            finished=row.rank if state.terminal else None,
            worker=row.worker,
            error=row.error,
            result=row.result,
            progress=row.progress,
        )

    async def counts(self, queues: Sequence[str]) -> dict[str, Counts]:
        with self._store.lock:
            return {name: self._counts(self._store.queues[name]) for name in queues}

    def _counts(self, queue: _Queue) -> Counts:
        parked = sum(len(queue.lines[place]) for place in queue.parked_places())
        sizes = {str(state): len(queue.lines[state]) for state in State}
        sizes["waiting"] += parked
        return Counts(**sizes, parked=parked, paused=queue.paused)

    async def queues(self) -> list[str]:
        with self._store.lock:
            return sorted(
                name for name, queue in self._store.queues.items() if queue.rows or queue.schedules
            )

    # ------------------------------------------------------------------ administration

    async def pause(self, queue: str, paused: bool) -> None:
        with self._store.lock:
            self._store.queues[queue].paused = paused
        if not paused:
            self._store.wake(queue)

    async def remove(self, queue: str, ids: Sequence[str]) -> list[bool]:
        with self._store.lock:
            removed = [self._remove(self._store.queues[queue], id) for id in ids]
        self._store.tell(queue, ids)
        return removed

    def _remove(self, queue: _Queue, id: str) -> bool:
        row = queue.rows.get(id)
        if row is not None:
            queue.delete(row)
        return row is not None

    async def purge(self, queue: str, state: State, page: int = PAGE) -> int:
        with self._store.lock:
            rows = self._rows(queue, state)[:page]
            for row in rows:
                self._store.queues[queue].delete(row)
        self._store.tell(queue, [row.id for row in rows])
        return len(rows)

    # ------------------------------------------------------------------ schedules

    async def declare_all(
        self, declared: Sequence[tuple[str, Mapping[str, bytes]]], fresh: bool, by: str = ""
    ) -> float:
        with self._store.lock:
            now = self._now()
            for queue, specs in declared:
                for name, spec in specs.items():
                    self._declare(queue, name, spec, now, fresh=fresh, by=by)
        return now

    def _declare(
        self, queue: str, name: str, spec: bytes, now: float, *, fresh: bool, by: str
    ) -> None:
        schedules = self._store.queues[queue].schedules
        known = schedules.get(name)
        if known is None:
            known = ScheduleRecord(
                queue=queue, name=name, spec=spec, declared=now, by=by, seen=now, last=now
            )
        elif fresh and known.spec != spec:
            known = msgspec.structs.replace(
                known, spec=spec, declared=now, by=by, former=known.spec, former_by=known.by
            )
        schedules[name] = msgspec.structs.replace(
            known,
            declared=believed(known.declared, now),
            last=believed(known.last, now),
            seen=now,
        )

    async def withdraw(self, names: Sequence[tuple[str, Sequence[str]]]) -> None:
        with self._store.lock:
            for queue, withdrawn in names:
                schedules = self._store.queues[queue].schedules
                for name in schedules.keys() & set(withdrawn):
                    schedules[name] = msgspec.structs.replace(schedules[name], seen=0.0)

    async def schedules(self, *queues: str) -> list[ScheduleRecord]:
        with self._store.lock:
            return [
                record
                for queue in queues
                for _, record in sorted(self._store.queues[queue].schedules.items())
            ]

    async def fire(self, queue: str, name: str, instant: float, job: NewJob | None) -> bool:
        with self._store.lock:
            data = self._store.queues[queue]
            known = data.schedules.get(name)
            if known is None or known.paused or known.last >= instant:
                return False
            if job is not None and job.id in data.rows:
                return False
            data.schedules[name] = msgspec.structs.replace(known, last=instant)
            if job is not None:
                self._add(data, job)
        self._store.wake(queue)
        return True

    async def edit_schedule(
        self, queue: str, name: str, action: Literal["pause", "resume", "remove"]
    ) -> bool:
        with self._store.lock:
            schedules = self._store.queues[queue].schedules
            known = schedules.pop(name, None)
            if known is not None and action != "remove":
                schedules[name] = msgspec.structs.replace(known, paused=action == "pause")
            return known is not None

    # ------------------------------------------------------------------ workers

    async def beat(self, worker: str, info: bytes, ttl: float) -> None:
        with self._store.lock:
            now = self._now()
            known = self._store.workers.get(worker)
            started = known[0].started if known else now
            record = WorkerRecord(id=worker, info=info, started=started, seen=now)
            self._store.workers[worker] = (record, now + ttl)
            self._drop_silent(now)

    def _drop_silent(self, now: float) -> None:
        workers = self._store.workers
        for id in [id for id, (_, until) in workers.items() if until <= now]:
            del workers[id]

    async def leave(self, worker: str) -> None:
        with self._store.lock:
            self._store.workers.pop(worker, None)

    async def workers(self) -> list[WorkerRecord]:
        with self._store.lock:
            self._drop_silent(self._now())
            return [record for _, (record, _) in sorted(self._store.workers.items())]

    async def list(
        self, queue: str, state: State, offset: int = 0, limit: int = 100
    ) -> list[Record]:
        with self._store.lock:
            rows = self._rows(queue, state)
            if state.terminal:
                rows.reverse()
            return [self._record(queue, row) for row in rows[offset : offset + limit]]


def forget(urls: Iterable[str]) -> None:
    """Drop the jobs of these memory URLs: for tests that must not see each other's."""
    for url in urls:
        _stores.pop(url, None)
