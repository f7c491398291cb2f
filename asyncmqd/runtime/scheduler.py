"""Repeatables of one queue: each instant fires once, over any number of workers and daemons.

All workers that declare a schedule compute its instants from the store's clock; the store accepts
the first of them for each instant, and only ever later instants. So no leader is needed.
"""

from __future__ import annotations

import asyncio
import contextlib
import math
from collections.abc import Sequence

import msgspec

from asyncmqd.backends.base import ScheduleRecord
from asyncmqd.domain import clock
from asyncmqd.domain.codec import NotSerialisable, PayloadTooLarge, encode_spec
from asyncmqd.domain.failpoints import failpoint
from asyncmqd.domain.job import NewJob
from asyncmqd.domain.schedule import (
    MISSED_LIMIT,
    Repeatable,
    decode_schedule,
    job_of,
    latest_instant,
    next_instant,
)
from asyncmqd.runtime.node import Node

REFRESH = 30.0  # seconds between looks at what the store and other daemons say
SLOW = 0.1  # seconds: a reply that took longer tells the store's clock too badly to be kept

_encoder = msgspec.json.Encoder(order="deterministic")
_decoder = msgspec.json.Decoder(Repeatable)


class Scheduler:
    """Declares the repeatables of a queue and fires them."""

    def __init__(self, queue: str, node: Node, repeatables: Sequence[Repeatable]) -> None:
        self.queue = queue
        self.node = node
        self.busy_since: float | None = None  # loop time at which the present pass began
        self._specs: dict[str, bytes] = {}
        self._fresh = True  # declared anew: differing specs in the store are replaced
        self._bell = asyncio.Event()
        self._offset = 0.0  # the store's clock minus the loop's
        self._records: dict[str, ScheduleRecord] = {}
        self._read_at = -math.inf  # loop time
        self.declare(repeatables)

    def declare(self, repeatables: Sequence[Repeatable]) -> None:
        """Have these schedules from now on; one that is left out lives on if others have it."""
        specs = {each.key: _encoder.encode(each) for each in repeatables}
        if specs != self._specs:
            self._specs = specs
            self._fresh = True
            self._read_at = -math.inf
            self._bell.set()

    async def run(self) -> None:
        """Fire until cancelled; a store that fails is tried again."""
        self.node.on_jump.add(self._look_anew)
        try:
            await self.node.persistently(self._pass)
        finally:
            self.node.on_jump.discard(self._look_anew)

    def _look_anew(self) -> None:
        self._read_at = -math.inf
        self._bell.set()

    async def _pass(self) -> None:
        self._bell.clear()
        if not self._specs:
            await self._bell.wait()
        loop = asyncio.get_running_loop()
        self.busy_since = loop.time()
        try:
            if loop.time() - self._read_at >= REFRESH:
                await self._refresh()
            pause = await self._fire_due()
        finally:
            self.busy_since = None
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(min(pause, REFRESH)):
                await self._bell.wait()

    async def _refresh(self) -> None:
        loop = asyncio.get_running_loop()
        asked = loop.time()
        now = await self.node.backend.declare(self.queue, self._specs, self._fresh)
        answered = loop.time()
        self.node.note_reply(now, asked)
        # Behind the store's clock by what the reply took: instants may be late, but never early.
        self._offset = now - answered
        self._fresh = False
        self._records = await self._read()
        if broken := {name: self._specs[name] for name in self._records if self._is_broken(name)}:
            await self.node.backend.declare(self.queue, broken, fresh=True)
            self._records = await self._read()
        # After a stall, or if we were stopped meanwhile, that is much: ask again at the next pass.
        self._read_at = answered if answered - asked <= SLOW else -math.inf

    async def _read(self) -> dict[str, ScheduleRecord]:
        records = await self.node.backend.schedules(self.queue)
        return {record.name: record for record in records if record.name in self._specs}

    def _is_broken(self, name: str) -> bool:
        """Whether somebody spoilt what the store has: then what our file says replaces it."""
        try:
            decode_schedule(self._records[name].spec)
        except ValueError as error:
            observer = self.node.observer
            observer.event("schedule.restored", queue=self.queue, schedule=name, error=str(error))
            return True
        return False

    async def _fire_due(self) -> float:
        """Fire what is due; seconds until the next instant of any schedule."""
        moments = []
        for name, record in list(self._records.items()):
            if record.paused:
                continue
            # The newest declaration wins: what the store has, not what this daemon's file says.
            repeatable = _decoder.decode(record.spec)
            now = self._now()
            # What an altered schedule names before its declaration was never missed.
            since = max(record.last, record.declared)
            instant = latest_instant(repeatable, since, now)
            if instant is not None:
                await self._fire(repeatable, name, instant, now)
            moments.append(next_instant(repeatable, max(now, since)))
        return max(0.0, min(moments, default=math.inf) - self._now())

    async def _fire(self, repeatable: Repeatable, name: str, instant: float, now: float) -> None:
        missed = now - instant > MISSED_LIMIT
        job = None if missed else self._job(repeatable, instant)
        failpoint("firing")
        fired = await self.node.backend.fire(self.queue, name, instant, job)
        if not fired and job is not None and await self._is_due(name, instant):
            # The store's clock was set back, and its hour comes again: the id has been used.
            job = self._job(repeatable, instant, f".{clock.nonce()}")
            fired = await self.node.backend.fire(self.queue, name, instant, job)
        failpoint("fired")
        self._records[name] = msgspec.structs.replace(self._records[name], last=instant)
        if not fired:
            self._read_at = -math.inf  # another daemon was first, or it was paused: read anew
            return
        self.node.observer.event(
            "schedule.skipped" if job is None else "schedule.fired",
            queue=self.queue,
            schedule=name,
            task=repeatable.task,
            job_id=None if job is None else job.id,
            late_ms=round((now - instant) * 1000, 1),
        )
        self.node.wake(self.queue)

    async def _is_due(self, name: str, instant: float) -> bool:
        record = (await self._read()).get(name)
        return record is not None and not record.paused and record.last < instant

    def _now(self) -> float:
        return asyncio.get_running_loop().time() + self._offset

    def _job(self, repeatable: Repeatable, instant: float, suffix: str = "") -> NewJob | None:
        """The job of an instant, its id with `suffix`; None if it cannot be stored: that is logged.

        Declarations are checked, but the one that counts may be of a daemon with another limit.
        """
        task = self.node.registry.get(repeatable.task)
        options = None if task is None else task.options
        spec = job_of(
            repeatable,
            instant,
            None if options is None else options.priority,
            None if options is None else options.ttl,
        )
        spec = msgspec.structs.replace(spec, id=spec.id + suffix)
        try:
            payload = encode_spec(spec, self.node.backend.payload_limit)
        except (NotSerialisable, PayloadTooLarge) as error:
            self.node.observer.event(
                "schedule.failed", queue=self.queue, schedule=repeatable.key, error=str(error)
            )
            return None
        return NewJob(id=spec.id, payload=payload, priority=spec.priority)
