"""Jobs that have something, looked for in a part of a line at a time."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from asyncmqd.backends.sqlite import sql_statements
from asyncmqd.backends.sqlite.clock import micros
from asyncmqd.backends.sqlite.moves import places
from asyncmqd.backends.sqlite.reading import record_of, with_others
from asyncmqd.backends.sqlite.transaction import Snapshot, tallies
from asyncmqd.domain.job import Record
from asyncmqd.domain.selection import HEAD, Mark, Searched, Sought
from asyncmqd.domain.states import State

_SQL = sql_statements.load("reading.sql")
_BEFORE, _BEHIND = -(2**62), 2**62  # ranks that none is beyond


def search(
    view: Snapshot,
    queue: str,
    state: State,
    sought: Sought,
    readable: int,
    after: Mark | None,
    most: int,
    page: int,
    newest_first: bool,
) -> Searched:
    """See `BaseBackend.search`."""
    records: list[Record] = []
    looked, mark = 0, after
    wanted = {**_asked(sought), "readable": readable}
    for place in places(tallies(view, queue), state):  # their names are in order
        if mark is not None and place < mark.place:
            continue
        part = _Part(view, queue, place, newest_first)
        room = page - looked if len(records) < most else 0
        found, passed, mark = part.search(wanted, mark, most - len(records), room)
        records += found
        looked += passed
        if mark is not None:
            break
    return Searched(with_others(view, queue, records), looked, mark)


class _Part:
    """One line, in one direction."""

    def __init__(self, view: Snapshot, queue: str, place: str, newest_first: bool) -> None:
        self._view = view
        self._line = {"queue": queue, "place": place}
        self._backwards = newest_first

    def search(
        self, wanted: dict[str, Any], after: Mark | None, most: int, page: int
    ) -> tuple[list[Record], int, Mark | None]:
        """Those that were found, how many were looked at, and the last of these if more follow."""
        begin = self._begin(after)
        ahead = self._execute("ahead", {**begin, "page": page + 1})
        followed, ahead = len(ahead) > page, ahead[:page]
        if not ahead:
            return [], 0, self._mark(begin.values()) if followed else None
        rank, seq = ahead[-1]
        until = {"last_rank": rank, "last_seq": seq, "most": most}
        rows = self._execute("search", {**begin, **until, **wanted})
        if len(rows) == most:  # it stops there
            rank, seq = rows[-1][3], rows[-1][0]
            looked = ahead.index((rank, seq)) + 1
            followed, ahead = followed or looked < len(ahead), ahead[:looked]
        records = [record_of(self._view, self._line["queue"], row[1:]) for row in rows]
        return records, len(ahead), self._mark(ahead[-1]) if followed else None

    def _begin(self, after: Mark | None) -> dict[str, int]:
        if after is None or after.place != self._line["place"]:
            end = _BEHIND if self._backwards else _BEFORE
            return {"rank": end, "seq": end}
        begin = {"rank": int(after.rank), "seq": int(after.tie)}
        if any(not _BEFORE <= each <= _BEHIND for each in begin.values()):
            raise ValueError("a mark of another store")
        return begin

    def _mark(self, at: Any) -> Mark:
        rank, seq = at
        return Mark(self._line["place"], rank, str(seq))

    def _execute(self, name: str, values: dict[str, Any]) -> list[Sequence[Any]]:
        statement = _SQL[f"{name}_backwards" if self._backwards else name]
        return self._view.execute(statement, {**self._line, **values}).fetchall()


def _asked(sought: Sought) -> dict[str, Any]:
    until = sought.created_until
    return {
        "head": sought.head,
        "bytes": HEAD,
        "key": sought.key,
        "error": sought.error,
        "created": None if until is None else micros(until),
    }
