"""An operation: what an operator does to many jobs, as it is ordered and how far it is."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Literal

import msgspec

from asyncmqd.domain.change import Change
from asyncmqd.domain.job import Record
from asyncmqd.domain.selection import Mark, Selection, Sought
from asyncmqd.domain.settle import allowed, cancel, replay, run_now
from asyncmqd.domain.states import State
from asyncmqd.domain.unique import name_taken

Verb = Literal["retry", "cancel", "remove", "run_now"]
Deed = Literal[
    "pause", "resume", "run_schedule", "pause_schedule", "resume_schedule", "remove_schedule"
]
"""What is noted as an operation, too, though it moves no job."""
Outcome = Literal["", "done", "cancelled"]
"""How an operation has ended; empty: it has not."""

REASONS = 3  # why jobs were left alone, that are kept
KEPT_FOR = 7 * 86_400.0  # seconds that the record of one that has ended is kept
KEPT = 1_000  # records of a queue that are kept at most
_EXACT = 0.001  # seconds: the ends of one call are put apart by microseconds


class Order(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What is done to which jobs of a queue, and who ordered it."""

    verb: Verb | Deed
    states: tuple[State, ...] = ()
    selection: Selection = Selection()
    ids: int = 0  # it is about so many jobs that were named, and not about states
    schedule: str = ""  # or about a schedule
    by: str = ""
    reason: str = ""
    total: int = 0  # jobs that were in these states when it began

    def sought(self, since: float) -> Sought:
        """What no job lacks that it covers. `since` is when it began, by the store's clock."""
        sought = self.selection.sought(since)
        until = since if sought.created_until is None else min(since, sought.created_until)
        return msgspec.structs.replace(sought, created_until=until)

    def covers(self, record: Record, since: float) -> bool:
        """Whether this job, which is in one of the states, is meant.

        What came into that state since the operation began is not: it may have been moved by it.
        A replay makes a job new; one that it ran before its time was claimed since.
        """
        if record.created > since or (record.finished or 0.0) > since + _EXACT:
            return False
        if self.verb in {"retry", "run_now"} and (record.started or 0.0) > since:
            return False
        return self.selection.covers(record, since)

    @property
    def words(self) -> str:
        """What it is about, for people."""
        if self.schedule:
            return f"schedule {self.schedule}"
        if not self.states:
            return f"{self.ids} named" if self.ids else "the queue"
        states = " and ".join(map(str, self.states))
        return ", ".join(filter(None, (states, self.selection.words)))


class Progress(msgspec.Struct, frozen=True, omit_defaults=True):
    """How far an operation is; a store counts what it has moved."""

    part: int = 0  # the state that is searched, by its number in the order
    mark: Mark | None = None  # behind which to go on there
    searched: int = 0  # jobs that were looked at
    left: int = 0  # jobs that it was to move and could not
    reasons: tuple[str, ...] = ()  # why, of the first of them

    def after(self, looked: int, mark: Mark | None, problems: Sequence[str]) -> Progress:
        """When a page has been searched, behind which `mark` says where to go on."""
        further = msgspec.structs.replace(
            self, part=self.part + (mark is None), mark=mark, searched=self.searched + looked
        )
        return further.with_left(problems)

    def with_left(self, problems: Sequence[str]) -> Progress:
        """When these jobs could not be moved."""
        reasons = (self.reasons + tuple(problems))[:REASONS]
        return msgspec.structs.replace(self, left=self.left + len(problems), reasons=reasons)


def encode(value: Order | Progress) -> bytes:
    """As stores keep it."""
    return msgspec.json.encode(value)


_order_decoder = msgspec.json.Decoder(Order)
_progress_decoder = msgspec.json.Decoder(Progress)


def order_of(data: bytes) -> Order | None:
    """What was ordered; None if nobody can read it."""
    try:
        return _order_decoder.decode(data)
    except (ValueError, RecursionError):
        return None


def progress_of(data: bytes) -> Progress:
    """How far it is; what is spoilt, or was never written, is the beginning."""
    try:
        return _progress_decoder.decode(data)
    except (ValueError, RecursionError):
        return Progress()


# ---------------------------------------------------------------------- one job


def gone(id: str) -> str:
    """Why nothing becomes of a job that there is not."""
    return f"job {id}: it is gone"


def decide(verb: str, id: str, record: Record | None) -> Change | str:
    """What becomes of the job, or why nothing does. To remove one is no change of its state."""
    if record is None:
        return gone(id)
    if verb == "retry" and record.state.terminal and record.holder not in {"", id}:
        return name_taken(id, record.holder)
    decided, expected = _DECISIONS[verb]
    return decided(record) or f"job {id}: expected {expected}, this one is {record.state}"


def _retry(record: Record) -> Change | None:
    return replay(record) if allowed(record, "replay") else _run_now(record)


def _run_now(record: Record) -> Change | None:
    return run_now(record) if allowed(record, "run_now") else None


def _cancel(record: Record) -> Change | None:
    return cancel(record) if allowed(record, "cancel") else None


_DECISIONS: dict[str, tuple[Callable[[Record], Change | None], str]] = {
    "retry": (_retry, "a job that has ended or is delayed"),
    "cancel": (_cancel, "a job that has not ended"),
    "run_now": (_run_now, "a job that is delayed"),
}
