"""`Operations`: what operators do to many jobs is carried on, whoever began it."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Iterable
from typing import Any

from asyncmqd.backends.base import BaseBackend, OperationRecord, StoreError
from asyncmqd.client.operations import LEASE, carry_on
from asyncmqd.domain.operation import Order, order_of, progress_of
from asyncmqd.observe.observer import Observer
from asyncmqd.runtime.duties import Duty, DutyGroup
from asyncmqd.runtime.process.presence import Presence

_MARGIN = 0.05  # seconds after the end of another's lease


class Operations:
    """Carries on the operations that a heartbeat has told of, one after the other.

    Those that another carries are looked at again when its lease ends. Without any, nothing runs.
    """

    def __init__(
        self, backend: BaseBackend, presence: Presence, duties: DutyGroup, observer: Observer
    ) -> None:
        self._backend = backend
        self._presence = presence
        self._duties = duties
        self._observer = observer
        self._lease = min(LEASE, presence.lease)
        self._queues: set[str] = set()  # that may have some
        self._told = asyncio.Event()
        self._duty: Duty | None = None

    def look(self, queues: Iterable[str]) -> None:
        """These queues may have operations under way."""
        self._queues.update(queues)
        self._told.set()
        if self._duty is None:
            self._duty = self._duties.begin("operations", self._carry_for_ever)

    async def _carry_for_ever(self) -> None:
        while True:
            await self._told.wait()
            self._told.clear()
            # A heartbeat tells of them again when the store answers.
            with contextlib.suppress(StoreError):
                await self._carry_all()

    async def _carry_all(self) -> None:
        """Return once none is under way, or a heartbeat tells of more."""
        while self._queues and not self._told.is_set():
            found = await self._backend.operations(sorted(self._queues))
            under_way = [each for each in found if each.ended is None]
            self._queues = {each.queue for each in under_way}
            if not any([await self._carry(each) for each in under_way]) and under_way:
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(await self._pause(under_way)):
                        await self._told.wait()

    async def _pause(self, held: list[OperationRecord]) -> float:
        """Seconds until the first of these leases ends."""
        soonest = min(each.until for each in held) - await self._backend.now()
        return min(max(soonest, 0.0), self._lease) + _MARGIN

    async def _carry(self, known: OperationRecord) -> bool:
        """Carry it to its end, if nobody else does; whether this process had it."""
        gone = await self._gone(known)
        mine = await self._backend.carry(
            known.queue, known.id, self._presence.id, self._lease, gone
        )
        if mine is None:
            return False
        former = known.carrier or None
        self._observer.event("operation.carried", **_fields(mine), former=former)
        if await carry_on(self._backend, mine, self._lease):
            for each in await self._backend.operations([known.queue]):
                if each.id == known.id:
                    self._observer.event("operation.ended", **_fields(each))
        return True

    async def _gone(self, known: OperationRecord) -> str:
        """Its carrier, if that was a process like this one, and has said goodbye."""
        if "/" not in known.carrier:
            return ""
        living = {each.id for each in await self._backend.workers()}
        return "" if known.carrier in living else known.carrier


def _fields(record: OperationRecord) -> dict[str, Any]:
    """What log lines tell of it."""
    order, progress = order_of(record.order) or Order(verb="retry"), progress_of(record.progress)
    return {
        "queue": record.queue,
        "operation": record.id,
        "action": order.verb,
        "jobs": order.words,
        "by": order.by or None,
        "reason": order.reason or None,
        "moved": record.moved,
        "left": progress.left or None,
    }
