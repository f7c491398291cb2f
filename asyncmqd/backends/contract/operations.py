"""Operations: what operators do to many jobs, in the store, so that any process carries it on."""

from __future__ import annotations

import abc
from collections.abc import Sequence

import msgspec

from asyncmqd.domain.change import Answer, Change
from asyncmqd.domain.operation import Outcome


class OperationRecord(msgspec.Struct, frozen=True, kw_only=True):
    """An operation as the store has it. Times are Unix seconds of the store's clock."""

    id: str
    queue: str
    order: bytes  # an encoded `Order`
    progress: bytes = b""  # an encoded `Progress`, as its carrier last wrote it
    moved: int = 0  # jobs, counted in the step that moves them
    begun: float
    token: int = 0  # rises with each carrier; one with an older token can do nothing
    carrier: str = ""  # who does it now, or did it last
    until: float = 0.0  # until then nobody else may
    ended: float | None = None
    outcome: Outcome = ""
    ended_by: str = ""  # who cancelled it


def is_whole(answers: Sequence[Answer]) -> bool:
    """Whether no job of a step is to be looked at again."""
    return "stale" not in answers and "already" not in answers


class Operations(abc.ABC):
    """What operators do to many jobs of a queue."""

    @abc.abstractmethod
    async def begin_operation(
        self, queue: str, id: str, order: bytes, carrier: str = "", lease: float = 0.0
    ) -> OperationRecord:
        """Note an operation, with its first carrier if there is one. One of that id stays as it is.

        The records of old ones that have ended are deleted: see `domain.operation.KEPT`.
        """

    @abc.abstractmethod
    async def operations(self, queues: Sequence[str] | None) -> list[OperationRecord]:
        """The operations of these queues, in this order, the newest first; None: of all queues."""

    @abc.abstractmethod
    async def carry(
        self, queue: str, id: str, carrier: str, lease: float, former: str = ""
    ) -> OperationRecord | None:
        """Carry an operation for `lease` seconds. None: it has ended, or another carries it.

        `former` is a carrier who is gone, and waits for nothing any more.
        """

    @abc.abstractmethod
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
        """In one step: apply changes, or delete jobs, count those, and write the progress.

        Up to a page of jobs, each of them once. None, and nothing is done: it has ended, or another
        carries it. The answers are those to the changes, or of the jobs to delete: `applied` or
        `gone`. If a job had moved on since it was read, `stale` or `already`, the progress stays
        as it was: who carries the operation looks at that job again.
        """

    @abc.abstractmethod
    async def cancel_operation(self, queue: str, id: str, by: str) -> bool:
        """Have nobody go on with it; what it has done stays. False: it has ended, or is unknown."""
