"""What a queue in memory knows of its keys, for the limits of each."""

from __future__ import annotations

from asyncmqd.backends.memory.rows import Queue
from asyncmqd.domain.key_limits import NEVER, KeyGate
from asyncmqd.domain.rate import FULL, Filling
from asyncmqd.domain.states import State


class QueueKeys:
    """`key_limits.Keys` in memory."""

    def __init__(self, queue: Queue, now: float) -> None:
        self._queue = queue
        self._now = now

    def held(self, key: str) -> tuple[int, float]:
        queue = self._queue
        active = sum(queue.rows[id].key == key for id in queue.lines[State.ACTIVE].ids())
        ends = [
            end
            for each, end in queue.ghosts.items()
            if end > self._now and queue.ghost_keys[each] == key
        ]
        return active + len(ends), min(ends, default=NEVER) * 1e6

    def filling(self, key: str) -> Filling:
        return self._queue.fillings.get(key, FULL)

    def keep_filling(self, key: str, filling: Filling) -> None:
        known, now = self._queue.fillings, self._now * 1e6
        self._queue.fillings = {each: kept for each, kept in known.items() if kept.arrival > now}
        self._queue.fillings[key] = filling


def gate_of(queue: Queue, now: float) -> KeyGate:
    """What the limits of keys let start at that moment."""
    return KeyGate(queue.limits, QueueKeys(queue, now), now * 1e6)


def bound_ghosts(queue: Queue, latest: float) -> bool:
    """Have no permit kept beyond that moment by a claim that was taken away; whether one was."""
    late = [each for each, end in queue.ghosts.items() if end > latest]
    for each in late:
        queue.ghosts[each] = latest
        key = queue.ghost_keys.get(each)
        if key in queue.lanes.closed:
            queue.lanes.closed[key] = min(queue.lanes.closed[key], latest * 1e6)
    return bool(late)


def reopen(queue: Queue, gate: KeyGate, *, due: float = 0.0) -> bool:
    """Bring back the keys that may start again, by an end of a job or by time; whether any was."""
    closed = queue.lanes.closed
    ended = {key for key in queue.touched if key in closed}
    queue.touched.clear()
    keys = {key for key in ended if gate.allowed(key) != 0}
    if due and gate.went_back(queue.lanes.closed_at):
        due = NEVER
    keys |= {key for key, opens in closed.items() if opens <= due}
    for key in sorted(keys):
        queue.lanes.reopen(key)
    for key in ended - keys:
        closed[key] = gate.opens(key)  # it may be sooner than was known
    return bool(keys)
