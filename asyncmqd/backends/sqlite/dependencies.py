"""Which blocked jobs of a queue wait for which others and ghosts, in one transaction."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from asyncmqd.backends.sqlite import sql_statements
from asyncmqd.backends.sqlite.sql_statements import array
from asyncmqd.backends.sqlite.transaction import Transaction

_SQL = sql_statements.load("moves.sql")


class Edges:
    """A queue without blocked jobs is asked for them once in a transaction: `any`."""

    def __init__(self, tx: Transaction, queue: str) -> None:
        self._tx = tx
        self._queue = queue
        self.any = tx.execute(_SQL["any_edge"], (queue,)).fetchone() is not None

    def add(self, child: str, parents: Sequence[str]) -> None:
        first = self._tx.next(len(parents))
        rows = [(self._queue, parent, child, seq) for seq, parent in enumerate(parents, first)]
        self._tx.executemany(_SQL["add_edge"], rows)
        self.any = True

    def successor(self, parent: str, name: str) -> str | None:
        """The job of that unique name that waits for another, if there is one."""
        found = self._tx.execute(_SQL["successor"], (self._queue, parent, name)).fetchone()
        return found[0] if found else None

    def forget(self, children: Iterable[str]) -> None:
        """They wait for nothing any more."""
        self._tx.execute(_SQL["forget_edges"], (self._queue, array(children)))

    def pay(self, parent: str) -> list[str]:
        """A job has ended, or is deleted: the jobs that are free now."""
        paid = self._tx.execute(_SQL["children"], (self._queue, parent)).fetchall()
        if not paid:
            return []
        self._tx.execute(_SQL["pay"], (self._queue, parent))
        children = [child for (child,) in paid]
        still = self._tx.execute(_SQL["still_blocked"], (self._queue, array(children)))
        blocked = {child for (child,) in still}
        return [child for child in children if child not in blocked]

    def await_ghost(self, ghost: str, end: int) -> None:
        """Until the end of this lease, jobs may have to wait for it."""
        self._tx.execute(_SQL["await_ghost"], (self._queue, ghost, end))

    def end_ghosts(self, ghosts: Iterable[str]) -> list[str]:
        """Their code has ended; those of them for which jobs may have waited."""
        query = _SQL["end_awaited"]
        return [each for each in ghosts if self._tx.execute(query, (self._queue, each)).rowcount]
