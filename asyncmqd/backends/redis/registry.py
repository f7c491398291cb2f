"""Pauses, schedules, living processes and the past of the store in Redis."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import chain
from typing import Any, Literal

from asyncmqd.backends.base import (
    WATCHED,
    ScheduleRecord,
    WorkerRecord,
)
from asyncmqd.backends.redis import encoding
from asyncmqd.backends.redis.encoding import micros, seconds
from asyncmqd.backends.redis.insight import RedisInsight
from asyncmqd.backends.redis.scripts import Argument, call
from asyncmqd.domain import history as past
from asyncmqd.domain.history import History, Period
from asyncmqd.domain.job import NewJob
from asyncmqd.domain.schedule_counts import REASONS, Fired, Passed
from asyncmqd.domain.settle import ORPHAN_RETENTION, supersede
from asyncmqd.domain.states import State
from asyncmqd.domain.store_clock import TOLERANCE
from asyncmqd.domain.typed_keywords import Overlap


class RedisRegistry(RedisInsight):
    """The faces of the registry and of history; `store.RedisBackend` has the others."""

    async def pause(self, queue: str, paused: bool, by: str = "", reason: str = "") -> None:
        await self._one("pause", queue, int(paused), encoding.pause_note(by, reason))

    async def declare_all(
        self, declared: Sequence[tuple[str, Mapping[str, bytes]]], fresh: bool, by: str = ""
    ) -> float:
        commands = []
        for queue, specs in declared:
            flat = (arg for name, spec in specs.items() for arg in (name, spec))
            declaration = self._call("declare", queue, int(fresh), TOLERANCE, by, *flat)
            commands += [self._known(queue), declaration]
        if not commands:
            return await self.now()
        replies = await self._run(*commands)
        return seconds(replies[1])  # the first of them: instants may be late, but never early

    async def withdraw(self, names: Sequence[tuple[str, Sequence[str]]]) -> None:
        if names:
            await self._run(*(self._call("withdraw", queue, *each) for queue, each in names))

    async def schedules(self, *queues: str) -> list[ScheduleRecord]:
        if not queues:
            return []
        replies = await self._run(*(self._call("schedules", queue, *REASONS) for queue in queues))
        return [
            record
            for queue, rows in zip(queues, replies, strict=True)
            for record in sorted(
                (encoding.schedule(queue, row) for row in rows), key=lambda each: each.name
            )
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
        counts: Mapping[Any, int] = {} if passed is None else passed.counts
        counted = "" if passed is None else repr(float(passed.last))
        flat = (argument for each in counts.items() for argument in each)
        head: tuple[Argument, ...] = (name, repr(float(instant)), counted, overlap)
        head += _cancel_args(queue, job, keep) if overlap == "replace" else ("", 0, "")
        head += ("", 1) if job is None else (job.key, job.cost)
        args: tuple[Argument, ...] = (*head, len(counts), *flat)
        if job is not None:
            args += (State.WAITING, State.DELAYED, *encoding.job_args(job))
        return Fired(await self._one("fire", queue, *args))

    async def edit_schedule(
        self,
        queue: str,
        name: str,
        action: Literal["pause", "resume", "remove"],
        passed: int = 0,
        until: float | None = None,
    ) -> bool:
        end = "" if until is None else until
        return bool(await self._one("edit_schedule", queue, name, action, passed, end) == 1)

    # ------------------------------------------------------------------ workers

    @property
    def _workers(self) -> str:
        return f"{self._prefix}:workers"

    @property
    def _operating(self) -> str:
        return f"{self._prefix}:operating"

    async def beat(self, worker: str, info: bytes, ttl: float) -> list[str]:
        beat = call("beat", [self._workers], [worker, micros(ttl), info])
        looks = ("HKEYS", self._operating), ("EXISTS", self._epoch)
        _, queues, is_watched = await self._run(beat, *looks)
        return sorted(queue.decode() for queue in queues) + [WATCHED] * is_watched

    async def leave(self, worker: str) -> None:
        await self._run(("HDEL", self._workers, worker))

    async def workers(self) -> list[WorkerRecord]:
        [reply] = await self._run(call("workers", [self._workers]))
        return encoding.workers(reply)

    # ------------------------------------------------------------------ history

    async def note(self, periods: Mapping[str, Period], *, over: bool) -> float:
        if not periods:
            return await self.now()
        rules = (int(over), micros(past.MINUTE), *_RULES)
        calls = [
            self._call("note", queue, each.minute, encoding.period_arg(each), *rules)
            for queue, each in periods.items()
        ]
        return seconds((await self._run(*calls))[0])

    async def history(self, queue: str) -> History:
        base = self._base(queue)
        lists = (("LRANGE", f"{base}{each}", 0, -1) for each in ("minutes", "half_hours"))
        now, minutes, half_hours = await self._run(call("now", [f"{base}now"]), *lists)
        return History(seconds(now), encoding.periods(minutes), encoding.periods(half_hours))

    async def oldest(self, queues: Sequence[str]) -> dict[str, float]:
        if not queues:
            return {}
        calls = (call("oldest", slot, [past.PRIORITIES]) for slot in self._slots(queues))
        ages = chain.from_iterable(await self._run(*calls))
        return dict(zip(queues, map(seconds, ages), strict=True))


# Of note.lua: what history is kept for how long, and which of its counts are what.
_RULES: tuple[Argument, ...] = (
    past.MINUTES_KEPT,
    past.HALF_HOUR,
    past.KEPT,
    past.PRIORITIES,
    *past.ENDED,
    *(past.COUNTS.index(each) + 1 for each in ("added", *past.ENDED)),
)


def _cancel_args(queue: str, job: NewJob | None, keep: float) -> tuple[Argument, ...]:
    """Of fire.lua: how jobs are cancelled for another."""
    change = supersede(queue, "", 0, "" if job is None else job.id, keep)
    return change.target, micros(change.keep or 0.0), change.error or b""
