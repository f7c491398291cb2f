"""Limits of a queue that hold over all daemons of a store: what they are, and what they allow."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator

import msgspec

from asyncmqd.domain.rate import Filling, Rate

AHEAD = 1e6  # microseconds: a moment that is further ahead was told by a clock that was set back


class Limits(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Limits of what starts in all daemons together. None is no limit, 0 lets nothing start."""

    concurrency: int | None = None
    rate_limit: float | None = None  # tokens of each `rate_interval`; a start takes its job's cost
    rate_interval: float = 1.0  # seconds
    burst: float | None = None  # tokens at once; None: `rate_limit`, at least 1

    @property
    def rate(self) -> Rate | None:
        """How many jobs may start in a time."""
        if self.rate_limit is None:
            return None
        burst = max(1.0, self.rate_limit if self.burst is None else self.burst)
        return Rate(starts=self.rate_limit, interval=self.rate_interval * 1e6, burst=burst)


class KeyLimits(Limits, frozen=True, kw_only=True, omit_defaults=True):
    """The limits of one key, and how many turns it gets for one of another."""

    weight: float = 1.0


NO_KEY_LIMITS = KeyLimits()


class SharedLimits(Limits, frozen=True, kw_only=True, omit_defaults=True):
    """The limits of a queue over all daemons, and those of each of its keys."""

    each_key: KeyLimits | None = None
    keys: dict[str, KeyLimits] = {}  # of single keys, complete: nothing of `each_key` is added

    @property
    def of_keys(self) -> bool:
        """Whether there are limits or weights of keys."""
        return self.each_key is not None or bool(self.keys)

    def of_key(self, key: str) -> KeyLimits:
        """Those of one key."""
        return self.keys.get(key) or self.each_key or NO_KEY_LIMITS


NO_LIMITS = SharedLimits()


def in_vain(of_key: Limits, of_queue: Limits) -> Iterator[str]:
    """Which limits of a key hold nothing back, for those of its queue do before.

    A queue that lets nothing start is paused, and says nothing of its keys.
    """
    if of_queue.concurrency and (of_key.concurrency or 0) > of_queue.concurrency:
        yield "concurrency"
    own, others = of_key.rate, of_queue.rate
    if own and others and own.gap < others.gap < math.inf and own.burst >= others.burst:
        yield "rate_limit"


class DeclaredLimits(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What a store has of them. The declaration with the latest `since` is the one in force.

    `NO_LIMITS` is kept as well: a daemon that knows an older declaration must not restore it.
    """

    since: float  # the store's clock
    by: str  # the id of the process that declared it
    # The store's clock when it had lost this, and was told it anew; 0: it never had. What tokens
    # were taken before is not known: all buckets were empty then.
    restored: float = 0.0
    limits: SharedLimits


def declared(
    known: DeclaredLimits | None, limits: SharedLimits, by: str, now: float
) -> DeclaredLimits | None:
    """What is in force after a daemon has declared limits; None: there never were any.

    Who declares what is in force already changes nothing. A later one counts also if the store's
    clock was set back.
    """
    if known is None:
        return None if limits == NO_LIMITS else DeclaredLimits(since=now, by=by, limits=limits)
    if known.limits == limits:
        return known
    since = max(now, known.since + 1e-6)
    return msgspec.structs.replace(known, since=since, by=by, limits=limits)


def in_force(
    stored: DeclaredLimits | None, told: DeclaredLimits | None, now: float
) -> DeclaredLimits | None:
    """The newer of what the store has and of what a claim tells: a store may have lost its own."""
    if told is not None and (stored is None or told.since > stored.since):
        return msgspec.structs.replace(told, restored=now)
    return stored


def permits(declared: DeclaredLimits | None, running: int) -> int | None:
    """How many more jobs may start while `running` hold a permit; None is no limit."""
    if declared is None or declared.limits.concurrency is None:
        return None
    return max(0, declared.limits.concurrency - running)


def came_free(before: int | None, now: int | None) -> bool:
    """Whether jobs may start of which those who wait have to be told.

    Where permits were left over already, nobody waits for one: who found none was told of the first
    that came free, and who found no jobs is told of new ones.
    """
    return before == 0 and now != 0


class Bucket:
    """The rate of a queue, or of one key with `limits`, in one turn.

    Times are microseconds of the store's clock.
    """

    def __init__(
        self, declared: DeclaredLimits, filling: Filling, now: float, limits: Limits | None = None
    ) -> None:
        self.rate = rate = (limits or declared.limits).rate
        self.now = now
        self._found = filling
        self._since = declared.since * 1e6
        self._arrival, owes_since = filling
        owes = owes_since > 0 and self._since <= owes_since <= now
        restored = declared.restored * 1e6
        if rate is not None and 0 < restored <= now + AHEAD:
            self._arrival = max(self._arrival, rate.emptied(restored))
        if rate is not None and not owes:
            self._arrival = rate.bounded(self._arrival, now)
        self._taken = 0
        self._refused = 1  # what the job costs that was refused

    @property
    def filling(self) -> Filling:
        """What is to be kept of it."""
        if self.rate is None:
            return self._found
        arrival = self.rate.after(self._arrival, self.now, self._taken)
        if arrival <= self.rate.emptied(self.now):
            return Filling(arrival)
        return Filling(arrival, self.now if self._taken else self._found.owes_since)

    @property
    def allowed(self) -> int | None:
        """How many jobs may start that cost one token; None is no limit."""
        if self.rate is None:
            return None
        return self.rate.allowed(self._arrival, self.now, self._taken)

    @property
    def opens_in(self) -> float | None:
        """Seconds until one may start; None: never, or at any time.

        If the next job was refused for what it costs, it is that one.
        """
        if self.rate is None:
            return None
        found = self.rate.opens_in(self.filling.arrival, self.now, self._refused)
        return None if found is None else found / 1e6

    @property
    def is_open(self) -> bool:
        """Whether one may start, and none was refused."""
        return self.allowed != 0 and self._refused == 1

    def covers(self, costs: Iterable[int]) -> int | None:
        """How many jobs of these costs may start, one after the other; None is no limit."""
        if self.rate is None:
            return None
        return self.rate.covered(self._arrival, self.now, costs, self._taken)

    def pay(self, cost: int) -> bool:
        """Take what a job costs, if that is there."""
        if self.covers((cost,)) == 0:
            self._refused = cost
            return False
        self._taken += cost
        return True

    def take(self, tokens: int) -> None:
        """Jobs were claimed that cost so many."""
        self._taken += tokens

    def hand_back(self, claimed: float, cost: int = 1) -> None:
        """A job that was claimed at that moment did not start.

        A claim that another rate was asked for, or none, took nothing of this one.
        """
        if self.rate is not None and claimed >= self._since:
            self._arrival = self.rate.refunded(self._arrival, self.now - claimed, cost)


def least(*numbers: int | None) -> int | None:
    """The least of some limits; None is no limit."""
    return min((each for each in numbers if each is not None), default=None)
