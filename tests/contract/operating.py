"""What operators do to many jobs, for `model`: the commands, what is compared, and its rules."""

from __future__ import annotations

from typing import Any

import msgspec

from asyncmqd.backends.base import OperationRecord
from tests.contract.sides import Decision, Side, rough


class BeginOperation(msgspec.Struct, frozen=True):
    """Note an operation, a known one among them."""

    id: str
    order: bytes
    carrier: str
    lease: float

    async def play(self, side: Side) -> Any:
        asked = side.queue, self.id, self.order, self.carrier, self.lease
        return _plain(await side.backend.begin_operation(*asked), await side.backend.now())


class Carry(msgspec.Struct, frozen=True):
    """Carry it, perhaps in the place of one who is gone."""

    id: str
    carrier: str
    lease: float
    former: str

    async def play(self, side: Side) -> Any:
        asked = side.queue, self.id, self.carrier, self.lease, self.former
        found = await side.backend.carry(*asked)
        return found and _plain(found, await side.backend.now())


class Advance(msgspec.Struct, frozen=True):
    """A step of who carries it, or of one whose token is `behind` that."""

    id: str
    behind: int
    lease: float
    decisions: tuple[Decision, ...]
    removed: tuple[str, ...]
    progress: bytes | None
    ends: bool

    async def play(self, side: Side) -> Any:
        return await side.backend.advance(
            side.queue,
            self.id,
            side.carriers.get(self.id, 0) - self.behind,
            self.lease,
            changes=[each.on(side) for each in self.decisions],
            removed=self.removed,
            progress=self.progress,
            ends=self.ends,
        )


class CancelOperation(msgspec.Struct, frozen=True):
    """Have nobody go on with it."""

    id: str
    by: str

    async def play(self, side: Side) -> Any:
        return await side.backend.cancel_operation(side.queue, self.id, self.by)


def _plain(record: OperationRecord, now: float) -> OperationRecord:
    """The same with its times in units of `FAR` from now."""
    return msgspec.structs.replace(
        record,
        queue="",
        begun=rough(record.begun, now),
        until=record.until and rough(record.until, now),
        ended=rough(record.ended, now),
    )


async def operations(side: Side, now: float) -> dict[str, OperationRecord]:
    """The operations of the queue by id, the newest first."""
    found = await side.backend.operations([side.queue])
    return {each.id: _plain(each, now) for each in found}


def check_operations(
    command: Any, replies: list[Any], before: dict[str, Any], after: dict[str, Any]
) -> None:
    """What is moved is counted in the step that moves it, by its carrier, and an end is final.

    `command` is without the loss of its reply. Raises AssertionError where a rule is broken.
    """
    old, new = before["operations"], after["operations"]
    assert old.keys() <= new.keys(), "an operation was forgotten"
    for id, was in old.items():
        now = new[id]
        assert now.token >= was.token, "the token of an operation fell"
        if was.ended is not None:
            assert now == was, "an operation that has ended was changed"
        if isinstance(command, Advance) and command.id == id:
            _check_step(command, replies, was, now)
        else:
            assert (now.moved, now.progress) == (was.moved, was.progress), "counted by another"
    if isinstance(command, Advance) and replies == [None] * len(replies):
        assert after["jobs"] == before["jobs"], "moved for who does not carry it"


def _check_step(
    step: Advance, replies: list[Any], was: OperationRecord, now: OperationRecord
) -> None:
    taken = [each for each in replies if each is not None]
    assert now.moved - was.moved == sum(each.count("applied") for each in taken), "counted wrongly"
    assert not taken or (step.behind == 0 and was.ended is None), "a step of who is no carrier"
    whole = [each for each in taken if not {"stale", "already"} & set(each)]
    written = step.progress if whole and step.progress else was.progress
    assert now.progress == written, "the progress of a step that was not whole, or none of one"
    if taken:
        assert (now.outcome == "done") == step.ends, "ended without being told to"
