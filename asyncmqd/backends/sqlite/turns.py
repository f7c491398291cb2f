"""One turn of a worker: changes, then as many claims as pauses and limits allow."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from asyncmqd.backends.base import Turn
from asyncmqd.backends.sqlite import moves, sql_statements
from asyncmqd.backends.sqlite.clock import seconds
from asyncmqd.backends.sqlite.keys import gate_of_keys
from asyncmqd.backends.sqlite.rows import ACTIVE, WAITING
from asyncmqd.backends.sqlite.sql_statements import as_json
from asyncmqd.backends.sqlite.token_buckets import purse_of
from asyncmqd.backends.sqlite.transaction import Transaction, filling, gate, ghosts
from asyncmqd.domain.change import Answer, Change
from asyncmqd.domain.rate import FULL
from asyncmqd.domain.shared_limits import (
    Bucket,
    DeclaredLimits,
    SharedLimits,
    declared,
    in_force,
    least,
    permits,
)
from asyncmqd.domain.states import KEYED

_SQL = sql_statements.load("moves.sql")


def turn(
    tx: Transaction,
    queue: str,
    changes: Sequence[Change],
    limit: int,
    lease: float,
    worker: str,
    told: DeclaredLimits | None,
    most: int,
) -> Turn:
    """See `BaseBackend.turn`. `most` bytes of a payload are loaded."""
    paused, stored, keyed = gate(tx, queue)
    limits = in_force(stored, told)
    if limits is None:
        answers = moves.apply(tx, queue, changes)
        number = 0 if paused else limit
        in_turns = keyed or queue in tx.lanes
        keys = gate_of_keys(tx, queue, None) if in_turns else None
        claims = moves.claim(tx, queue, number, lease, worker, most, keys)
        tx.forget_idle_lanes(queue)
        return Turn(answers, claims)
    if limits is not stored:
        _keep(tx, queue, limits)
    limited = _Limited(tx, queue, limits)
    if limits is not stored:
        limited.bucket.empty()
    answers, freed = limited.apply(changes)
    number = 0 if paused else limited.allowed(limit)
    if keyed and number > 0:
        tx.lanes_of(queue).reopen_due()
    keys = limited.keys if keyed or queue in tx.lanes else None
    purse = purse_of(tx, queue, limits, limited.bucket) if number > 0 else None
    claims = moves.claim(tx, queue, number, lease, worker, most, keys, purse)
    if purse is None:
        limited.bucket.take(len(claims))
    tx.forget_idle_lanes(queue)
    opens_in = limited.note_claims(len(claims), limit, freed)
    return Turn(answers, claims, limits, opens_in)


class _Limited:
    """A turn of a queue that has limits over all daemons."""

    def __init__(self, tx: Transaction, queue: str, limits: DeclaredLimits) -> None:
        self._tx = tx
        self._queue = queue
        self._limits = limits
        has_rate = limits.limits.rate is not None
        self._filling = filling(tx, queue) if has_rate else FULL
        self.bucket = Bucket(limits, self._filling, tx.time)
        self.keys = gate_of_keys(tx, queue, limits)

    def apply(self, changes: Sequence[Change]) -> tuple[list[Answer], bool]:
        """Apply changes; whether they let more jobs start."""
        before = self._held
        answers = moves.apply(self._tx, self._queue, changes)
        pairs = zip(changes, answers, strict=True)
        ids = [each.id for each, answer in pairs if each.unstarted and answer == "applied"]
        if ids:
            found = self._tx.execute(_SQL["claimed"], (as_json(ids), self._queue))
            for claimed, key, cost in found.fetchall():
                self.bucket.hand_back(claimed or 0, cost)
                self.keys.hand_back(key or "", claimed or 0, cost)
        lanes = self._tx.lanes.get(self._queue)
        reopened = lanes is not None and lanes.reopen_ended(self.keys)
        return answers, self._held < before or reopened

    def allowed(self, wanted: int) -> int:
        """How many of these may start."""
        return least(wanted, self._places, self.bucket.allowed) or 0

    def note_claims(self, number: int, wanted: int, freed: bool) -> float | None:
        """So many were claimed; seconds until time alone lets more start, if they were too few.

        What a turn frees and does not take is for others.
        """
        if (filled := self.bucket.filling) != self._filling:
            self._tx.execute(_SQL["set_filling"], (*filled, self._queue))
        places = self._places
        if freed and places != 0 and _any_waiting(self._tx, self._queue):
            self._tx.woken.add(self._queue)
        lanes = self._tx.lanes.get(self._queue)
        if lanes is not None and lanes.timed:
            self._tx.woken.add(self._queue)  # a process has to know when that key opens
        if number >= wanted:
            return None
        if places == 0:
            _, until = ghosts(self._tx, self._queue)
            return None if until is None else seconds(until - self._tx.since_boot)
        if not self.bucket.is_open:
            return self.bucket.opens_in
        return lanes.opens_in if lanes is not None else None

    @property
    def _places(self) -> int | None:
        return permits(self._limits, self._held)

    @property
    def _held(self) -> int:
        return _holding(self._tx, self._queue)


def declare_limits(
    tx: Transaction, queue: str, limits: SharedLimits, by: str
) -> DeclaredLimits | None:
    """See `BaseBackend.declare_limits`."""
    _, stored, _ = gate(tx, queue)
    found = declared(stored, limits, by, seconds(tx.time))
    if found is not None and found is not stored:
        _keep(tx, queue, found)
        bucket = Bucket(found, filling(tx, queue), tx.time)
        tx.execute(_SQL["set_filling"], (*bucket.filling, queue))
        tx.woken.add(queue)
    return found


def _keep(tx: Transaction, queue: str, limits: DeclaredLimits) -> None:
    tx.execute(_SQL["judge_keys_anew"], (queue,))
    tx.execute(_SQL["declare_limits"], (queue, msgspec.json.encode(limits)))


def _holding(tx: Transaction, queue: str) -> int:
    """How many hold a permit of the queue now."""
    tx.execute(_SQL["forget_ghosts"], (queue, tx.since_boot))
    active, _ = tx.tallies(queue).get(ACTIVE, (0, 0))
    number, _ = ghosts(tx, queue)
    return active + number


def _any_waiting(tx: Transaction, queue: str) -> bool:
    places = (WAITING, KEYED)
    return any(tx.execute(_SQL["any_waiting"], (queue, each)).fetchone() for each in places)
