"""The lanes of a queue in one transaction, see domain/lanes.py: written once, at its end."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

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
_OPEN, _SHUT, _IDLE = range(3)  # what `lanes.activity` tells, see schema.sql

_Jobs = list[tuple[Any, ...]]  # rows of jobs, as `next` and others in moves.sql have them


class _Lane(msgspec.Struct):
    """A lane, and what the file has of it."""

    number: int | None  # None: it is not in the file
    jobs: int
    tag: int | None
    activity: int = _IDLE
    kept: tuple[int, int | None, int] = (0, None, _IDLE)

    def change(self) -> tuple[int, int | None, int]:
        """What the file is to have."""
        self.activity = self.activity if self.jobs else _IDLE
        return self.jobs, self.tag, self.activity


def _kept(number: int, jobs: int, tag: int, activity: int) -> _Lane:
    return _Lane(number, jobs, tag, activity, (jobs, tag, activity))


class _Costs:
    """What the first jobs of the lanes of a priority cost."""

    def __init__(
        self, priority: int, limit: int, purse: Purse | None, numbers: Mapping[str, int]
    ) -> None:
        self._priority = priority
        self._numbers = numbers  # of the lanes
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
                self._purse.costs_of_lane(self._numbers[key], self._limit)
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
        self._numbers: dict[str, int] = {}  # of the lanes of the last turns
        self._emptied: set[int] = set()
        self._spent: dict[str, int] = {}  # tokens, by the last turns
        self.ended: set[str] = set()  # keys of which a job or a ghost gave its permit back
        self.timed = False  # whether a key was closed that time opens

    def enter(self, key: str, priority: int) -> int:
        """A job waits; the number of its lane."""
        lane = self._lane(priority, key)
        if not lane.jobs:
            lane.tag = start_tag(self._virtual_time(priority), lane.tag)
            lane.activity = _OPEN if self._opens(key) is None else _SHUT
        lane.jobs += 1
        return self._add(priority, key, lane) if lane.number is None else lane.number

    def leave(self, key: str, priority: int, number: int = 1) -> None:
        """So many jobs wait no more."""
        lane = self._lane(priority, key)
        lane.jobs -= number
        if not lane.jobs:
            self._emptied.add(priority)
            if lane.activity == _SHUT:
                lane.activity = _IDLE
                if not self._priorities(key):  # who comes next finds out whether it may start
                    self._tx.execute(_SQL["open_key"], (self._queue, key))

    def _lane(self, priority: int, key: str) -> _Lane:
        known = self._lanes.get((priority, key))
        if known is None:
            row = self._tx.execute(_SQL["lane"], (self._queue, key, priority)).fetchone()
            known = self._lanes[priority, key] = _kept(*row) if row else _Lane(None, 0, None)
        return known

    def _add(self, priority: int, key: str, lane: _Lane) -> int:
        lane.kept = lane.change()
        values = self._queue, key, priority, *lane.kept
        number = lane.number = int(self._tx.execute(_SQL["add_lane"], values).lastrowid)
        return number

    def _virtual_time(self, priority: int) -> int:
        if priority not in self._reached:
            row = self._tx.execute(_SQL["level"], (self._queue, priority)).fetchone()
            self._reached[priority] = row[0] if row else 0
        return self._reached[priority]

    def save(self) -> None:
        """Write what was touched."""
        if not self._lanes:
            return
        self._write()
        for priority in {priority for priority, _ in self._lanes}:
            values = self._queue, priority, self._virtual_time(priority)
            self._tx.execute(_SQL["forget_outdated_lanes"], values)
        self._lanes.clear()

    def _write(self) -> None:
        """Those that changed alike by one statement: most have one job less, or one more."""
        changed: defaultdict[tuple[int, int], dict[int, int | None]] = defaultdict(dict)
        lengths: defaultdict[int, list[int]] = defaultdict(list)
        for (priority, key), lane in self._lanes.items():
            jobs, tag, activity = lane.kept
            if lane.change() == lane.kept:
                continue
            if lane.number is None:
                self._add(priority, key, lane)
            elif (lane.tag, lane.activity) == (tag, activity):
                lengths[lane.jobs - jobs].append(lane.number)
            else:
                changed[lane.jobs - jobs, lane.activity][lane.number] = lane.tag
        for alike, tags in changed.items():
            self._tx.execute(_SQL["save_lanes"], (*alike, as_json(tags)))
        for more, numbers in lengths.items():
            self._tx.execute(_SQL["save_lengths"], (more, as_json(numbers)))

    # ------------------------------------------------------------------ claims

    def turns(self, limit: int, most: int, gate: KeyGate, purse: Purse | None) -> _Jobs | None:
        """Up to `limit` jobs whose turn it is, all of one priority; None if nothing may start.

        `most` bytes of a payload are loaded.
        """
        self.save()
        self._spent = {}
        asked = {"queue": self._queue, "place": _WAITING}
        level, plain = self._tx.execute(_SQL["first_levels"], asked).fetchone()
        if level is None or (plain is not None and plain < level):
            if plain is not None and purse is not None:
                limit = purse.paid(purse.costs_of_level(plain, limit))
            return None if plain is None else self._first_jobs({NO_KEY: limit}, plain, most)[NO_KEY]
        turns, costs = self._turns(level, limit, gate, purse, level == plain)
        numbers = Counter(turns.keys)
        self._take(level, turns, numbers)
        if not gate.is_open:
            self._spent = {key: sum(costs.of(key, count)) for key, count in numbers.items()}
        rows = self._first_jobs(numbers, level, most)
        found = {key: iter(each) for key, each in rows.items()}
        return [next(found[key]) for key in turns.keys]

    def _first_jobs(self, numbers: Mapping[str, int], priority: int, most: int) -> dict[str, _Jobs]:
        """So many of the first jobs of each key, of one priority.

        Where many keys take turns most get one, and all of these are read by one statement.
        """
        single = {self._numbers[key]: key for key, count in numbers.items() if key and count == 1}
        found: dict[str, _Jobs] = {}
        if single:
            asked: dict[str, Any] = {"lanes": as_json([*single]), "most": most}
            rows = self._tx.execute(_SQL["first_of_lanes"], asked).fetchall()
            found = {single[row[-1]]: [row[:-1]] for row in rows}
        for key, count in numbers.items():
            if key not in found:
                asked = {"limit": count, "most": most}
                if key:
                    asked |= {"lane": self._numbers[key]}
                else:
                    asked |= {"queue": self._queue, "place": _WAITING, "rank": priority}
                query = _SQL["next_of_lane" if key else "next_of_level"]
                found[key] = self._tx.execute(query, asked).fetchall()
        plain = len(found.get(NO_KEY, ()))
        self._tx.count(self._queue, _WAITING, -plain)
        self._tx.count(self._queue, KEYED, plain - sum(map(len, found.values())))
        return found

    def _turns(
        self, priority: int, limit: int, gate: KeyGate, purse: Purse | None, has_plain: bool
    ) -> tuple[Turns, _Costs]:
        costs = _Costs(priority, limit, purse, self._numbers)
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
        active: list[tuple[str, int, int]] = []
        for lane, number, jobs, tag in self._tx.execute(_SQL["active_lanes"], level).fetchall():
            self._lanes[priority, lane] = _kept(number, jobs, tag, _OPEN)
            self._numbers[lane] = number
            active.append((lane, tag, jobs))
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
            self._lane(priority, key).activity = _SHUT
            self._emptied.add(priority)

    def reopen(self, key: str) -> None:
        """It takes turns again, without credit."""
        self._tx.execute(_SQL["open_key"], (self._queue, key))
        for priority in self._priorities(key):
            lane = self._lane(priority, key)
            lane.activity, lane.tag = _OPEN, start_tag(self._virtual_time(priority), lane.tag)

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
