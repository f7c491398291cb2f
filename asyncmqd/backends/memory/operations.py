"""The operations of the store in memory."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec

from asyncmqd.backends.base import OperationRecord, is_whole
from asyncmqd.backends.memory.reading import InMemoryReading
from asyncmqd.domain.change import Answer, Change
from asyncmqd.domain.operation import KEPT, KEPT_FOR


class InMemoryOperations(InMemoryReading):
    """The face of operations; `store.InMemoryBackend` has the others."""

    async def begin_operation(
        self, queue: str, id: str, order: bytes, carrier: str = "", lease: float = 0.0
    ) -> OperationRecord:
        with self._store.lock:
            known, now = self._store.queues[queue].operations, self._now()
            if id not in known:
                known[id] = OperationRecord(
                    id=id,
                    queue=queue,
                    order=order,
                    begun=now,
                    token=1 if carrier else 0,
                    carrier=carrier,
                    until=now + lease if carrier else 0.0,
                )
                for each in list(known.values()):  # the oldest first
                    is_old = each.begun < now - KEPT_FOR or len(known) > KEPT
                    if each.ended is not None and is_old:
                        del known[each.id]
            return known[id]

    async def operations(self, queues: Sequence[str] | None) -> list[OperationRecord]:
        with self._store.lock:
            return [
                record
                for queue in (sorted(self._store.queues) if queues is None else queues)
                for record in reversed(self._store.queues[queue].operations.values())
            ]

    async def carry(
        self, queue: str, id: str, carrier: str, lease: float, former: str = ""
    ) -> OperationRecord | None:
        with self._store.lock:
            known, now = self._under_way(queue, id), self._now()
            if known is None:
                return None
            is_held = now < known.until <= now + lease
            if is_held and known.carrier not in {carrier, former or carrier}:
                return None
            return self._keep(known, token=known.token + 1, carrier=carrier, until=now + lease)

    async def advance(
        self,
        queue: str,
        id: str,
        token: int,
        lease: float,
        *,
        changes: Sequence[Change] = (),
        removed: Sequence[str] = (),
        progress: bytes | None = None,
        ends: bool = False,
    ) -> list[Answer] | None:
        with self._store.lock:
            known = self._under_way(queue, id)
            if known is None or known.token != token:
                return None
            answers = await self._done(queue, changes, removed)
            self._keep(
                known,
                moved=known.moved + answers.count("applied"),
                until=self._now() + lease,
                progress=progress if progress and is_whole(answers) else known.progress,
                **({"ended": self._now(), "outcome": "done"} if ends else {}),
            )
            return answers

    async def _done(
        self, queue: str, changes: Sequence[Change], removed: Sequence[str]
    ) -> list[Answer]:
        """Neither verb waits for anything: the lock is held all the while."""
        if removed:
            return ["applied" if was else "gone" for was in await self.remove(queue, removed)]
        return await self.apply(queue, changes)

    async def cancel_operation(self, queue: str, id: str, by: str) -> bool:
        with self._store.lock:
            known = self._under_way(queue, id)
            if known is not None:
                self._keep(known, ended=self._now(), outcome="cancelled", ended_by=by)
            return known is not None

    def _under_way(self, queue: str, id: str) -> OperationRecord | None:
        known = self._store.queues[queue].operations.get(id)
        return None if known is None or known.ended is not None else known

    def _keep(self, known: OperationRecord, **fields: Any) -> OperationRecord:
        record = msgspec.structs.replace(known, **fields)
        self._store.queues[known.queue].operations[known.id] = record
        return record
