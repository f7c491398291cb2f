"""Whose turn it is: how the keys of a queue take turns.

Within a queue each priority is served by itself, the best one first. In it, the waiting jobs of one
key are a lane, and those without a key are one lane beside them. Lanes are served by start-time
fair queueing: each start costs its lane `SERVICE` of virtual time, divided by its weight, and the
lane whose turn has come is the one with the least tag. Virtual time is the tag of the lane that was
served last. A lane that becomes active begins a tenth of a start after virtual time, or at its own
last tag if that is later: a lane that had no jobs comes back without credit, one that was empty for
a moment gains nothing, and new keys without end do not keep those waiting that came before them.

Redis tells this again in Lua (_lanes.lua).
"""

from __future__ import annotations

import heapq
from collections.abc import Callable, Mapping

import msgspec

SERVICE = 1_000  # of virtual time: what one start costs. Whole, so that all stores count alike
BEHIND = SERVICE // 10  # by so much a lane begins after those that wait already
NO_KEY = ""  # the lane of the jobs without a key


class Turns(msgspec.Struct, frozen=True):
    """What one claim takes of one priority."""

    keys: list[str]  # whose turn each start is, in order
    tags: dict[str, int]  # new ones, of the lanes that were served
    reached: int  # virtual time


def start_tag(reached: int, tag: int | None) -> int:
    """The tag of a lane that becomes active, from its last one if that is known."""
    begin = reached + BEHIND
    return begin if tag is None else max(begin, tag)


def take_turns(
    reached: int,
    tags: Mapping[str, int],
    limit: int,
    waiting: Callable[[str], int],
    step: Callable[[str], int],
    pays: Callable[[str], bool],
) -> Turns:
    """Up to `limit` starts. `tags` has the active lanes; the `limit` least of them are enough.

    `waiting` says how many jobs of a lane may start, `step` by how much one sets it back, and
    `pays` whether the queue's rate lets its next one start: none goes ahead of one that has to
    wait for that. Of lanes with the same tag the one comes first whose key does.
    """
    heap = [(tag, key) for key, tag in tags.items()]
    heapq.heapify(heap)
    left: dict[str, int] = {}
    served: list[str] = []
    new: dict[str, int] = {}
    while heap and len(served) < limit:
        tag, key = heap[0]
        if key not in left:
            left[key] = waiting(key)
        if not left[key]:
            heapq.heappop(heap)
            continue
        if not pays(key):
            break
        reached = max(reached, tag)
        left[key] -= 1
        served.append(key)
        new[key] = tag + step(key)
        heapq.heapreplace(heap, (new[key], key))
    return Turns(served, new, reached)
