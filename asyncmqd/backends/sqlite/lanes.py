"""The lanes of a queue in one transaction, see domain/lanes.py: written once, at its end."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

import msgspec

from asyncmqd.backends.sqlite import queries
from asyncmqd.domain.lanes import NO_KEY, Turns, start_tag, take_turns
from asyncmqd.domain.states import KEYED, State

_SQL = queries.load("moves.sql")
_WAITING = str(State.WAITING)
_Row = TypeVar("_Row")


class _Lane(msgspec.Struct):
    jobs: int
    tag: int | None


class Lanes:
    """The lanes of all priorities of one queue."""

    def __init__(self, tx: Any, queue: str) -> None:
        self._tx = tx
        self._queue = queue
        self._lanes: dict[tuple[int, str], _Lane] = {}  # those that were touched
        self._reached: dict[int, int] = {}
        self._emptied: set[int] = set()

    def enter(self, key: str, priority: int) -> None:
        """A job waits."""
        lane = self._lane(priority, key)
        if not lane.jobs:
            lane.tag = start_tag(self._virtual_time(priority), lane.tag)
        lane.jobs += 1

    def leave(self, key: str, priority: int, number: int = 1) -> None:
        """So many jobs wait no more."""
        lane = self._lane(priority, key)
        lane.jobs -= number
        if not lane.jobs:
            self._emptied.add(priority)

    def _lane(self, priority: int, key: str) -> _Lane:
        known = self._lanes.get((priority, key))
        if known is None:
            row = self._tx.execute(_SQL["lane"], (self._queue, priority, key)).fetchone()
            known = self._lanes[priority, key] = _Lane(*row) if row else _Lane(0, None)
        return known

    def _virtual_time(self, priority: int) -> int:
        if priority not in self._reached:
            row = self._tx.execute(_SQL["level"], (self._queue, priority)).fetchone()
            self._reached[priority] = row[0] if row else 0
        return self._reached[priority]

    def save(self) -> None:
        """Write what was touched."""
        rows = [(self._queue, *at, lane.jobs, lane.tag) for at, lane in self._lanes.items()]
        self._tx.executemany(_SQL["save_lane"], [row for row in rows if row[-1] is not None])
        for priority in {priority for priority, _ in self._lanes}:
            values = self._queue, priority, self._virtual_time(priority)
            self._tx.execute(_SQL["forget_outdated_lanes"], values)
        self._lanes.clear()

    # ------------------------------------------------------------------ claims

    def turns(self, limit: int, jobs: Callable[[str, int, int], list[_Row]]) -> list[_Row]:
        """Up to `limit` jobs whose turn it is, all of one priority; none if nothing waits.

        `jobs` brings so many of the first jobs of a key and priority.
        """
        self.save()
        row = self._tx.execute(_SQL["first_level"], (self._queue,)).fetchone()
        (plain,) = self._tx.execute(_SQL["first_rank"], (self._queue, _WAITING)).fetchone()
        if row is None or (plain is not None and plain < row[0]):
            return [] if plain is None else jobs(NO_KEY, plain, limit)
        turns = self._turns(row[0], limit)
        self._take(row[0], turns)
        number = {key: turns.keys.count(key) for key in turns.tags}
        found = {key: iter(jobs(key, row[0], number[key])) for key in number}
        return [next(found[key]) for key in turns.keys]

    def _turns(self, priority: int, limit: int) -> Turns:
        active = self._tx.execute(_SQL["active_lanes"], (self._queue, priority, limit)).fetchall()
        tags = {lane: tag for lane, tag, _ in active}
        waiting = {lane: jobs for lane, _, jobs in active}
        level = self._queue, _WAITING, priority, limit
        (waiting[NO_KEY],) = self._tx.execute(_SQL["number_of_level"], level).fetchone()
        reached = self._virtual_time(priority)
        if waiting[NO_KEY]:
            tags[NO_KEY] = start_tag(reached, self._lane(priority, NO_KEY).tag)
        return take_turns(reached, tags, limit, waiting.__getitem__)

    def _take(self, priority: int, turns: Turns) -> None:
        self._reached[priority] = turns.reached
        self._tx.execute(_SQL["save_level"], (self._queue, priority, turns.reached))
        for key, tag in turns.tags.items():
            self._lane(priority, key).tag = tag
        for key in turns.keys:
            if key != NO_KEY:
                self.leave(key, priority)
        self.save()

    def forget_idle(self) -> None:
        """At the end of a verb: nobody is owed a turn where nothing waits any more."""
        if not self._emptied:
            return
        self.save()
        (plain,) = self._tx.execute(_SQL["first_rank"], (self._queue, _WAITING)).fetchone()
        for priority in self._emptied if plain is None else ():
            level = self._queue, priority
            if not self._tx.execute(_SQL["active_lanes"], (*level, 1)).fetchone():
                self._tx.execute(_SQL["forget_lanes"], level)
                self._tx.execute(_SQL["forget_level"], level)
                self._reached.pop(priority, None)
        self._emptied.clear()


def place_of(key: str) -> str:
    """Where the waiting jobs of a key stand."""
    return KEYED if key else _WAITING
