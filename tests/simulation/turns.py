"""The turns of keys by the rules: what the judge knows of the lanes of a queue."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable
from typing import Any

from asyncmqd.domain.key_backlog import KeyBacklog

SERVICE = 1_000  # by which a start sets its lane back, at least
Lane = tuple[str, int, str]  # queue, priority and key; without a key: ""
Pair = tuple[Lane, Lane]
SHARE = 2  # starts by which one of two lanes may be ahead of the other: one of each


class Turns:
    """Counts the starts of lanes in which jobs have waited all the time, two by two."""

    def __init__(self) -> None:
        self.waiting: Counter[Lane] = Counter()
        self._ahead: dict[Pair, tuple[int, int, int]] = {}  # now, at least, and at most
        self._tags: dict[Lane, float] = {}  # at least

    def restart(self, lanes: Iterable[Lane]) -> None:
        """The store has lost its newest writes: these jobs wait now."""
        self.__init__()  # type: ignore[misc]
        self.waiting.update(lanes)

    def enter(self, lane: Lane) -> None:
        """A job of the lane waits."""
        self.waiting[lane] += 1

    def leave(self, lane: Lane) -> None:
        """A job of the lane waits no more."""
        self.waiting[lane] -= 1
        if self.waiting[lane]:
            return
        del self.waiting[lane]
        self._ahead = {pair: each for pair, each in self._ahead.items() if lane not in pair}
        if not any(other[:2] == lane[:2] for other in self.waiting):
            self._tags = {other: tag for other, tag in self._tags.items() if other[:2] != lane[:2]}

    def serve(self, lane: Lane) -> str:
        """A job of the lane starts, and still waits: what is wrong with that, if anything."""
        if any(other[:2] == lane[:2] and other[2] for other in self.waiting):  # else no lanes are
            self._tags[lane] = self._tags.get(lane, 0) + SERVICE
        for other in self.waiting:
            if other[:2] != lane[:2] or other == lane:
                continue
            pair, step = ((lane, other), 1) if lane < other else ((other, lane), -1)
            now, least, most = self._ahead.get(pair, (0, 0, 0))
            now += step
            self._ahead[pair] = now, min(least, now), max(most, now)
            if max(most, now) - min(least, now) > SHARE:
                return f"{lane} is served before its turn, and {other} waits"
        return ""

    def check(
        self, queue: str, levels: dict[int, Any], hold: Callable[..., None], *, in_turn: bool
    ) -> None:
        """The store has each waiting job in its lane, and no lane is set back.

        Where keys have limits, not all that wait are `in_turn`.
        """
        has = {
            (queue, priority, key): len(line)
            for priority, level in levels.items()
            for key, line in level.jobs.items()
        }
        want = {each: n for each, n in self.waiting.items() if each[0] == queue and each[2]}
        hold(has == want, "the lanes are", has, "and not", want)
        for priority, level in levels.items() if in_turn else ():
            tags = {key: tag for (tag, _), key in level.active.least(len(level.jobs))}
            tags |= {key: tag for (tag, _), key in level.idle.least(len(level.idle))}
            for key, tag in tags.items():
                lane = (queue, priority, key)
                hold(tag >= self._tags.get(lane, 0), "set back:", lane, "from", self._tags, tag)
                self._tags[lane] = tag
            first = level.active.first()
            hold(first is None or first[0][0] >= level.reached, "late:", first, level.reached)

    def check_backlog(
        self,
        queue: str,
        found: KeyBacklog,
        running_of: Callable[[str, str], int | None],
        hold: Callable[..., None],
    ) -> None:
        """Whoever asks is told of each key how many of its jobs wait and run, most first."""
        want: Counter[str] = Counter()
        for (name, _, key), number in self.waiting.items():
            if name == queue and key:
                want[key] += number
        has = {each.key: each.waiting for each in found.keys}
        hold(has == want, "of keys it tells", has, "and not", want)
        hold([*has.values()] == sorted(has.values(), reverse=True), "in another order:", found)
        hold(found.looked == len(has) <= found.of, "of so many keys:", found)
        for each in found.keys:
            right = running_of(queue, each.key)
            hold(right in {None, each.running}, "it tells", each, "and", right, "hold a permit")
