"""What only people ask of the file, and what is kept of the past for them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial

from asyncmqd.backends.contract.insight import KEYS_LOOKED_AT
from asyncmqd.backends.sqlite import history, sql_statements
from asyncmqd.backends.sqlite.clock import micros, seconds
from asyncmqd.backends.sqlite.events import SQLiteEvents
from asyncmqd.backends.sqlite.in_line import in_line
from asyncmqd.backends.sqlite.keys import ShownKeys
from asyncmqd.backends.sqlite.transaction import Snapshot, Transaction
from asyncmqd.domain.history import History, Period
from asyncmqd.domain.in_line import InLine
from asyncmqd.domain.key_backlog import BusyKey, KeyBacklog, most_first
from asyncmqd.domain.marks import KEPT, KEPT_FOR, Marked, marked

_SQL = sql_statements.load("insight.sql")


class SQLiteInsight(SQLiteEvents):
    """The faces of insight and of history; `store.SQLiteBackend` has the others."""

    async def attempts(self, queue: str, id: str) -> bytes:
        return await self._read(partial(_attempts, queue=queue, id=id))

    async def key_backlog(self, queue: str, most: int) -> KeyBacklog:
        return await self._read(partial(_key_backlog, queue=queue, most=most))

    async def in_line(self, queue: str, id: str) -> InLine | None:
        return await self._read(partial(in_line, queue=queue, id=id))

    async def mark(self, id: str, mark: bytes) -> None:
        await self._write(partial(_mark, id=id, mark=mark))

    async def marks(self) -> list[Marked]:
        return await self._read(_marks)

    async def note(self, periods: Mapping[str, Period], *, over: bool) -> float:
        return await self._write(partial(history.note, periods=periods, over=over))

    async def history(self, queue: str) -> History:
        return await self._read(partial(history.history, queue=queue))

    async def oldest(self, queues: Sequence[str]) -> dict[str, float]:
        return await self._read(partial(history.oldest, queues=queues))


def _attempts(view: Snapshot, queue: str, id: str) -> bytes:
    found = view.execute(_SQL["attempts_of"], (queue, id)).fetchone()
    return b"" if found is None else bytes(found[0])


def _key_backlog(view: Snapshot, queue: str, most: int) -> KeyBacklog:
    waiting: dict[str, int] = {}
    for statement in ("open_lanes", "shut_lanes"):
        for key, jobs in view.execute(_SQL[statement], (queue, KEYS_LOOKED_AT)):
            waiting[key] = waiting.get(key, 0) + jobs
    (of,) = view.execute(_SQL["number_of_lanes"], {"queue": queue}).fetchone()
    keys = ShownKeys(view, queue)
    found = [BusyKey(key, jobs, keys.held(key)[0]) for key, jobs in most_first(waiting, most)]
    return KeyBacklog(found, len(waiting), of)


def _mark(tx: Transaction, id: str, mark: bytes) -> None:
    tx.execute(_SQL["mark"], (id, tx.time, mark))
    tx.execute(_SQL["forget_old_marks"], (tx.time - micros(KEPT_FOR),))
    tx.execute(_SQL["forget_first_mark"], (KEPT,))


def _marks(view: Snapshot) -> list[Marked]:
    found = (marked(seconds(time), data) for time, data in view.execute(_SQL["marks"]))
    return [each for each in found if each is not None]
