"""Which jobs an operator means: those of a state with a task, a key, an error, an age."""

from __future__ import annotations

import re
from typing import Any

import msgspec

from asyncmqd.domain.codec import CorruptPayload, PayloadTooLarge, decode_spec
from asyncmqd.domain.job import Record
from asyncmqd.domain.settle import failure_text

HEAD = 2_000  # bytes of a payload in which a store looks: our own encoder writes the task first

NUMBER = "0"
_NUMBER = re.compile(r"0x[0-9a-fA-F]+|(?=[0-9a-fA-F-]*\d)[0-9a-fA-F]{8,}(?:-[0-9a-fA-F]{4,})*|\d+")


class Mark(msgspec.Struct, frozen=True, array_like=True):
    """A job's place in the order of a store: whoever goes on from here sees what comes after it."""

    place: str
    rank: float
    tie: str  # tells jobs of one rank apart


class Sought(msgspec.Struct, frozen=True, kw_only=True):
    """What a store can see of a job without reading it. Empty and None: anything."""

    head: bytes = b""  # occurs in the first `HEAD` bytes of the payload
    key: str = ""
    error: bytes = b""  # occurs in the encoded failure
    created_until: float | None = None


class Searched(msgspec.Struct, frozen=True):
    """A part of the jobs of a state that a store has searched."""

    records: list[Record]  # those that have what was sought, in order
    looked: int  # jobs that it has looked at
    after: Mark | None  # the last of these; None: there are no more


class Selection(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What the jobs of a state have to be like. None: anything."""

    task: str | None = None
    key: str | None = None
    error: str | None = None  # is part of "Type: message" of the last failure
    older_than: float | None = None  # seconds since the job was enqueued
    alike: str | None = None  # is "Type: message" of the last failure, as `masked` gives it

    def sought(self, now: float) -> Sought:
        """What no job lacks that this covers."""
        return Sought(
            head=b"" if self.task is None else _written(self.task, quoted=True),
            key=self.key or "",
            # The type and the message do not stand side by side there.
            error=self._sought_error(),
            created_until=None if self.older_than is None else now - self.older_than,
        )

    def _sought_error(self) -> bytes:
        if self.error is not None and ":" not in self.error:
            return _written(self.error)
        type = "" if self.alike is None else self.alike.partition(": ")[0]
        return b"" if NUMBER in type else _written(type)

    def covers(self, record: Record, now: float) -> bool:
        """Whether this is such a job."""
        if self.key is not None and record.key != self.key:
            return False
        if self.older_than is not None and record.created > now - self.older_than:
            return False
        if self.task is not None and task_of(record) != self.task:
            return False
        if self.error is not None and self.error not in error_of(record):
            return False
        return self.alike is None or self.alike == masked(error_of(record))

    @property
    def words(self) -> str:
        """The same for people; empty: all jobs are covered."""
        named: list[tuple[str, Any]] = [
            ("task", self.task),
            ("key", self.key),
            ("error", self.error),
            ("errors like", self.alike),
            ("older than", self.older_than and f"{self.older_than:g} s"),
        ]
        return ", ".join(f"{name} {value}" for name, value in named if value is not None)


def masked(text: str) -> str:
    """The text with 0 for each number: equal for errors that tell the same of other things.

    Numbers are also those in hexadecimal digits, and identifiers that are made of them.
    """
    return _NUMBER.sub(NUMBER, text)


def _written(text: str, *, quoted: bool = False) -> bytes:
    """The text as JSON has it; empty if that may be one of several forms."""
    if not text.isascii() or not text.isprintable() or "\\" in text or "/" in text:
        return b""
    data = msgspec.json.encode(text)
    return data if quoted else data[1:-1]


def task_of(record: Record) -> str | None:
    """The task that a job names; None if its payload cannot be read."""
    try:
        return decode_spec(record.payload, len(record.payload), id=record.id).task
    except (CorruptPayload, PayloadTooLarge):
        return None


def error_of(record: Record) -> str:
    """ "Type: message" of the last failure; empty: there is none."""
    return failure_text(record.error)
