"""Find jobs by task, key, error and age: a bounded look at a time, and a cursor to go on with."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Sequence

import msgspec

from asyncmqd.admin.errors import WrongArguments
from asyncmqd.admin.jobs import JobView, job_view
from asyncmqd.backends.base import BaseBackend
from asyncmqd.domain import clock
from asyncmqd.domain.job import Record
from asyncmqd.domain.selection import Mark, Selection, Sought
from asyncmqd.domain.states import State

MOST_SEARCHED = 50_000  # jobs that one look passes
LONGEST_LOOK = 0.1  # seconds, after which it ends with what it has found
LONGEST_START = 1.0  # seconds until it has looked at a job, so that a slow call is not "no job"

_ORDER = {state: number for number, state in enumerate(State)}


class Found(msgspec.Struct, frozen=True, kw_only=True):
    """What a look has found, how far it came, and where to go on."""

    jobs: list[JobView]
    searched: int  # jobs that it has looked at
    of: int  # jobs that there are in these queues and states
    after: str | None  # the cursor to go on with; None: there are no more


class _Cursor(msgspec.Struct, frozen=True, array_like=True):
    """The queue and the state that are searched next, from their beginning or behind a mark."""

    queue: str
    state: State
    mark: Mark | None = None

    def __str__(self) -> str:
        return base64.urlsafe_b64encode(msgspec.json.encode(self)).decode().rstrip("=")


def _cursor(text: str) -> _Cursor:
    try:
        data = base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))
        return msgspec.json.decode(data, type=_Cursor)
    except (ValueError, binascii.Error, RecursionError):
        raise _no_cursor(text) from None


def _no_cursor(text: str) -> WrongArguments:
    return WrongArguments(
        f"after: expected a cursor that a search of this store gave, got {text[:80]!r}"
    )


async def search(
    store: BaseBackend,
    selection: Selection,
    queue: str | None = None,
    states: Sequence[State] = tuple(State),
    after: str | None = None,
    limit: int = 50,
) -> Found:
    """Jobs that the selection covers, queue by queue and state by state, as `jobs.page` lists them.

    Raises WrongArguments for a cursor that is none.
    """
    queues = await store.queues() if queue is None else [queue]
    counts = await store.counts(queues)
    parts = [(name, state) for name in queues for state in states]
    total = sum(getattr(counts[name], state) for name, state in parts)
    now = await store.now()
    sought = selection.sought(now)
    look = _Look(parts, None if after is None else _cursor(after))
    found: list[Record] = []
    while len(found) < limit and not look.is_over:
        try:
            records = await look.step(store, sought, limit - len(found))
        except ValueError:
            raise _no_cursor(after or "") from None
        found += [record for record in records if selection.covers(record, now)]
    return Found(
        jobs=[msgspec.structs.replace(job_view(record), log=None) for record in found],
        searched=look.searched,
        of=total,
        after=str(_Cursor(*look.parts[0], look.mark)) if look.parts else None,
    )


class _Look:
    """The queues and states that are still to be searched, the first of them behind a mark."""

    def __init__(self, parts: list[tuple[str, State]], cursor: _Cursor | None) -> None:
        self.parts = parts
        self.mark: Mark | None = None
        self.searched = 0
        self.begun = clock.monotonic()
        if cursor is not None:
            begin = cursor.queue, _ORDER[cursor.state]
            self.parts = [(name, state) for name, state in parts if (name, _ORDER[state]) >= begin]
            if self.parts[:1] == [(cursor.queue, cursor.state)]:
                self.mark = cursor.mark

    @property
    def is_over(self) -> bool:
        longest = LONGEST_LOOK if self.searched else LONGEST_START
        past = clock.monotonic() - self.begun > longest
        return not self.parts or self.searched >= MOST_SEARCHED or past

    async def step(self, store: BaseBackend, sought: Sought, most: int) -> list[Record]:
        """Search a page. Raises ValueError for a mark of another store."""
        name, state = self.parts[0]
        part = await store.search(name, state, sought, self.mark, most, newest_first=state.terminal)
        self.searched += part.looked
        self.mark = part.after
        if part.after is None:
            self.parts = self.parts[1:]
        return part.records
