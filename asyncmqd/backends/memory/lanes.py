"""The lanes of a queue in memory: the waiting jobs of each key, and the turns that they take."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator

from asyncmqd.backends.memory.ordered_ids import Key, Line
from asyncmqd.backends.memory.token_buckets import Purse
from asyncmqd.domain.in_line import InLine
from asyncmqd.domain.key_limits import NEVER, KeyGate
from asyncmqd.domain.lanes import NO_KEY, start_tag, take_turns
from asyncmqd.domain.shared_limits import least


class Level:
    """The lanes of one priority."""

    def __init__(self) -> None:
        self.reached = 0  # virtual time
        self.jobs: dict[str, Line] = {}  # of the lanes that have some
        self.active = Line()  # these lanes, by their tags
        self.idle = Line()  # the others, by their tags, until virtual time has passed them

    def tag(self, key: str) -> int | None:
        """The last tag of a lane that has no jobs."""
        found = self.idle.key(key)
        return None if found is None else round(found[0])

    def set_idle(self, key: str, tag: float) -> None:
        if tag > self.reached:
            self.idle.put(key, (tag, 0))

    def forget_outdated(self) -> None:
        """Of lanes whose tags virtual time has passed nothing has to be known."""
        while (first := self.idle.first()) and first[0][0] <= self.reached:
            self.idle.drop(first[1])

    def activate(self, key: str) -> None:
        """A lane that has jobs takes turns."""
        self.active.put(key, (start_tag(self.reached, self.tag(key)), 0))
        self.idle.drop(key)

    def deactivate(self, key: str) -> None:
        """A lane takes no turns any more."""
        if (tag := self.active.key(key)) is not None:
            self.active.drop(key)
            self.set_idle(key, tag[0])


class Lanes:
    """The lanes of all priorities."""

    def __init__(self) -> None:
        self.closed: dict[str, float] = {}  # keys of which none may start, and when time opens them
        self.closed_at = 0.0  # when the last of them was closed: microseconds of the store's clock
        self.timed = False  # time opens one that was closed: an idle process has to know
        self._levels: dict[int, Level] = {}
        self._emptied: set[int] = set()

    def put(self, key: str, id: str, order: Key) -> None:
        """A job waits, at its place in the order of its lane."""
        level = self._levels.setdefault(round(order[0]), Level())
        if key not in level.jobs:
            level.jobs[key] = Line()
            if key not in self.closed:
                level.activate(key)
        level.jobs[key].put(id, order)

    def drop(self, key: str, id: str, priority: int) -> None:
        """A job waits no more."""
        level = self._levels[priority]
        level.jobs[key].drop(id)
        if level.jobs[key]:
            return
        level.deactivate(key)
        del level.jobs[key]
        if key in self.closed and not any(key in each.jobs for each in self._levels.values()):
            del self.closed[key]  # who comes next finds out whether it may start
        if not level.active:
            self._emptied.add(priority)

    def close(self, key: str, gate: KeyGate, cost: int = 1) -> None:
        """None of its jobs may start before time opens it, or a job of the key ends."""
        opens = self.closed[key] = gate.opens(key, cost)
        self.closed_at = gate.now
        self.timed = self.timed or opens < NEVER
        for priority, level in self._levels.items():
            if level.active.key(key) is not None:
                level.deactivate(key)
                if not level.active:
                    self._emptied.add(priority)

    def reopen(self, key: str) -> None:
        """It takes turns again, without credit."""
        del self.closed[key]
        for level in self._levels.values():
            if key in level.jobs:
                level.activate(key)

    def backlog(self, most: int) -> tuple[dict[str, int], int]:
        """Of keys how many jobs wait, and how many keys there are: see `Insight.key_backlog`."""
        levels = [self._levels[each] for each in sorted(self._levels)]
        turns = [(key, level) for level in levels for key in level.active.ids()]
        closed = sorted(self.closed, key=lambda key: (self.closed[key], key))[:most]
        waiting: Counter[str] = Counter()
        for key, level in turns[:most]:
            waiting[key] += len(level.jobs[key])
        for key in closed:
            waiting[key] += sum(len(each.jobs[key]) for each in levels if key in each.jobs)
        return waiting, len(turns) + len(self.closed)

    def in_line(self, key: str, id: str, priority: int, plain: Line) -> InLine:
        """What stands before a job of this key. `plain` are the jobs without one."""
        lines = [
            (name, line) for level in self._levels.values() for name, line in level.jobs.items()
        ]
        lines.append((NO_KEY, plain))
        own = [each for name, line in lines if name == key for each in line.items()]
        others = [order for name, line in lines if name != key for _, order in line.items()]
        ids = [each for each, _ in sorted(own, key=lambda each: each[1])]
        return InLine(
            ahead=ids.index(id),
            turns=self._turns_before(key, priority, plain),
            better=sum(order[0] < priority for order in others),
            others=len(others),
            first=ids[0],
        )

    def _turns_before(self, key: str, priority: int, plain: Line) -> int | None:
        level = self._levels.get(priority, Level())
        tags = {name: tag[0] for name, tag in level.active.items()}
        if any(order[0] == priority for _, order in plain.items()):
            tags[NO_KEY] = start_tag(level.reached, level.tag(NO_KEY))
        if key not in tags:
            return None
        return sum((tag, name) < (tags[key], key) for name, tag in tags.items())

    def turns(self, limit: int, others: Line, gate: KeyGate, purse: Purse) -> Iterator[str]:
        """The ids of up to `limit` jobs whose turn it is. `others` are those without a key.

        Whoever gets one takes the job out of its line before the next.
        """
        while limit > 0 and not purse.is_empty:
            keyed, first = self._best, others.first()
            if first is not None and (keyed is None or first[0][0] < keyed):
                found: Iterator[str] = filter(purse.pays, (first[1],))
            elif keyed is not None:
                found = self._turns_of(keyed, limit, others, gate, purse)
            else:
                return
            for id in found:
                yield id
                limit -= 1

    @property
    def _best(self) -> int | None:
        """The best priority of which a lane takes turns."""
        levels = (each for each, level in self._levels.items() if level.active)
        return min(levels, default=None)

    def _turns_of(
        self, priority: int, limit: int, others: Line, gate: KeyGate, purse: Purse
    ) -> Iterator[str]:
        level = self._levels[priority]
        plain = sum(key[0] == priority for key, _ in others.least(limit))
        allowed = self._candidates(level, limit, gate, purse)
        tags = {key: round(tag[0]) for tag, key in level.active.least(limit)}
        if plain:
            tags[NO_KEY] = start_tag(level.reached, level.tag(NO_KEY))
            allowed[NO_KEY] = plain
        served: defaultdict[str, list[str]] = defaultdict(list)

        def pays(key: str) -> bool:
            line = level.jobs[key] if key else others
            id = line.least(len(served[key]) + 1)[-1][1]
            served[key].append(id)
            return purse.pays(id)

        turns = take_turns(level.reached, tags, limit, allowed.__getitem__, gate.step, pays)
        level.reached = turns.reached
        for key, tag in turns.tags.items():
            (level.active if key else level.idle).put(key, (tag, 0))
        for key in turns.keys:
            first = (level.jobs[key] if key else others).first()
            assert first is not None
            yield first[1]
        for key in turns.tags:
            gate.take(key, sum(map(purse.cost, served[key][: turns.keys.count(key)])))
            if key and key in level.jobs and gate.allowed(key) == 0:
                self.close(key, gate)
        level.forget_outdated()

    def _candidates(self, level: Level, limit: int, gate: KeyGate, purse: Purse) -> dict[str, int]:
        """Of the lanes whose turn is next, how many jobs may start. Used up ones are closed."""
        allowed: dict[str, int] = {}
        while unknown := [key for _, key in level.active.least(limit) if key not in allowed]:
            for key in unknown:
                costs = [purse.cost(id) for _, id in level.jobs[key].least(limit)]
                number = least(len(costs), gate.allowed(key)) or 0
                allowed[key] = gate.covers(key, costs[:number])
                if not allowed[key]:
                    self.close(key, gate, costs[0])
        return allowed

    def forget_idle(self, others: Line) -> None:
        """At the end of a verb: where no job waits any more, the turns of lanes are forgotten."""
        for priority in self._emptied:
            level = self._levels.get(priority)
            if level is not None and not level.active and not others:
                level.reached, level.idle = 0, Line()
                if not level.jobs:
                    del self._levels[priority]
        self._emptied.clear()
