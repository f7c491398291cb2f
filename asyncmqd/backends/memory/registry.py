"""Pauses, schedules, living processes and the past of the store in memory."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Literal

import msgspec

from asyncmqd.backends.base import WATCHED, ScheduleRecord, WorkerRecord
from asyncmqd.backends.memory.history import Noting
from asyncmqd.backends.memory.insight import InMemoryInsight
from asyncmqd.backends.memory.rows import Jobs, Queue
from asyncmqd.domain.history import History, Period
from asyncmqd.domain.job import NewJob
from asyncmqd.domain.overlap import Step, at_overlap
from asyncmqd.domain.pause import Pause
from asyncmqd.domain.schedule_counts import Fired, Passed
from asyncmqd.domain.settle import ORPHAN_RETENTION
from asyncmqd.domain.store_clock import believed
from asyncmqd.domain.typed_keywords import Overlap


class InMemoryRegistry(InMemoryInsight):
    """The faces of the registry and of history; `store.InMemoryBackend` has the others."""

    async def pause(self, queue: str, paused: bool, by: str = "", reason: str = "") -> None:
        with self._store.lock:
            pause = Pause(since=self._now(), by=by, reason=reason) if paused else None
            self._store.queues[queue].pause = pause
        self._store.wake(queue)

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

    async def fire(
        self,
        queue: str,
        name: str,
        instant: float,
        job: NewJob | None,
        passed: Passed | None = None,
        overlap: Overlap = "allow",
        keep: float = ORPHAN_RETENTION,
    ) -> Fired:
        with self._store.lock:
            data = self._store.queues[queue]
            known = data.schedules.get(name)
            if known is None or known.paused or known.last >= instant:
                return Fired.NO
            if passed is not None and passed.last != known.last:
                return Fired.NO
            if job is not None and job.id in data.rows:
                return Fired.NO
            counts = {} if passed is None else passed.counts
            step = Step("skip")
            if job is not None:
                step = at_overlap(overlap, known.tally, data.state_of_parent)
            if job is None:
                tally = known.tally.after(instant, None, counts)
            elif step.what == "skip":
                job, tally = None, known.tally.overlapped(instant, counts)
            else:
                after = self._enqueue(data, job, step, keep)
                tally = known.tally.after(instant, job.id, counts, after, len(step.cancels))
            data.schedules[name] = msgspec.structs.replace(known, last=instant, tally=tally)
        self._store.wake(queue)
        self._store.tell(queue, step.cancels)
        if job is None:
            return Fired.SKIPPED
        return Fired.REPLACED if step.cancels else Fired.YES

    def _enqueue(self, data: Queue, job: NewJob, step: Step, keep: float) -> str:
        """Add the job of an instant; what it has to wait for."""
        jobs, after = Jobs(data, self._now()), step.after
        for id in step.cancels:
            after = jobs.supersede(id, job.id, keep) or after
        jobs.add(job, [after] if after else [])
        data.forget_idle_lanes()
        return after

    async def edit_schedule(
        self,
        queue: str,
        name: str,
        action: Literal["pause", "resume", "remove"],
        passed: int = 0,
        until: float | None = None,
    ) -> bool:
        with self._store.lock:
            schedules = self._store.queues[queue].schedules
            known = schedules.pop(name, None)
            if known is None or action == "remove":
                return known is not None
            if action == "resume" and known.paused:
                now = min(self._now(), math.inf if until is None else until)
                tally = known.tally.after(now, None, {"paused": passed} if passed else {})
                known = msgspec.structs.replace(known, last=max(known.last, now), tally=tally)
            schedules[name] = msgspec.structs.replace(known, paused=action == "pause")
            return True

    # ------------------------------------------------------------------ workers

    async def beat(self, worker: str, info: bytes, ttl: float) -> list[str]:
        with self._store.lock:
            now = self._now()
            known = self._store.workers.get(worker)
            started = known[0].started if known else now
            record = WorkerRecord(id=worker, info=info, started=started, seen=now)
            self._store.workers[worker] = (record, now + ttl)
            self._drop_silent(now)
            operating = sorted(
                name
                for name, queue in self._store.queues.items()
                if any(each.ended is None for each in queue.operations.values())
            )
            return operating if self._epoch() is None else [*operating, WATCHED]

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

    # ------------------------------------------------------------------ history

    async def note(self, periods: Mapping[str, Period], *, over: bool) -> float:
        with self._store.lock:
            now = self._now()
            for queue, period in periods.items():
                Noting(self._store.queues[queue], now).note(period, over=over)
            return now

    async def history(self, queue: str) -> History:
        with self._store.lock:
            return Noting(self._store.queues[queue], self._now()).history()

    async def oldest(self, queues: Sequence[str]) -> dict[str, float]:
        with self._store.lock:
            now = self._now()
            return {queue: Noting(self._store.queues[queue], now).oldest() for queue in queues}
