"""`KeyGate`: what the limits of each key let start in one turn of a queue.

A key that is used up leaves what a claim looks at, until the end of one of its jobs or the time
brings it back. Redis tells this again in Lua (_key_gate.lua).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Protocol

from asyncmqd.domain.lanes import SERVICE
from asyncmqd.domain.rate import FULL, Filling
from asyncmqd.domain.shared_limits import (
    AHEAD,
    NO_KEY_LIMITS,
    Bucket,
    DeclaredLimits,
    KeyLimits,
    least,
)

NEVER = math.inf


class Keys(Protocol):
    """What a store knows of the keys of a queue. Times are microseconds of its clock."""

    def held(self, key: str) -> tuple[int, float]:
        """How many jobs of a key hold a permit; when the first ghost of these is gone, or never."""

    def filling(self, key: str) -> Filling:
        """What is kept of the bucket of a key."""

    def keep_filling(self, key: str, filling: Filling) -> None:
        """Keep that."""


class KeyGate:
    """The limits of keys in one turn, at one moment: microseconds of the store's clock."""

    def __init__(self, declared: DeclaredLimits | None, keys: Keys, now: float) -> None:
        self._declared = declared
        self._keys = keys
        self.now = now

    def went_back(self, closed_at: float) -> bool:
        """Whether the clock was set back since keys were closed: when they open is not known."""
        return closed_at > self.now + AHEAD

    @property
    def is_open(self) -> bool:
        """Whether no key has limits at all."""
        return self._declared is None or not self._declared.limits.of_keys

    def limits(self, key: str) -> KeyLimits:
        """Those of a key; jobs without one are not bound."""
        return self._declared.limits.of_key(key) if self._declared and key else NO_KEY_LIMITS

    def step(self, key: str) -> int:
        """By how much a start sets a key back."""
        weight = self.limits(key).weight
        return SERVICE if weight == 1 else max(1, math.floor(SERVICE / weight + 0.5))

    def allowed(self, key: str) -> int | None:
        """How many jobs of a key may start; None is no limit."""
        return None if self.is_open else least(self._permits(key), self._bucket(key).allowed)

    def tokens(self, key: str) -> int | None:
        """How many there are; None is no limit."""
        return self._bucket(key).allowed

    def has_rate(self, key: str) -> bool:
        """Whether jobs of a key take tokens."""
        return self.limits(key).rate is not None

    def covers(self, key: str, costs: Sequence[int]) -> int:
        """How many jobs of a key with these costs its rate lets start, one after the other."""
        covered = self._bucket(key).covers(costs) if self.has_rate(key) else None
        return len(costs) if covered is None else covered

    def opens(self, key: str, cost: int = 1) -> float:
        """When time alone lets one start that costs so much, of which none may now."""
        if self._permits(key) == 0:
            return self._keys.held(key)[1]
        bucket = self._bucket(key)
        bucket.pay(cost)  # refused
        if (kept := bucket.filling) != self._keys.filling(key):  # no emptier than empty: kept so
            self._keys.keep_filling(key, kept)
        return NEVER if bucket.opens_in is None else self.now + bucket.opens_in * 1e6

    def take(self, key: str, tokens: int) -> None:
        """Jobs of a key were claimed that cost so many."""
        if self.has_rate(key):
            bucket = self._bucket(key)
            bucket.take(tokens)
            self._keys.keep_filling(key, bucket.filling)

    def hand_back(self, key: str, claimed: float, cost: int) -> None:
        """A job of a key, claimed at that moment, did not start."""
        if self.has_rate(key):
            bucket = self._bucket(key)
            bucket.hand_back(claimed, cost)
            self._keys.keep_filling(key, bucket.filling)

    def _permits(self, key: str) -> int | None:
        most = self.limits(key).concurrency
        return None if most is None else max(0, most - self._keys.held(key)[0])

    def _bucket(self, key: str) -> Bucket:
        assert self._declared is not None
        limits = self.limits(key)
        filling = FULL if limits.rate is None else self._keys.filling(key)
        return Bucket(self._declared, filling, self.now, limits)
