"""What the next jobs of a queue cost, and whether the rate of the queue lets them start."""

from __future__ import annotations

from asyncmqd.backends.sqlite import sql_statements
from asyncmqd.backends.sqlite.rows import WAITING
from asyncmqd.backends.sqlite.transaction import Transaction
from asyncmqd.domain.shared_limits import Bucket

_SQL = sql_statements.load("moves.sql")


class Purse:
    """The tokens of a queue in one claim; `bucket` is that of its rate over all daemons."""

    def __init__(self, tx: Transaction, queue: str, bucket: Bucket) -> None:
        self.is_empty = False  # for the job whose turn it is
        self._tx = tx
        self._queue = queue
        self._bucket = bucket

    def costs(self, limit: int) -> list[int]:
        """What the first jobs without a key cost."""
        return self._read("costs", place=WAITING, limit=limit)

    def costs_of_level(self, priority: int, limit: int) -> list[int]:
        """The same of one priority."""
        return self._read("costs_of_level", place=WAITING, rank=priority, limit=limit)

    def costs_of_lane(self, lane: int, limit: int) -> list[int]:
        """The same of one lane, by its number."""
        return self._read("costs_of_lane", lane=lane, limit=limit)

    def _read(self, name: str, **wanted: str | int) -> list[int]:
        rows = self._tx.execute(_SQL[name], {"queue": self._queue, **wanted})
        return [cost for (cost,) in rows]

    def pays(self, cost: int) -> bool:
        """Take what the job costs whose turn it is, if that is there."""
        self.is_empty = not self._bucket.pay(cost)
        return not self.is_empty

    def paid(self, costs: list[int]) -> int:
        """How many jobs of these costs it pays, one after the other."""
        return next((at for at, cost in enumerate(costs) if not self.pays(cost)), len(costs))
