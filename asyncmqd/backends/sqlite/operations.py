"""The verbs about operations."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from asyncmqd.backends.base import OperationRecord, is_whole
from asyncmqd.backends.sqlite import moves, sql_statements, turns
from asyncmqd.backends.sqlite.clock import micros, seconds
from asyncmqd.backends.sqlite.transaction import Snapshot, Transaction
from asyncmqd.domain.change import Answer, Change
from asyncmqd.domain.operation import KEPT, KEPT_FOR

_SQL = sql_statements.load("operations.sql")


def begin(
    tx: Transaction, queue: str, id: str, order: bytes, carrier: str, lease: float
) -> OperationRecord:
    """See `BaseBackend.begin_operation`."""
    until = tx.time + micros(lease) if carrier else 0
    known = {"queue": queue, "id": id, "orders": order, "carrier": carrier}
    tx.execute(_SQL["begin"], {**known, "time": tx.time, "until": until})
    tx.execute(_SQL["forget"], {"queue": queue, "old": tx.time - micros(KEPT_FOR), "kept": KEPT})
    return _one(tx, queue, id)


def _one(view: Snapshot, queue: str, id: str) -> OperationRecord:
    return _record(queue, view.execute(_SQL["operation"], (queue, id)).fetchone())


def operations(view: Snapshot, queues: Sequence[str] | None) -> list[OperationRecord]:
    """See `BaseBackend.operations`."""
    if queues is None:
        queues = [queue for (queue,) in view.execute(_SQL["queues"]).fetchall()]
    return [
        _record(queue, row)
        for queue in queues
        for row in view.execute(_SQL["operations"], (queue,)).fetchall()
    ]


def operating(view: Snapshot) -> list[str]:
    """The queues that have operations under way."""
    return [queue for (queue,) in view.execute(_SQL["operating"])]


def carry(
    tx: Transaction, queue: str, id: str, carrier: str, lease: float, former: str
) -> OperationRecord | None:
    """See `BaseBackend.carry`."""
    asked = {"queue": queue, "id": id, "carrier": carrier, "former": former or carrier}
    times = {"time": tx.time, "lease": micros(lease)}
    taken = tx.execute(_SQL["carry"], {**asked, **times}).rowcount
    return _one(tx, queue, id) if taken else None


def advance(
    tx: Transaction,
    queue: str,
    id: str,
    token: int,
    lease: float,
    changes: Sequence[Change],
    removed: Sequence[str],
    progress: bytes | None,
    ends: bool,
) -> list[Answer] | None:
    """See `BaseBackend.advance`."""
    if tx.execute(_SQL["is_carried"], (queue, id, token)).fetchone() is None:
        return None
    answers: list[Answer] = []
    if removed:
        were = moves.remove(tx, queue, removed)
        answers = ["applied" if was else "gone" for was in were]
    elif changes:
        answers = turns.turn(tx, queue, changes, 0, 0.0, "", None, 0).answers
    written = progress if is_whole(answers) else None
    values = {"moved": answers.count("applied"), "progress": written, "lease": micros(lease)}
    tx.execute(_SQL["advance"], {**values, "time": tx.time, "queue": queue, "id": id})
    if ends:
        tx.execute(_SQL["end"], (tx.time, "done", "", queue, id))
    return answers


def cancel(tx: Transaction, queue: str, id: str, by: str) -> bool:
    """See `BaseBackend.cancel_operation`."""
    return tx.execute(_SQL["end"], (tx.time, "cancelled", by, queue, id)).rowcount > 0


def _record(queue: str, row: Sequence[Any]) -> OperationRecord:
    id, order, progress, moved, begun, token, carrier, until, ended, outcome, by = row
    return OperationRecord(
        id=id,
        queue=queue,
        order=order,
        progress=progress,
        moved=moved,
        begun=seconds(begun),
        token=token,
        carrier=carrier,
        until=seconds(until),
        ended=None if ended is None else seconds(ended),
        outcome=outcome,
        ended_by=by,
    )
