"""The lanes of a queue in one transaction, see domain/lanes.py: written once, at its end."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, TypeVar

import msgspec

from asyncmqd.backends.sqlite import sql_statements
from asyncmqd.backends.sqlite.clock import seconds
from asyncmqd.backends.sqlite.sql_statements import as_json
from asyncmqd.domain.key_limits import NEVER, KeyGate
from asyncmqd.domain.lanes import NO_KEY, Turns, start_tag, take_turns
from asyncmqd.domain.shared_limits import least
from asyncmqd.domain.states import KEYED, State

if TYPE_CHECKING:  # it knows the transaction, which knows the lanes
    from asyncmqd.backends.sqlite.token_buckets import Purse

_SQL = sql_statements.load("moves.sql")
_WAITING = str(State.WAITING)
_NEVER = 2**62
_Row = TypeVar("_Row")


class _Lane(msgspec.Struct):
    jobs: int
    tag: int | None
    shut: int = 0


class _Costs:
    """What the first jobs of the lanes of a priority cost."""

    def __init__(self, priority: int, limit: int, purse: Purse | None) -> None:
        self._priority = priority
        self._limit = limit
        self._purse = purse
        self._known: dict[str, list[int]] = {}
        self._paid: Counter[str] = Counter()

    def of(self, key: str, number: int) -> list[int]:
        """Of so many jobs of a lane, which has them."""
        if self._purse is None:
            return [1] * min(number, self._limit)
        if key not in self._known:
            self._known[key] = (
                self._purse.costs_of_lane(key, self._priority, self._limit)
                if key
                else self._purse.costs_of_level(self._priority, self._limit)
            )
        return self._known[key][:number]

    def pays(self, key: str) -> bool:
        """See `take_turns`."""
        if self._purse is None:
            return True
        self._paid[key] += 1
        return self._purse.pays(self.of(key, self._paid[key])[-1])


def _allowed(gate: KeyGate, costs: _Costs, key: str, jobs: int) -> int:
    """How many jobs of a lane may start."""
    if gate.is_open:
        return jobs
    number = least(jobs, gate.allowed(key)) or 0
    return gate.covers(key, costs.of(key, number)) if gate.has_rate(key) else number


class Lanes:
    """The lanes of all priorities of one queue."""

    def __init__(self, tx: Any, queue: str) -> None:
        self._tx = tx
        self._queue = queue
        self._lanes: dict[tuple[int, str], _Lane] = {}  # those that were touched
        self._reached: dict[int, int] = {}
        self._emptied: set[int] = set()
        self._spent: dict[str, int] = {}  # tokens, by the last turns
        self.ended: set[str] = set()  # keys of which a job or a ghost gave its permit back
        self.timed = False  # whether a key was closed that time opens

    def enter(self, key: str, priority: int) -> None:
        """A job waits."""
        lane = self._lane(priority, key)
        if not lane.jobs:
            lane.tag = start_tag(self._virtual_time(priority), lane.tag)
            lane.shut = self._opens(key) is not None
        lane.jobs += 1

    def leave(self, key: str, priority: int, number: int = 1) -> None:
        """So many jobs wait no more."""
        lane = self._lane(priority, key)
        lane.jobs -= number
        if not lane.jobs:
            self._emptied.add(priority)
            if lane.shut:
                lane.shut = 0
                if not self._priorities(key):  # who comes next finds out whether it may start
                    self._tx.execute(_SQL["open_key"], (self._queue, key))

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
        if not self._lanes:
            return
        rows = [
            (self._queue, *at, lane.jobs, lane.tag, lane.shut)
            for at, lane in self._lanes.items()
            if lane.tag is not None
        ]
        self._tx.executemany(_SQL["save_lane"], rows)
        for priority in {priority for priority, _ in self._lanes}:
            values = self._queue, priority, self._virtual_time(priority)
            self._tx.execute(_SQL["forget_outdated_lanes"], values)
        self._lanes.clear()

    # ------------------------------------------------------------------ claims

    def turns(
        self,
        limit: int,
        jobs: Callable[[Mapping[str, int], int], dict[str, list[_Row]]],
        gate: KeyGate,
        purse: Purse | None,
    ) -> list[_Row] | None:
        """Up to `limit` jobs whose turn it is, all of one priority; None if nothing may start.

        `jobs` brings, by key, so many of the first jobs of each key, of a priority.
        """
        self.save()
        self._spent = {}
        asked = {"queue": self._queue, "place": _WAITING}
        level, plain = self._tx.execute(_SQL["first_levels"], asked).fetchone()
        if level is None or (plain is not None and plain < level):
            if plain is not None and purse is not None:
                limit = purse.paid(purse.costs_of_level(plain, limit))
            return None if plain is None else jobs({NO_KEY: limit}, plain)[NO_KEY]
        turns, costs = self._turns(level, limit, gate, purse, level == plain)
        numbers = Counter(turns.keys)
        self._take(level, turns, numbers)
        if not gate.is_open:
            self._spent = {key: sum(costs.of(key, count)) for key, count in numbers.items()}
        found = {key: iter(rows) for key, rows in jobs(numbers, level).items()}
        return [next(found[key]) for key in turns.keys]

    def _turns(
        self, priority: int, limit: int, gate: KeyGate, purse: Purse | None, has_plain: bool
    ) -> tuple[Turns, _Costs]:
        costs = _Costs(priority, limit, purse)
        tags, waiting = self._candidates(priority, limit, gate, costs)
        reached = self._virtual_time(priority)
        if has_plain:
            level = self._queue, _WAITING, priority, limit
            (waiting[NO_KEY],) = self._tx.execute(_SQL["number_of_level"], level).fetchone()
            tags[NO_KEY] = start_tag(reached, self._lane(priority, NO_KEY).tag)
        turns = take_turns(reached, tags, limit, waiting.__getitem__, gate.step, costs.pays)
        return turns, costs

    def _candidates(
        self, priority: int, limit: int, gate: KeyGate, costs: _Costs
    ) -> tuple[dict[str, int], dict[str, int]]:
        """The tags of the lanes whose turn is next, and how many of their jobs may start.

        Keys that are used up are closed.
        """
        number = limit
        while True:
            active = self._active(priority, number)
            waiting = {lane: _allowed(gate, costs, lane, jobs) for lane, _, jobs in active}
            used_up = [lane for lane, jobs in waiting.items() if not jobs]
            if not used_up:
                return {lane: tag for lane, tag, _ in active}, waiting
            for lane in used_up:
                self.close(lane, gate.opens(lane, *costs.of(lane, 1)))
            self.save()
            number *= 2  # of the lanes that are left: a reload may have used up thousands at once

    def _active(self, priority: int, limit: int) -> list[tuple[str, int, int]]:
        """Lane, tag and jobs of the lanes whose turn is next."""
        level = self._queue, priority, limit
        active: list[tuple[str, int, int]]
        active = self._tx.execute(_SQL["active_lanes"], level).fetchall()
        self._lanes.update({(priority, lane): _Lane(jobs, tag) for lane, tag, jobs in active})
        return active

    def charge(self, gate: KeyGate) -> None:
        """The jobs of the last turns are claimed: keys that are used up by them are closed."""
        for key, tokens in self._spent.items():
            gate.take(key, tokens)
            if key and gate.allowed(key) == 0 and self._priorities(key):
                self.close(key, gate.opens(key))

    def _take(self, priority: int, turns: Turns, numbers: Mapping[str, int]) -> None:
        self._reached[priority] = turns.reached
        self._tx.execute(_SQL["save_level"], (self._queue, priority, turns.reached))
        for key, tag in turns.tags.items():
            self._lane(priority, key).tag = tag
        for key, number in numbers.items():
            if key != NO_KEY:
                self.leave(key, priority, number)
        self.save()

    def forget_idle(self) -> None:
        """At the end of a verb: where no job waits any more, the turns of lanes are forgotten."""
        if not self._emptied:
            return
        self.save()
        (plain,) = self._tx.execute(_SQL["first_rank"], (self._queue, _WAITING)).fetchone()
        for priority in self._emptied if plain is None else ():
            level = self._queue, priority
            if not self._tx.execute(_SQL["active_lanes"], (*level, 1)).fetchone():
                self._tx.execute(_SQL["forget_lanes"], level)
                self._tx.execute(_SQL["forget_tags"], level)
                self._tx.execute(_SQL["forget_level"], level)
                self._reached.pop(priority, None)
        self._emptied.clear()

    # ------------------------------------------------------------------ keys that are used up

    def _opens(self, key: str) -> int | None:
        """When time opens a key; None: it is not closed."""
        row = self._tx.execute(_SQL["is_closed"], (self._queue, key)).fetchone()
        return None if row is None else int(row[0])

    def _priorities(self, key: str) -> list[int]:
        """Of the lanes of a key that have jobs."""
        self.save()
        return [p for (p,) in self._tx.execute(_SQL["lanes_of_key"], (self._queue, key))]

    def close(self, key: str, opens: float) -> None:
        """None of its jobs may start before time opens it, or one of them ends."""
        self._tx.execute(_SQL["close_key"], (self._queue, key, int(min(opens, _NEVER))))
        self.timed = self.timed or opens < NEVER
        for priority in self._priorities(key):
            self._lane(priority, key).shut = 1
            self._emptied.add(priority)

    def reopen(self, key: str) -> None:
        """It takes turns again, without credit."""
        self._tx.execute(_SQL["open_key"], (self._queue, key))
        for priority in self._priorities(key):
            lane = self._lane(priority, key)
            lane.shut, lane.tag = 0, start_tag(self._virtual_time(priority), lane.tag)

    def reopen_due(self) -> None:
        """Those that time has opened come back."""
        due = self._tx.execute(_SQL["due_keys"], (self._queue, self._tx.time)).fetchall()
        for (key,) in due:
            self.reopen(key)

    def reopen_ended(self, gate: KeyGate) -> bool:
        """Those of which a job gave its permit back, if one may start; whether any was."""
        closed = [key for key in self.ended if self._opens(key) is not None]
        self.ended.clear()
        allowed = [key for key in closed if gate.allowed(key) != 0]
        for key in closed:
            if key in allowed:
                self.reopen(key)
            else:
                self.close(key, gate.opens(key))  # it may be sooner than was known
        return bool(allowed)

    def note_ghost(self, key: str, lease_end: int) -> None:
        """A ghost of this key will be gone by then, in microseconds since the host booted."""
        opens = self._opens(key)
        until = self._tx.time + lease_end - self._tx.since_boot
        if opens is not None and until < opens:
            self.close(key, until)

    @property
    def opens_in(self) -> float | None:
        """Seconds until time opens the next key, if any."""
        (opens,) = self._tx.execute(_SQL["next_key"], (self._queue,)).fetchone()
        if opens is None or opens >= _NEVER:
            return None
        return max(0.0, seconds(opens - self._tx.time))


def first_of_lanes(
    tx: Any, wanted: dict[str, Any], numbers: Mapping[str, int]
) -> dict[str, list[Any]]:
    """So many of the first jobs of each key, of one priority.

    Where many keys take turns most get one, and all of these are read by one statement.
    """
    single = [key for key, number in numbers.items() if key and number == 1]
    found: dict[str, list[Any]] = {}
    if single:
        asked = {**wanted, "place": KEYED, "keys": as_json(single)}
        rows = tx.execute(_SQL["first_of_lanes"], asked).fetchall()
        found = {key: [row] for *row, key in rows}
    for key, number in numbers.items():
        if key not in found:
            query = _SQL["next_of_lane" if key else "next_of_level"]
            place = KEYED if key else _WAITING
            asked = {**wanted, "place": place, "key": key, "limit": number}
            found[key] = tx.execute(query, asked).fetchall()
    plain = len(found.get(NO_KEY, ()))
    tx.count(wanted["queue"], _WAITING, -plain)
    tx.count(wanted["queue"], KEYED, plain - sum(map(len, found.values())))
    return found
