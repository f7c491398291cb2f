"""The world: one clock, one seeded generator, the loops of all processes, and what happens between.

It turns one loop at a time, drawn among those that have something to do now; when none has, its
clock jumps to the next moment at which one will.
"""

from __future__ import annotations

import heapq
import itertools
import math
import random
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from hashlib import blake2b
from typing import Any
from unittest import mock

from asyncmqd.domain import clock
from asyncmqd.runtime.process import presence
from tests.simulation.loop import SimLoop

EPOCH = 1_800_000_000.0  # what the store's clock shows when a world begins


class World:
    """Virtual time for several processes and the store between them."""

    def __init__(self, seed: int, epoch: float = EPOCH) -> None:
        self.epoch = epoch
        self.rng = random.Random(seed)
        self.now = 0.0  # seconds
        self.jumps: list[float] = []  # when the store's clock jumped
        self._shift = 0.0  # seconds that it is ahead by its jumps
        self.loops: list[SimLoop] = []  # of all processes that live
        self.graves: list[SimLoop] = []
        self.turns = 0
        self._events: list[tuple[float, int, Callable[..., None], tuple[Any, ...]]] = []
        self._numbers = itertools.count()
        self._ids = itertools.count(1)
        self._trace = blake2b(digest_size=8)

    # ------------------------------------------------------------------ time

    def after(self, delay: float, callback: Callable[..., None], *args: Any) -> None:
        """Call in so many seconds, whatever the processes do."""
        heapq.heappush(self._events, (self.now + delay, next(self._numbers), callback, args))

    def run(self, done: Callable[[], bool], limit: float) -> bool:
        """Let time pass until `done`; False if it is not within `limit` seconds."""
        end = self.now + limit
        while not done():
            if not self._step(end):
                return False
        return True

    def rest(self, seconds: float) -> None:
        """Let so much time pass."""
        self.run(lambda: False, seconds)

    def _step(self, end: float) -> bool:
        """Do the next thing, at its moment; False if that is after `end`. Events come first."""
        if self._events and self._events[0][0] <= self.now:
            self._happen()
            return True
        soonest, ready = self._events[0][0] if self._events else math.inf, []
        for loop in self.loops:
            moment = loop.next_moment()
            if moment < self.now:
                moment = self.now
            if moment < soonest:
                soonest, ready = moment, [loop]
            elif moment == soonest:
                ready.append(loop)
        if soonest > end:
            self.now = end
            return False
        self.now = soonest
        if ready:
            self.turns += 1
            (ready[0] if len(ready) == 1 else self.rng.choice(ready)).turn()
        else:
            self._happen()
        return True

    def _happen(self) -> None:
        _, _, callback, args = heapq.heappop(self._events)
        callback(*args)

    # ------------------------------------------------------------------ chance and identity

    def chance(self, odds: float) -> bool:
        """True with these odds."""
        return odds > 0 and self.rng.random() < odds

    def new_id(self) -> str:
        """An id that no other has."""
        return f"{next(self._ids):012x}"

    def note(self, *what: Any) -> None:
        """Add an event to the trace."""
        self._trace.update(f"{self.now:.9f} {what!r}\n".encode())

    @property
    def true_time(self) -> float:
        """What the store's clock shows, in Unix seconds."""
        return self.epoch + self.now + self._shift

    def jump(self, seconds: float) -> None:
        """The store's clock is that much ahead from now on."""
        self._shift += seconds
        self.jumps.append(self.now)
        self.note("the store's clock jumped by", seconds)

    def correct(self) -> None:
        """The store's clock is set right again."""
        if self._shift:
            self.jump(-self._shift)

    @property
    def trace(self) -> str:
        """A digest of all that happened, in order."""
        return self._trace.copy().hexdigest()

    def bury(self, loop: SimLoop) -> None:
        """Turn this loop no more, but keep what it was doing."""
        self.loops.remove(loop)
        self.graves.append(loop)

    def dispose(self) -> None:
        """Let go of all processes."""
        for loop in [*self.graves, *self.loops]:
            loop.dispose()

    @contextmanager
    def owns_the_clocks(self) -> Iterator[None]:
        """`domain.clock` shows this world, to each process by its own clocks."""

        def wall() -> float:
            return self.epoch + self.now + SimLoop.running().owner.skew

        with (
            mock.patch.multiple(
                clock,
                wall=wall,
                monotonic=lambda: SimLoop.running().time(),
                draw=self.rng.random,
                nonce=self.new_id,
                new_id=self.new_id,
            ),
            mock.patch.object(
                presence, "resident_memory", return_value=0
            ),  # of the host that plays
        ):
            yield
