"""What the file knows of the keys of a queue, for the limits of each."""

from __future__ import annotations

from asyncmqd.backends.sqlite import sql_statements
from asyncmqd.backends.sqlite.rows import ACTIVE
from asyncmqd.backends.sqlite.transaction import Snapshot
from asyncmqd.domain.key_limits import NEVER, KeyGate
from asyncmqd.domain.rate import FULL, Filling
from asyncmqd.domain.shared_limits import DeclaredLimits

_SQL = sql_statements.load("moves.sql")
_INSIGHT = sql_statements.load("insight.sql")


class QueueKeys:
    """`key_limits.Keys` in SQLite."""

    def __init__(self, tx: Snapshot, queue: str) -> None:
        self._tx = tx
        self._queue = queue

    def held(self, key: str) -> tuple[int, float]:
        wanted = self._queue, key, self._tx.since_boot
        ghosts, until = self._tx.execute(_SQL["ghosts_of_key"], wanted).fetchone()
        gone = NEVER if until is None else self._tx.time + until - self._tx.since_boot
        return self._active(key) + ghosts, gone

    def _active(self, key: str) -> int:
        (active,) = self._tx.execute(_SQL["active_of_key"], (self._queue, key)).fetchone()
        return int(active)

    def filling(self, key: str) -> Filling:
        row = self._tx.execute(_SQL["bucket"], (self._queue, key)).fetchone()
        return FULL if row is None else Filling(*row)

    def keep_filling(self, key: str, filling: Filling) -> None:
        self._tx.execute(_SQL["forget_full_buckets"], (self._queue, self._tx.time))
        self._tx.execute(_SQL["save_bucket"], (self._queue, key, *filling))


class ShownKeys(QueueKeys):
    """The same for people, also where keys have no limits: all active jobs are read, once."""

    def __init__(self, view: Snapshot, queue: str) -> None:
        super().__init__(view, queue)
        rows = view.execute(_INSIGHT["active_by_key"], (queue, ACTIVE))
        self._numbers: dict[str, int] = dict(rows.fetchall())

    def _active(self, key: str) -> int:
        return self._numbers.get(key, 0)


def gate_of_keys(tx: Snapshot, queue: str, declared: DeclaredLimits | None) -> KeyGate:
    """What the limits of keys let start at this moment."""
    return KeyGate(declared, QueueKeys(tx, queue), tx.time)
