"""One turn of a worker: changes, then as many claims as pauses and limits allow."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from asyncmqd.backends.base import Turn
from asyncmqd.backends.sqlite import moves, queries
from asyncmqd.backends.sqlite.clock import seconds
from asyncmqd.backends.sqlite.rows import ACTIVE, WAITING
from asyncmqd.backends.sqlite.transaction import Transaction, gate, ghosts
from asyncmqd.domain.change import Change
from asyncmqd.domain.shared_limits import (
    DeclaredLimits,
    SharedLimits,
    declared,
    in_force,
    permits,
)

_SQL = queries.load("moves.sql")


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
    paused, stored = gate(tx, queue)
    limits = in_force(stored, told)
    if limits is None:
        answers = moves.apply(tx, queue, changes)
        claims = [] if paused else moves.claim(tx, queue, limit, lease, worker, most)
        return Turn(answers, claims)
    if limits is not stored:
        _keep(tx, queue, limits)
    before = _holding(tx, queue)
    answers = moves.apply(tx, queue, changes)
    held = _holding(tx, queue)
    allowed = permits(limits, held)
    number = limit if allowed is None else min(limit, allowed)
    claims = [] if paused else moves.claim(tx, queue, number, lease, worker, most)
    is_closed = allowed is not None and len(claims) == allowed
    if held < before and not is_closed and _any_waiting(tx, queue):
        tx.woken.add(queue)
    opens_in = _opens_in(tx, queue) if is_closed and len(claims) < limit else None
    return Turn(answers, claims, limits, opens_in)


def declare_limits(
    tx: Transaction, queue: str, limits: SharedLimits, by: str
) -> DeclaredLimits | None:
    """See `BaseBackend.declare_limits`."""
    _, stored = gate(tx, queue)
    found = declared(stored, limits, by, seconds(tx.time))
    if found is not None and found is not stored:
        _keep(tx, queue, found)
        tx.woken.add(queue)
    return found


def _keep(tx: Transaction, queue: str, limits: DeclaredLimits) -> None:
    tx.execute(_SQL["declare_limits"], (queue, msgspec.json.encode(limits)))


def _holding(tx: Transaction, queue: str) -> int:
    """How many hold a permit of the queue now."""
    tx.execute(_SQL["forget_ghosts"], (queue, tx.since_boot))
    active, _ = tx.tallies(queue).get(ACTIVE, (0, 0))
    number, _ = ghosts(tx, queue)
    return active + number


def _any_waiting(tx: Transaction, queue: str) -> bool:
    return tx.execute(_SQL["any_waiting"], (queue, WAITING)).fetchone() is not None


def _opens_in(tx: Transaction, queue: str) -> float | None:
    _, until = ghosts(tx, queue)
    return None if until is None else seconds(until - tx.since_boot)
