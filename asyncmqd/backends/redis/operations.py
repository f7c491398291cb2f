"""The operations of the store in Redis."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from asyncmqd.backends.base import OperationRecord
from asyncmqd.backends.redis import encoding
from asyncmqd.backends.redis.encoding import micros, seconds
from asyncmqd.backends.redis.registry import RedisRegistry
from asyncmqd.backends.redis.scripts import Argument, call
from asyncmqd.domain.change import Answer, Change
from asyncmqd.domain.operation import KEPT, KEPT_FOR, Outcome
from asyncmqd.domain.states import LIVE, TERMINAL, State

_ENDED = sorted(map(str, TERMINAL))
_PLACES = [*_ENDED, *sorted(map(str, LIVE))]


class RedisOperations(RedisRegistry):
    """The face of operations; `store.RedisBackend` has the others."""

    async def begin_operation(
        self, queue: str, id: str, order: bytes, carrier: str = "", lease: float = 0.0
    ) -> OperationRecord:
        noted = ("HSET", self._operating, queue, id)
        kept = micros(KEPT_FOR), KEPT
        begun = self._call("begin_operation", queue, id, order, carrier, micros(lease), *kept)
        # Before, so that it is found; and after, for who saw none meanwhile may have forgotten it.
        _, _, row, _ = await self._run(self._known(queue), noted, begun, noted)
        return _operation(queue, row)

    async def operations(self, queues: Sequence[str] | None) -> list[OperationRecord]:
        if queues is None:
            [known] = await self._run(("SMEMBERS", self._queues))
            queues = sorted(queue.decode() for queue in known)
        if not queues:
            return []
        before, *replies = await self._run(
            ("HMGET", self._operating, *queues),
            *(self._call("operations", queue) for queue in queues),
        )
        found: list[OperationRecord] = []
        for queue, noted, rows in zip(queues, before, replies, strict=True):
            records = [_operation(queue, row) for row in rows]
            if noted is not None and all(each.ended is not None for each in records):
                await self._run(call("forget_operating", [self._operating], [queue, noted]))
            found += records
        return found

    async def carry(
        self, queue: str, id: str, carrier: str, lease: float, former: str = ""
    ) -> OperationRecord | None:
        row = await self._one("carry", queue, id, carrier, micros(lease), former)
        return None if row is None else _operation(queue, row)

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
        args: list[Argument] = [State.WAITING, State.ACTIVE, id, token, micros(lease)]
        args += [progress or b"", int(progress is not None), "done" if ends else ""]
        if removed:
            args += [1, len(_ENDED), len(_PLACES), *_PLACES, *removed]
        else:
            args += [0, *encoding.change_args(changes)]
        answers = await self._one("advance", queue, *args)
        return None if answers is None else [encoding.ANSWERS[number] for number in answers]

    async def cancel_operation(self, queue: str, id: str, by: str) -> bool:
        return bool(await self._one("cancel_operation", queue, id, "cancelled", by) == 1)


def _operation(queue: str, row: Sequence[Any]) -> OperationRecord:
    id, order, progress, moved, begun, token, carrier, until, ended, outcome, by = row
    ends: dict[bytes | None, Outcome] = {b"done": "done", b"cancelled": "cancelled"}
    return OperationRecord(
        id=id.decode(),
        queue=queue,
        order=order or b"",
        progress=progress or b"",
        moved=int(moved or 0),
        begun=seconds(begun or 0),
        token=int(token or 0),
        carrier=(carrier or b"").decode(),
        until=seconds(until or 0),
        ended=None if ended is None else seconds(ended),
        outcome=ends.get(outcome, ""),
        ended_by=(by or b"").decode(),
    )
