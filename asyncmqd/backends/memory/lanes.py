"""The lanes of a queue in memory: the waiting jobs of each key, and the turns that they take."""

from __future__ import annotations

from collections.abc import Iterator

from asyncmqd.backends.memory.line import Key, Line
from asyncmqd.domain.lanes import NO_KEY, start_tag, take_turns


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


class Lanes:
    """The lanes of all priorities."""

    def __init__(self) -> None:
        self._levels: dict[int, Level] = {}
        self._emptied: set[int] = set()

    def put(self, key: str, id: str, order: Key) -> None:
        """A job waits, at its place in the order of its lane."""
        level = self._levels.setdefault(round(order[0]), Level())
        if key not in level.jobs:
            level.jobs[key] = Line()
            level.active.put(key, (start_tag(level.reached, level.tag(key)), 0))
            level.idle.drop(key)
        level.jobs[key].put(id, order)

    def drop(self, key: str, id: str, priority: int) -> None:
        """A job waits no more."""
        level = self._levels[priority]
        level.jobs[key].drop(id)
        if level.jobs[key]:
            return
        tag = level.active.key(key)
        level.active.drop(key)
        del level.jobs[key]
        level.set_idle(key, tag[0] if tag else 0)
        if not level.jobs:
            self._emptied.add(priority)

    def turns(self, limit: int, others: Line) -> Iterator[str]:
        """The ids of up to `limit` jobs whose turn it is. `others` are those without a key.

        Whoever gets one takes the job out of its line before the next.
        """
        while limit > 0:
            keyed = min((each for each, level in self._levels.items() if level.jobs), default=None)
            first = others.first()
            plain = None if first is None else round(first[0][0])
            if keyed is None or (plain is not None and plain < keyed):
                if first is None:
                    return
                yield first[1]
                limit -= 1
                continue
            for id in self._turns_of(self._levels[keyed], keyed, limit, others):
                yield id
                limit -= 1

    @staticmethod
    def _turns_of(level: Level, priority: int, limit: int, others: Line) -> Iterator[str]:
        plain = sum(key[0] == priority for key, _ in others.least(limit))
        tags = {key: round(tag[0]) for tag, key in level.active.least(limit)}
        if plain:
            tags[NO_KEY] = start_tag(level.reached, level.tag(NO_KEY))
        turns = take_turns(
            level.reached,
            tags,
            limit,
            lambda key: len(level.jobs[key]) if key else plain,
        )
        level.reached = turns.reached
        for key, tag in turns.tags.items():
            (level.active if key else level.idle).put(key, (tag, 0))
        for key in turns.keys:
            first = (level.jobs[key] if key else others).first()
            assert first is not None
            yield first[1]
        level.forget_outdated()

    def forget_idle(self, others: Line) -> None:
        """At the end of a verb: nobody is owed a turn where nothing waits any more."""
        for priority in self._emptied:
            level = self._levels.get(priority)
            if level is not None and not level.jobs and not others:
                del self._levels[priority]
        self._emptied.clear()
