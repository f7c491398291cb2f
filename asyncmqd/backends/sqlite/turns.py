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
from asyncmqd.backends.sqlite.token_buckets import Purse
from asyncmqd.backends.sqlite.transaction import Transaction, filling, gate
from asyncmqd.domain.change import Answer, Change
from asyncmqd.domain.key_limits import KeyGate
from asyncmqd.domain.rate import Filling
from asyncmqd.domain.shared_limits import (
    Bucket,
    DeclaredLimits,
    SharedLimits,
    came_free,
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
    limits = in_force(stored, told, seconds(tx.time))
    if limits is None:
        answers = moves.apply(tx, queue, changes)
        number = 0 if paused else limit
        in_turns = keyed or queue in tx.lanes
        keys = gate_of_keys(tx, queue, None) if in_turns else None
        claims = moves.claim(tx, queue, number, lease, worker, most, keys)
        tx.forget_idle_lanes(queue)
        return Turn(answers, claims)
    if is_news := limits is not stored:
        _keep(tx, queue, limits)
    limited = _Limited(tx, queue, limits, is_news)
    answers = limited.apply(changes)
    number = 0 if paused else limited.allowed(limit)
    keys = limited.keys_taking_turns(keyed, number)
    purse = limited.purse if number > 0 else None
    claims = moves.claim(tx, queue, number, lease, worker, most, keys, purse)
    tx.forget_idle_lanes(queue)
    opens_in = limited.note_claims(len(claims), limit, counts_tokens=purse is None)
    return Turn(answers, claims, limits, opens_in)


class _Limited:
    """A turn of a queue that has limits over all daemons.

    What they need is read by two statements, one before the changes and one after: at each batch,
    what a statement costs is more than what it reads.
    """

    def __init__(self, tx: Transaction, queue: str, limits: DeclaredLimits, is_news: bool) -> None:
        self._tx = tx
        self._queue = queue
        self._limits = limits
        self._frees = is_news  # jobs may start for which others may wait
        asked = {"queue": queue, "active": ACTIVE}
        row = tx.execute(_SQL["tokens_and_permits"], asked).fetchone()
        arrival, owes_since, self._any_cost, active, ghosts = row
        if ghosts:
            tx.execute(_SQL["forget_ghosts"], (queue, tx.since_boot))
        self._filling = Filling(arrival, owes_since)
        # Ghosts that are gone by now count as well: nobody was told of that.
        self._held = (active or 0) + tx.gathered(queue, ACTIVE) + ghosts
        self._next_gone: int | None = None
        self._bucket = Bucket(limits, self._filling, tx.time)
        self._keys = gate_of_keys(tx, queue, limits)

    def apply(self, changes: Sequence[Change]) -> list[Answer]:
        """Apply changes."""
        before = self._places
        answers = moves.apply(self._tx, self._queue, changes)
        self._held, self._next_gone = self._holding()
        pairs = zip(changes, answers, strict=True)
        ids = [each.id for each, answer in pairs if each.unstarted and answer == "applied"]
        if ids:
            found = self._tx.execute(_SQL["claimed"], (as_json(ids), self._queue))
            for claimed, key, cost in found.fetchall():
                self._bucket.hand_back(claimed or 0, cost)
                self._keys.hand_back(key or "", claimed or 0, cost)
        lanes = self._tx.lanes.get(self._queue)
        reopened = lanes is not None and lanes.reopen_ended(self._keys)
        freed = bool(ids) or reopened or came_free(before, self._places)
        self._frees = self._frees or freed
        return answers

    def _holding(self) -> tuple[int, int | None]:
        """How many hold a permit of the queue now, and when the first ghost of them is gone."""
        asked = {"queue": self._queue, "active": ACTIVE, "since_boot": self._tx.since_boot}
        active, ghosts, gone = self._tx.execute(_SQL["holding"], asked).fetchone()
        return (active or 0) + self._tx.gathered(self._queue, ACTIVE) + ghosts, gone

    @property
    def _places(self) -> int | None:
        return permits(self._limits, self._held)

    def allowed(self, wanted: int) -> int:
        """How many of these may start."""
        return least(wanted, self._places, self._bucket.allowed) or 0

    @property
    def purse(self) -> Purse | None:
        """What pays the jobs, if they are counted and some cost more than one token."""
        counted = self._bucket.rate is not None or self._limits.limits.of_keys
        return Purse(self._tx, self._queue, self._bucket) if counted and self._any_cost else None

    def keys_taking_turns(self, keyed: bool, number: int) -> KeyGate | None:
        """The limits of keys, for a claim of so many; None where no job has a key."""
        if keyed and number > 0:
            self._tx.lanes_of(self._queue).reopen_due()
        return self._keys if keyed or self._queue in self._tx.lanes else None

    def note_claims(self, number: int, wanted: int, *, counts_tokens: bool) -> float | None:
        """So many were claimed; seconds until time alone lets more start, if they were too few.

        What a turn frees and does not take is for others.
        """
        self._held += number
        if counts_tokens:
            self._bucket.take(number)
        if (filled := self._bucket.filling) != self._filling:
            self._tx.execute(_SQL["set_filling"], (*filled, self._queue))
        places = self._places
        if self._frees and places != 0 and _any_waiting(self._tx, self._queue):
            self._tx.woken.add(self._queue)
        lanes = self._tx.lanes.get(self._queue)
        if lanes is not None and lanes.timed:
            self._tx.woken.add(self._queue)  # a process has to know when that key opens
        if number >= wanted:
            return None
        if places == 0:
            gone = self._next_gone
            return None if gone is None else seconds(gone - self._tx.since_boot)
        if not self._bucket.is_open:
            return self._bucket.opens_in
        return lanes.opens_in if lanes is not None else None


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
    if limits.limits.of_keys:
        tx.execute(_SQL["note_permits"], (queue, ACTIVE))


def _any_waiting(tx: Transaction, queue: str) -> bool:
    places = (WAITING, KEYED)
    return any(tx.execute(_SQL["any_waiting"], (queue, each)).fetchone() for each in places)
