"""Repeatables of one queue: each instant fires once, over any number of workers and daemons.

All workers that declare a schedule compute its instants from the store's clock; the store accepts
the first of them for each instant, and only ever later instants. So no leader is needed.
`timetable.py` calls, for all queues of a process together, when there is something to do.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, TypeVar

import msgspec

from asyncmqd.backends.base import ScheduleRecord
from asyncmqd.domain import clock
from asyncmqd.domain.codec import NotSerialisable, PayloadTooLarge, encode_spec
from asyncmqd.domain.failpoints import failpoint
from asyncmqd.domain.job import NewJob
from asyncmqd.domain.job_cost import cost_of
from asyncmqd.domain.job_key import key_of
from asyncmqd.domain.missed_instants import Due, due
from asyncmqd.domain.options import DEFAULT_PRIORITY
from asyncmqd.domain.schedule import (
    Repeatable,
    UnknownZone,
    decode_schedule,
    jitter_of,
    job_of,
    next_instant,
)
from asyncmqd.domain.schedule_counts import Fired, Passed, Reason
from asyncmqd.domain.settle import ORPHAN_RETENTION
from asyncmqd.domain.tasks import TaskOptions

if TYPE_CHECKING:
    from asyncmqd.runtime.process.context import ProcessContext

Value = TypeVar("Value")

AT_ONCE = 50  # instants of one schedule that fire before the others have their turn

_encoder = msgspec.json.Encoder(order="deterministic")


class _Entry:
    """A schedule as the store has it, read."""

    def __init__(self, record: ScheduleRecord, repeatable: Repeatable) -> None:
        self.record = record
        self.repeatable = repeatable
        self.next = math.inf  # the store's time of the first instant after `counted_from`
        self.counted_from = -math.inf

    @property
    def since(self) -> float:
        """Nothing that it names before was missed."""
        return self.record.since


class Scheduler:
    """Declares the repeatables of a queue and fires them."""

    def __init__(
        self,
        queue: str,
        context: ProcessContext,
        repeatables: Sequence[Repeatable],
        keep: float = ORPHAN_RETENTION,
    ) -> None:
        self.queue = queue
        self._backend = context.backend
        self._registry = context.registry
        self._observer = context.observer
        self._wakeups = context.wakeups
        self._timetable = context.timetable
        self._id = context.presence.id
        self._kept = keep  # seconds for which jobs are kept that were replaced
        self.busy_since: float | None = None  # loop time at which the present pass began
        self.fresh = True  # declared again: differing specs in the store are replaced
        self.declared_at = -math.inf  # loop time
        self.looked_at = -math.inf  # loop time of the last look at the store
        self.look_at = -math.inf  # and of the next
        self.specs: dict[str, bytes] = {}
        self.withdrawn: set[str] = set()  # names that are no longer declared here
        self.due_at = math.inf  # the store's time of the next instant of all schedules
        self._entries: dict[str, _Entry] = {}
        self.unreadable: dict[str, str] = {}  # schedules that mean nothing here, and why
        self._overruled: dict[str, bytes] = {}  # what counts in the place of ours, by name
        self.declare(repeatables, keep)

    def declare(self, repeatables: Sequence[Repeatable], keep: float) -> None:
        """Have these schedules from now on; one that is left out goes on if others have it.

        The store is told the task's own priority, ttl, key and cost where a schedule has none: who
        enqueues its jobs there, as `schedule run` does, need not know the task.
        """
        self._kept = keep
        specs = {each.identity: _encoder.encode(self._with_own(each)) for each in repeatables}
        if specs != self.specs:
            self.withdrawn = (self.withdrawn | self.specs.keys()) - specs.keys()
            self._entries = {name: e for name, e in self._entries.items() if name in specs}
            self.unreadable = {name: why for name, why in self.unreadable.items() if name in specs}
            self.specs = specs
            self.fresh = True
            self.look_again()
            self._note_due()
            self._timetable.wake()

    def _with_own(self, repeatable: Repeatable) -> Repeatable:
        task = self._registry.get(repeatable.task)
        own = TaskOptions() if task is None else task.options
        if repeatable.priority is None and own.priority != DEFAULT_PRIORITY:
            repeatable = msgspec.structs.replace(repeatable, priority=own.priority)
        if repeatable.ttl is None and own.ttl is not None:
            repeatable = msgspec.structs.replace(repeatable, ttl=own.ttl)
        if repeatable.key is None and own.key is not None:
            repeatable = msgspec.structs.replace(repeatable, key=self._own(repeatable, key_of))
        if repeatable.cost is None and own.cost != 1:
            repeatable = msgspec.structs.replace(repeatable, cost=self._own(repeatable, cost_of))
        return repeatable

    def _own(self, repeatable: Repeatable, rule: Callable[..., Value]) -> Value | None:
        """What the task says of its arguments by a rule; None if nobody knows, which is logged."""
        task = self._registry.get(repeatable.task)
        assert task is not None
        try:
            return rule(task, tuple(repeatable.args), repeatable.kwargs)
        except Exception as error:  # noqa: BLE001 - a function of the application
            self._event("schedule.failed", repeatable.identity, error=str(error))
            return None

    async def run(self) -> None:
        """Fire until cancelled; a store that fails is tried again."""
        await self._timetable.serve(self)

    # ------------------------------------------------------------------ by the timetable

    def look_again(self) -> None:
        """Something else may be in the store than was read."""
        self.look_at = -math.inf

    def looked(self, now: float, pause: float) -> None:
        """The store is looked at, `now` by the loop's clock; the next time after a pause."""
        self.looked_at, self.look_at = now, now + pause

    def declared(self, now: float) -> None:
        """What it has is declared, `now` by the loop's clock."""
        self.fresh = False
        self.declared_at = now

    def declare_again(self, *, fresh: bool = False) -> None:
        """That failed, or the store should look again at what it noted."""
        self.fresh = self.fresh or fresh
        self.declared_at = -math.inf

    def count_anew(self) -> None:
        """The store's clock has jumped: what is to come goes by its new time."""
        for entry in self._entries.values():
            entry.counted_from = -math.inf
        self.declare_again()
        self.look_again()

    # ------------------------------------------------------------------ what the store has

    async def take(self, records: Sequence[ScheduleRecord]) -> dict[str, bytes]:
        """Go by these from now on; the specs to be restored, because those there are corrupted."""
        found = {record.name: record for record in records if record.name in self.specs}
        broken = {}
        for name, record in found.items():
            own = self.specs.get(name)  # it may be declared no more: this takes many turns
            if own is not None and not self._keep(record):
                broken[name] = own
            await self._timetable.step()
        lost = len(found) < len(self.specs) or not all(record.seen for record in found.values())
        if lost and self.declared_at < self.looked_at:
            # Somebody removed it, or another daemon that had it as well does so no more.
            self.declared_at = -math.inf
            self.look_again()
        for name in self._entries.keys() - found.keys():
            del self._entries[name]
        await self._plan()
        return broken

    def _keep(self, record: ScheduleRecord) -> bool:
        """Go by a record; whether it can be used or left alone.

        A corrupted spec is replaced by what our file says. What is sound, but means nothing on
        this host, is told once and fires elsewhere.
        """
        entry = self._entries.get(record.name)
        if entry is not None and entry.record.spec == record.spec:
            entry.record = record
            return True
        try:
            self._entries[record.name] = _Entry(record, decode_schedule(record.spec))
        except ValueError as error:
            self._entries.pop(record.name, None)
            if not isinstance(error, UnknownZone) and record.spec != self.specs[record.name]:
                self._event("schedule.restored", record.name, error=str(error))
                return False
            if self.unreadable.get(record.name) != str(error):
                self.unreadable[record.name] = str(error)
                self._event("schedule.unreadable", record.name, error=str(error))
        else:
            self.unreadable.pop(record.name, None)
        self._tell_who_won(record)
        return True

    def _tell_who_won(self, record: ScheduleRecord) -> None:
        """One line where our declaration took the place of another, and where another took ours."""
        if record.spec == self.specs[record.name]:
            self._overruled.pop(record.name, None)
            told, key = self._timetable.replaced, (self.queue, record.name)
            ours = record.former and record.by == self._id
            if ours and told.get(key) != record.declared:  # else by a former worker of the queue
                told[key] = record.declared
                former, owner = record.former.decode(errors="replace"), record.former_by or None
                self._event("schedule.replaced", record.name, former=former, former_by=owner)
        elif self._overruled.get(record.name) != record.spec:
            self._overruled[record.name] = record.spec
            declared, owner = record.spec.decode(errors="replace"), record.by or None
            self._event("schedule.overruled", record.name, declared=declared, by=owner)

    # ------------------------------------------------------------------ firing

    async def fire_due(self, store_time: Callable[[], float]) -> None:
        """Fire what is due by `store_time`."""
        for name, entry in list(self._entries.items()):
            if entry.record.paused or entry.next > (now := store_time()):
                continue
            have_come = due(entry.repeatable, entry.since, now)
            if have_come is None:
                entry.next = next_instant(entry.repeatable, max(now, entry.since))
            else:
                await self._fire_all(entry, name, have_come, now)
            await self._timetable.step()
        await self._plan()

    async def _plan(self) -> None:
        """Find out when the next instant of each schedule is, where that may have changed."""
        for entry in list(self._entries.values()):
            if entry.counted_from != entry.since and not entry.record.paused:
                entry.counted_from = entry.since
                entry.next = next_instant(entry.repeatable, entry.since)
                await self._timetable.step()
        self._note_due()

    def _note_due(self) -> None:
        moments = (each.next for each in self._entries.values() if not each.record.paused)
        self.due_at = min(moments, default=math.inf)

    async def _fire_all(self, entry: _Entry, name: str, have_come: Due, now: float) -> None:
        """Fire the instants that are to fire, in order, until another daemon was faster.

        Of many the first: the other schedules of the process wait meanwhile, and the rest is due.
        """
        counts = dict(have_come.skipped)
        for instant in have_come.instants[:AT_ONCE] or [have_come.until]:
            job = self._job(entry.repeatable, instant) if have_come.instants else None
            if job is None and have_come.instants:
                counts["failed"] = 1
            passed = Passed(entry.record.last, counts) if counts else None
            if not await self._fire(entry, name, instant, job, passed, now):
                self.look_again()  # another daemon was first, or it was paused
                return
            counts = {}
            await self._timetable.step()

    async def _fire(
        self,
        entry: _Entry,
        name: str,
        instant: float,
        job: NewJob | None,
        passed: Passed | None,
        now: float,
    ) -> Fired:
        how = entry.repeatable.overlap, self._kept
        failpoint("firing")
        fired = await self._backend.fire(self.queue, name, instant, job, passed, *how)
        if not fired and job is not None and await self._is_due(name, instant):
            # The store's clock was set back, and its hour comes again: the id has been used.
            job = self._job(entry.repeatable, instant, f".{clock.nonce()}")
            fired = await self._backend.fire(self.queue, name, instant, job, passed, *how)
        failpoint("fired")
        entry.record = msgspec.structs.replace(entry.record, last=instant)
        if fired:
            counts: dict[Reason, int] = {} if passed is None else {**passed.counts}
            if job is not None and fired is Fired.SKIPPED:
                job, counts["overlap"] = None, 1
            self._event(
                "schedule.skipped" if job is None else "schedule.fired",
                name,
                task=entry.repeatable.task,
                job_id=None if job is None else job.id,
                late_ms=round((now - instant) * 1000, 1),
                **({"skipped": counts} if counts else {}),
                **({"replaced": True} if fired is Fired.REPLACED else {}),
            )
            self._wakeups.wake(self.queue)
        if fired is Fired.REPLACED:
            await self._backend.recall()  # the last job may be running
        return fired

    async def _is_due(self, name: str, instant: float) -> bool:
        found = [each for each in await self._backend.schedules(self.queue) if each.name == name]
        return any(not record.paused and record.last < instant for record in found)

    def _job(self, repeatable: Repeatable, instant: float, suffix: str = "") -> NewJob | None:
        """The job of an instant, its id with `suffix`; None if it cannot be stored: that is logged.

        Declarations are checked, but the one that counts may be of a daemon with another limit.
        """
        spec = job_of(self._with_own(repeatable), instant)
        spec = msgspec.structs.replace(spec, id=spec.id + suffix)
        try:
            payload = encode_spec(spec, self._backend.payload_limit)
        except (NotSerialisable, PayloadTooLarge) as error:
            self._event("schedule.failed", repeatable.identity, error=str(error))
            return None
        delay = 0.0
        if repeatable.jitter:
            due_at = instant + jitter_of(repeatable, self.queue, instant)
            delay = max(0.0, due_at - self._timetable.now())
        return NewJob(
            id=spec.id,
            payload=payload,
            priority=spec.priority,
            delay=delay,
            key=spec.key or "",
            cost=spec.cost or 1,
        )

    def _event(self, event: str, name: str, **fields: object) -> None:
        self._observer.event(event, queue=self.queue, schedule=name, **fields)
