"""Jobs that failed for good, in groups of one task and errors that are alike."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import msgspec

from asyncmqd.admin.time_format import rfc3339
from asyncmqd.backends.base import BaseBackend
from asyncmqd.domain import clock
from asyncmqd.domain.job import Record
from asyncmqd.domain.selection import Mark, Sought, error_of, masked, task_of
from asyncmqd.domain.states import State

LONGEST_LOOK = 0.3  # seconds, after which it ends with what it has found
MOST_SEARCHED = 20_000  # jobs that one look passes
_PAGE = 200  # jobs that are read in one turn of the loop
HOUR, DAY = 3_600.0, 86_400.0


class Group(msgspec.Struct, frozen=True, kw_only=True):
    """Failed jobs of a queue that are alike."""

    queue: str
    task: str | None  # None: their payloads cannot be read
    alike: str  # their errors, with 0 for each number
    error: str  # that of the newest
    jobs: int
    ages: tuple[int, int, int]  # how many failed in the last hour, in the last day, before
    oldest: str | None
    newest: str | None
    sample: str  # the id of the newest


class DeadLetters(msgspec.Struct, frozen=True, kw_only=True):
    """What a look has found: the largest group first."""

    groups: Sequence[Group]
    searched: int  # jobs that it has looked at, the newest of each queue
    of: int  # that have failed


async def dead_letters(store: BaseBackend) -> DeadLetters:
    """The groups of all queues. A look is bounded; queues take turns in it."""
    names = await store.queues()
    counts = await store.counts(names)
    marks: dict[str, Mark | None] = dict.fromkeys(each for each in names if counts[each].failed)
    now, begun, searched = await store.now(), clock.monotonic(), 0
    found: dict[tuple[str, str | None, str], _Growing] = {}
    while marks and searched < MOST_SEARCHED and clock.monotonic() - begun < LONGEST_LOOK:
        for name, mark in list(marks.items()):
            part = await store.search(
                name, State.FAILED, Sought(), mark, _PAGE, _PAGE, newest_first=True
            )
            searched += part.looked
            _group(found, part.records, now)
            marks[name] = part.after
            if part.after is None:
                del marks[name]
    groups = [each.group(*key) for key, each in found.items()]
    return DeadLetters(
        groups=sorted(groups, key=lambda each: (-each.jobs, each.queue, each.alike)),
        searched=searched,
        of=sum(counts[each].failed for each in names),
    )


class _Growing:
    """A group while it is found: the newest job comes first."""

    def __init__(self, newest: Record) -> None:
        self.newest = self.oldest = newest
        self.ages = [0, 0, 0]

    def add(self, record: Record, now: float) -> None:
        self.oldest = record
        age = now - (record.finished or now)
        self.ages[0 if age < HOUR else 1 if age < DAY else 2] += 1

    def group(self, queue: str, task: str | None, alike: str) -> Group:
        hour, day, before = self.ages
        return Group(
            queue=queue,
            task=task,
            alike=alike,
            error=error_of(self.newest),
            jobs=sum(self.ages),
            ages=(hour, day, before),
            oldest=rfc3339(self.oldest.finished),
            newest=rfc3339(self.newest.finished),
            sample=self.newest.id,
        )


def _group(
    found: dict[tuple[str, str | None, str], _Growing], records: Iterable[Record], now: float
) -> None:
    for record in records:
        key = record.queue, task_of(record), masked(error_of(record))
        if key not in found:
            found[key] = _Growing(record)
        found[key].add(record, now)
