"""The verbs about events."""

from __future__ import annotations

import abc
from collections.abc import Callable, Sequence
from functools import partial
from typing import TypeVar

from asyncmqd.backends.base import WATCHED, BaseBackend
from asyncmqd.backends.sqlite import sql_statements
from asyncmqd.backends.sqlite.clock import micros
from asyncmqd.backends.sqlite.transaction import Snapshot, Transaction
from asyncmqd.domain.events import KEPT, PAGE, EventPage, Position, begin_of, pack, page_after

_SQL = sql_statements.load("events.sql")
_Result = TypeVar("_Result")


class SQLiteEvents(BaseBackend):
    """The face of events; `store.SQLiteBackend` has the others."""

    @abc.abstractmethod
    async def _write(
        self, work: Callable[[Transaction], _Result], *, flushes: bool = True
    ) -> _Result:
        """Do it in a transaction."""

    @abc.abstractmethod
    async def _read(self, work: Callable[[Snapshot], _Result]) -> _Result:
        """Look at one moment."""

    async def watch(self, seconds: float) -> Position:
        return await self._write(partial(_watch, seconds=seconds), flushes=False)

    async def publish(self, events: Sequence[bytes]) -> bool:
        return await self._write(partial(_publish, events=events), flushes=False)

    async def events(self, after: Position) -> EventPage:
        return await self._read(partial(_events, after=after))


def _watch(tx: Transaction, seconds: float) -> Position:
    end = _end(tx)
    if end is None:
        _forget(tx)
        end = Position(tx.time, 0)
        tx.execute(_SQL["begin"], (end.epoch,))
        tx.woken.add(WATCHED)
    tx.execute(_SQL["watch"], (tx.since_boot + micros(seconds),))
    return end


def _publish(tx: Transaction, events: Sequence[bytes]) -> bool:
    end = _end(tx)
    if end is None:
        _forget(tx)
    elif events:
        number = end.number + len(events)
        tx.execute(_SQL["count"], (number,))
        tx.execute(_SQL["add"], (number, pack(events)))
        tx.execute(_SQL["drop"], (number - KEPT,))
    return end is not None


def _events(view: Snapshot, after: Position) -> EventPage:
    end = _end(view)
    if end is None:
        return EventPage([], after, is_watched=False)
    return page_after(after, end, view.execute(_SQL["events"], (begin_of(after, end), PAGE)))


def is_watched(tx: Transaction) -> bool:
    """Whether somebody watches now. What nobody watches any more is deleted."""
    found = tx.execute(_SQL["is_watched"], (tx.since_boot,)).fetchone()
    if found == (0,):
        _forget(tx)
    return bool(found == (1,))


def _end(view: Snapshot) -> Position | None:
    """The position of the newest event, if somebody watches."""
    found = view.execute(_SQL["epoch"], (view.since_boot,)).fetchone()
    return None if found is None else Position(*found)


def _forget(tx: Transaction) -> None:
    """What nobody watched any more."""
    tx.execute(_SQL["forget_events"])
    tx.execute(_SQL["forget_epoch"])
