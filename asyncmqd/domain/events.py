"""What happened to jobs, queues and daemons, as it is told to whoever watches.

An event is one line of JSON. Its position is the number of events that were told before it, and it
belongs to one epoch: the time in which somebody watched without a break.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import NamedTuple

import msgspec

KEPT = 10_000  # events that a store keeps; the oldest are dropped
BATCH = 500  # events of one call, at most
PAGE = 16  # batches that one look brings, at most
LASTS = 60.0  # seconds after the last look of a watcher in which daemons still tell
RENEWAL = 20.0  # seconds after which a watcher says again that it watches
MISSED = "events.missed"
OFTEN = frozenset({"job.started", "job.completed"})  # counted, and not told, where there are many
AT_ONCE = 450  # of these, at most, from one process in one call
_TEXT = 500  # characters of one field


class Position(NamedTuple):
    """Behind how many events of an epoch. The epoch is the microsecond in which it began."""

    epoch: int
    number: int

    def __str__(self) -> str:
        return f"{self.epoch}-{self.number}"

    @classmethod
    def of(cls, text: str) -> Position:
        """The position that this text means. Raises ValueError."""
        epoch, dash, number = text.partition("-")
        if dash and all(each.isascii() and each.isdigit() for each in (epoch, number)):
            return cls(int(epoch[:20]), int(number[:20]))
        raise ValueError(f"expected a position like 1764446400000000-12, got {text[:50]!r}")


class Event(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One event. Its fields have the names that they have in the log."""

    timestamp: datetime  # by the clock of the host that tells
    event: str  # such as "job.completed"
    position: str = ""  # where to resume: behind this event
    queue: str | None = None
    worker: str | None = None
    job_id: str | None = None
    task: str | None = None
    attempt: int | None = None
    duration_ms: float | None = None
    retry_in: float | None = None  # seconds
    error: str | None = None  # "Type: message", at most 500 characters
    reason: str | None = None
    warning: str | None = None
    action: str | None = None  # what an operator did
    by: str | None = None  # who did it
    jobs: str | int | None = None  # how many jobs it was about, or which
    schedule: str | None = None
    operation: str | None = None
    process: int | None = None  # of a daemon with several
    missed: int | None = None  # of `events.missed`: how many, if that is known


class Head(msgspec.Struct, frozen=True):
    """What tells who wants to see an event. It costs a quarter of all its fields."""

    event: str
    queue: str | None = None


FIELDS = frozenset(Event.__struct_fields__) - {"timestamp", "event", "position", "missed"}

_encode = msgspec.json.Encoder().encode
_decode = msgspec.json.Decoder(Event).decode
_decode_head = msgspec.json.Decoder(Head).decode


def encode(event: Event) -> bytes:
    """One line of JSON, without its end."""
    return _encode(event)


def decode(line: bytes, position: Position) -> Event | None:
    """An event that stood at this position; None if nobody can read it."""
    try:
        return msgspec.structs.replace(_decode(line), position=str(position))
    except (ValueError, RecursionError):
        return None


def decode_head(line: bytes) -> Head | None:
    """The head of an event; None if nobody can read it."""
    try:
        return _decode_head(line)
    except (ValueError, RecursionError):
        return None


def shortened(value: object) -> object:
    """A value of a field: texts that are too long are cut."""
    if isinstance(value, str):
        return value if len(value) <= _TEXT else f"{value[: _TEXT - 1]}…"
    return value if isinstance(value, int | float) else str(value)[:_TEXT]


class EventPage(msgspec.Struct, frozen=True):
    """Events behind a position."""

    events: list[tuple[Position, bytes]]  # each with the position behind it
    position: Position  # where to go on
    missed: int | None = 0  # events before these that are gone; None: nobody knows how many
    is_watched: bool = True


def pack(events: Sequence[bytes]) -> bytes:
    """One batch, as a store keeps it."""
    return b"\n".join(events)


def page_after(after: Position, end: Position, batches: Iterable[tuple[int, bytes]]) -> EventPage:
    """What a reader gets. `batches` are those behind `begin_of(after, end)`, in order.

    Each has the number of its last event. `end` is the position of the newest event.
    """
    number = begin = begin_of(after, end)
    is_known = (begin, end.epoch) == (after.number, after.epoch)
    found: list[tuple[Position, bytes]] = []
    gone = 0
    for last, batch in batches:
        lines = batch.split(b"\n")
        first = last - len(lines)  # how many events came before
        if not found:
            gone = max(0, first - begin)
        found += (
            (Position(end.epoch, first + at), line)
            for at, line in enumerate(lines, 1)
            if first + at > begin
        )
        number = last
    if not found:
        gone, number = end.number - begin, end.number
    return EventPage(found, Position(end.epoch, number), gone if is_known else None)


def begin_of(after: Position, end: Position) -> int:
    """How many events of the epoch the reader has seen, or can see no more."""
    if after.epoch != end.epoch:
        return 0
    return min(after.number, end.number)
