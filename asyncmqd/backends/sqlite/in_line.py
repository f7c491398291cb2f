"""What stands before a waiting job of the file."""

from __future__ import annotations

from typing import Any

from asyncmqd.backends.sqlite import sql_statements
from asyncmqd.backends.sqlite.transaction import Snapshot, tallies
from asyncmqd.domain.in_line import InLine
from asyncmqd.domain.lanes import NO_KEY, start_tag
from asyncmqd.domain.states import KEYED, State

_SQL = sql_statements.load("insight.sql")
_WAITING = str(State.WAITING)


def in_line(view: Snapshot, queue: str, id: str) -> InLine | None:
    """See `Insight.in_line`."""
    asked = {"queue": queue, "id": id, "plain": _WAITING, "keyed": KEYED}
    row = view.execute(_SQL["waiting_job"], asked).fetchone()
    if row is None:
        return None
    priority, seq, key, lane = row
    return _Queue(view, queue, priority).line(seq, key, lane)


class _Queue:
    """A queue as the jobs of one priority see it."""

    def __init__(self, view: Snapshot, queue: str, priority: int) -> None:
        self._view = view
        self._queue = queue
        self._priority = priority
        sizes = tallies(view, queue)
        self._plain, self._keyed = (sizes.get(each, (0, 0))[0] for each in (_WAITING, KEYED))

    def line(self, seq: int, key: str | None, lane: int | None) -> InLine:
        """What stands before a job of this lane; None is that of the jobs without a key."""
        if key is None:
            return InLine(
                ahead=self._before(_WAITING, seq),
                turns=self._turns_before(self._tag_of_plain(), NO_KEY),
                better=self._before(KEYED),
                others=self._keyed,
                first=self._one("first_in_line", self._queue, _WAITING),
            )
        own = self._view.execute(_SQL["lanes_of_key"], (self._queue, key)).fetchall()
        better = sum(jobs for level, jobs, _ in own if level < self._priority)
        return InLine(
            ahead=better + self._one("before_in_lane", lane, seq),
            turns=self._turns_of(key),
            better=self._before(_WAITING) + self._before(KEYED) - better,
            others=self._plain + self._keyed - sum(jobs for _, jobs, _ in own),
            first=self._one("first_in_lane", own[0][2]),
        )

    def _turns_of(self, key: str) -> int | None:
        """Of how many lanes the turn comes first; None if this one takes none."""
        asked = self._queue, key, self._priority
        tag = self._one("tag_of_open_lane", *asked)
        if tag is None:
            return None
        plain = self._before(_WAITING, level=self._priority + 1) > self._before(_WAITING)
        return self._turns_before(tag, key) + (plain and self._tag_of_plain() <= tag)

    def _turns_before(self, tag: int, key: str) -> int:
        return int(self._one("turns_before", self._queue, self._priority, tag, key))

    def _tag_of_plain(self) -> int:
        """Where the jobs without a key would take their turn."""
        reached = self._one("virtual_time", self._queue, self._priority) or 0
        return start_tag(reached, self._one("last_tag", self._queue, NO_KEY, self._priority))

    def _before(self, place: str, seq: int = 0, level: int | None = None) -> int:
        """How many jobs of a place are before this one of the priority, or have a better one."""
        rank = self._priority if level is None else level
        return int(self._one("before_in_line", self._queue, place, rank, seq))

    def _one(self, statement: str, *values: object) -> Any:
        """The only value of the first row, None if there is no row."""
        row = self._view.execute(_SQL[statement], values).fetchone()
        return None if row is None else row[0]
