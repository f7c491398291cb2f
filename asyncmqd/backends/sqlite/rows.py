"""The rows of jobs: read by one statement for all of a batch, moved in memory, written once."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from itertools import accumulate
from operator import attrgetter, itemgetter
from typing import TypeVar

import msgspec

from asyncmqd.backends.applying import NO_VALUES, VALUES, values_of
from asyncmqd.backends.sqlite import new_rows, sql_statements
from asyncmqd.backends.sqlite.clock import micros
from asyncmqd.backends.sqlite.dependencies import Edges
from asyncmqd.backends.sqlite.history import note_passed
from asyncmqd.backends.sqlite.sql_statements import array, as_json, plain
from asyncmqd.backends.sqlite.transaction import Transaction, gate
from asyncmqd.backends.sqlite.unique_names import Names
from asyncmqd.domain.attempts import joined
from asyncmqd.domain.history import DELETED
from asyncmqd.domain.job import NewJob
from asyncmqd.domain.overlap import ghost_name
from asyncmqd.domain.states import KEYED, State
from asyncmqd.domain.unique import gets_successor, is_replaceable, pushed_to

_SQL = sql_statements.load("moves.sql")

EXPIRY = "#expiry"  # ended jobs that are kept for a time, by the end of that time
COUNTED = "#counted"  # ended jobs that are kept by number, by the time they ended
NOTHING: Mapping[str, Sequence[str]] = {}
PART_BYTES = 4 << 20  # of payloads, results and errors that one transaction deletes, or a job more
_FOR_EVER = 2**62  # a rank that none exceeds

# Plain text: the enumeration's members would pass through the adapters of sqlite3, row by row.
WAITING, DELAYED, ACTIVE = map(str, (State.WAITING, State.DELAYED, State.ACTIVE))
BLOCKED = str(State.BLOCKED)


class Row(msgspec.Struct):
    """What moves of a job, and the new values that wait to be written (None: as it was)."""

    number: int
    id: str
    place: str
    rank: int
    seq: int
    stood: int
    kept_in: str | None
    kept_until: int | None
    priority: int
    token: int
    payload_size: int  # of one that stands in this row
    large_size: int  # of one in `large_payloads`
    result_size: int  # as it was; so is the next
    error_size: int
    attempts_size: int
    key: str
    lane: int | None  # in which it waits
    created: int | None = None
    failures: int | None = None
    crashes: int | None = None
    solo: bool | None = None
    error: bytes | None = None
    result: bytes | None = None
    progress: bytes | None = None
    attempts: bytes | None = None

    @property
    def size(self) -> int:
        result = self.result_size if self.result is None else len(self.result)
        error = self.error_size if self.error is None else len(self.error)
        attempts = self.attempts_size if self.attempts is None else len(self.attempts)
        return self.payload_size + self.large_size + result + error + attempts

    @property
    def keeps_its_values(self) -> bool:
        """Whether nothing waits to be written but where it stands."""
        plain = self.created is None and self.attempts is None
        return plain and values_of(self) == NO_VALUES


class Kept(msgspec.Struct, frozen=True):
    """What is needed of an ended job to delete it: a full row costs as much as its deletion."""

    number: int
    place: str
    kept_in: str
    large_size: int
    size: int


class Jobs:
    """The jobs of one queue in one transaction: `applying.Lines` in SQLite."""

    def __init__(self, tx: Transaction, queue: str) -> None:
        self._tx = tx
        self._queue = queue
        self.moved: dict[str, Row] = {}  # by id, those that wait to be written
        self._loaded: dict[str, Row] = {}
        self._names: Names | None = None
        self._edges: Edges | None = None

    # ------------------------------------------------------------------ rows

    def load(self, ids: Iterable[str]) -> dict[str, Row]:
        """Those of these jobs that exist, by id."""
        rows = self._tx.execute(_SQL["rows"], (array(ids), self._queue))
        found = {row[1]: Row(*row) for row in rows}
        self._loaded.update(found)
        return found

    @property
    def names(self) -> Names:
        """The unique names of the queue."""
        if self._names is None:
            self._names = Names(self._tx, self._queue)
        return self._names

    @property
    def edges(self) -> Edges:
        """Which of its jobs wait for which others."""
        if self._edges is None:
            self._edges = Edges(self._tx, self._queue)
        return self._edges

    def first(self, place: str, limit: int, until: int = _FOR_EVER) -> list[Row]:
        """The first jobs of a place whose rank is not above `until`."""
        rows = self._tx.execute(_SQL["rows_in"], (self._queue, place, until, limit))
        return [Row(*row) for row in rows]

    def first_kept(self, line: str, limit: int, begin: int = 0, end: int = _FOR_EVER) -> list[Kept]:
        """The ended jobs that would be deleted first, with a rank from `begin` to `end`."""
        rows = self._tx.execute(_SQL["rows_kept"], (self._queue, line, begin, end, limit))
        return [Kept(*row) for row in rows.fetchall()]

    def add(self, jobs: Sequence[NewJob], after: Mapping[str, Sequence[str]] = NOTHING) -> None:
        """File new jobs. A large payload stands apart, where no move of its job copies it.

        Those that are in `after` are blocked until all that it names have ended.
        """
        first = self._tx.next(len(jobs))
        rows = [self._new(job, seq, job.id in after) for seq, job in enumerate(jobs, first)]
        for place, count in Counter(map(_place_of, rows)).items():
            self._tx.count(self._queue, str(place), count)
        new_rows.write(self._tx, self._queue, jobs, rows)
        for id, parents in after.items():
            self.edges.add(id, parents)

    def add_plain(self, job: NewJob) -> bool:
        """File a job that has neither a unique name nor a key; False if the queue has its id."""
        row = self._new(job, self._tx.next(), blocked=False)
        if not new_rows.write_unless_known(self._tx, self._queue, job, row):
            return False
        self._tx.count(self._queue, _place_of(row), 1)
        return True

    def _new(self, job: NewJob, seq: int, blocked: bool) -> tuple[object, ...]:
        place, rank, lane = WAITING, job.priority, -1
        if blocked or job.delay > 0:
            rank = self._tx.time + micros(max(job.delay, 0))
            place = BLOCKED if blocked else DELAYED
        elif job.key:
            place = KEYED
            lane = self._tx.lanes_of(self._queue).enter(job.key, job.priority)
        payload, large = new_rows.parts(job.payload)
        file = self._queue, job.id, place, rank, seq, seq, job.priority, self._tx.time
        asked = job.unique or -1, int(job.until_claimed), job.key or -1
        return *file, *asked, lane, bytearray(payload), large

    def replace(self, row: Row, job: NewJob) -> bool:
        """Put payload and options of a new job in the place of one that was never claimed."""
        created, started = self._tx.execute(_SQL["dates"], (row.number,)).fetchone()
        if not is_replaceable(row.place, started):
            return False
        if row.place == KEYED:
            lanes = self._tx.lanes_of(self._queue)
            lanes.leave(row.key, row.priority)
            row.lane = lanes.enter(row.key, job.priority)
        row.priority = job.priority
        if row.place in {WAITING, KEYED}:
            row.rank = job.priority
        elif row.place == DELAYED and job.on_conflict == "push":
            delay, most = micros(job.delay), micros(job.push_for)
            self._push(row, pushed_to(self._tx.time, delay, created, most))
        payload, large = new_rows.parts(job.payload)
        stands = row.place, row.rank, row.seq, row.stood, row.lane
        values = *stands, row.priority, job.cost, payload, large, row.number
        self._tx.execute(_SQL["replace"], values)
        if row.large_size:
            self._tx.execute(_SQL["delete_large"], (as_json([row.number]),))
        if large:
            self._tx.execute(_SQL["insert_large"], (job.payload, self._queue, row.id))
        return True

    def gets_successor(self, row: Row, job: NewJob) -> bool:
        """See `domain.unique`."""
        _, started = self._tx.execute(_SQL["dates"], (row.number,)).fetchone()
        return gets_successor(row.place, started, job.on_conflict)

    def _push(self, row: Row, due: float | None) -> None:
        if due is None:
            self.move_to_tail(row)
        else:
            self.move(row, DELAYED, int(due), self._tx.next())

    def save_moved(self) -> None:
        """Write what waits for it."""
        if self.moved:
            self.save(self.moved.values())
            self.moved.clear()

    def save(self, rows: Iterable[Row]) -> None:
        """Write rows; those that ended alike, which are most, by one statement for all."""
        alike: defaultdict[tuple[str | int | None, ...], dict[int, int]] = defaultdict(dict)
        others = []
        for row in rows:
            if row.kept_in is not None and row.keeps_its_values:
                end = row.place, row.rank, row.kept_in, row.kept_until, row.token
                alike[end][row.number] = row.seq
            else:
                others.append([*map(plain, _values(row))])
        for values, seqs in alike.items():
            self._tx.execute(_SQL["save_ended"], (*values, as_json(seqs)))
        if others:
            self._tx.executemany(_SQL["save"], others)

    def delete(self, rows: Sequence[Row]) -> int:
        """Delete jobs in any state; whoever waits for one that had not ended is told.

        Their unique names are free, however long they were to be taken.
        """
        self.names.forget([row.number for row in rows], _FOR_EVER)
        self._tx.ended[self._queue] += [row.id for row in rows if row.kept_in is None]
        for row in rows:
            if row.place == ACTIVE:
                self.leave_ghost(row)
            self._leave(row)
        number = self._delete(rows)
        if self.edges.any:
            self.edges.forget(row.id for row in rows)
            for row in rows:
                self._pay(row.id)
            self.save_moved()
        return number

    def delete_kept(self, rows: Sequence[Kept]) -> int:
        """Delete ended jobs that need not be kept any longer."""
        self.names.forget([row.number for row in rows], self._tx.time)
        lines = {(row.place, row.kept_in) for row in rows}
        for place, line in lines:
            sizes = [row.size for row in rows if row.place == place and row.kept_in == line]
            self._tx.count(self._queue, place, -len(sizes))
            self._tx.count(self._queue, line, -len(sizes), -sum(sizes))
        return self._delete(rows)

    def _delete(self, rows: Sequence[Row | Kept]) -> int:
        if rows:
            self._tx.execute(_SQL["delete"], (as_json([row.number for row in rows]),))
            passed = Counter(row.place for row in rows)
            note_passed(self._tx, self._queue, {**passed, DELETED: len(rows)})
        large = [row.number for row in rows if row.large_size]
        if large:
            self._tx.execute(_SQL["delete_large"], (as_json(large),))
        return len(rows)

    # ------------------------------------------------------------------ moves

    def move(self, row: Row, place: str, rank: int, seq: int) -> None:
        """Take the row from its line and put it into the line of `place`."""
        self._leave(row)
        if row.key and place == WAITING:
            place = KEYED
            row.lane = self._tx.lanes_of(self._queue).enter(row.key, row.priority)
        row.place, row.rank, row.seq = place, rank, seq
        if place.startswith(WAITING):  # or parked
            row.stood = seq
        self._tx.count(self._queue, place, 1)

    def note_attempt(self, row: Row, told: bytes) -> None:
        kept, started = self._tx.execute(_SQL["attempts"], (row.number,)).fetchone()
        kept = kept if row.attempts is None else row.attempts
        row.attempts = joined(kept, started or 0, self._tx.time, told)

    def settle_edges(self, row: Row) -> None:
        if self.edges.any:
            self.moved[row.id] = row
            self.edges.forget([row.id])
            self._pay(row.id)

    def _pay(self, parent: str) -> None:
        """It has ended, or is deleted: what waited for it alone comes back."""
        free = self.edges.pay(parent)
        unknown = [id for id in free if id not in self._loaded]
        if unknown:
            self.load(unknown)
        for id in free:
            self._unblock(self._loaded[id])

    def _unblock(self, row: Row) -> None:
        row.created = self._tx.time
        name = self.names.of(row.number)
        if name is not None:
            self.save_moved()  # what it waited for has ended by a change before this one
            self.names.inherit(name, row.id)
        if row.rank > self._tx.time:
            self.move(row, DELAYED, row.rank, self._tx.next())
        else:
            self.move_to_tail(row)
        self.moved[row.id] = row
        self._tx.woken.add(self._queue)

    def has_lapsed(self, row: Row) -> bool:
        return row.rank <= self._tx.since_boot

    def is_name_taken(self, row: Row) -> bool:
        name = self.names.of(row.number)
        if name is None:
            return False
        self.save_moved()  # the holder may have ended, or been claimed, by a change before this one
        return self.names.holders([name]).get(name) not in {None, row.id}

    def retake_name(self, row: Row) -> None:
        name = self.names.of(row.number)
        if name is not None and not self.is_name_taken(row):
            self.names.take(name, row.id)

    def leave_ghost(self, row: Row) -> None:
        _, limits, _ = gate(self._tx, self._queue)
        if limits is not None:
            ghost = self._queue, row.id, row.token, row.rank, row.key
            self._tx.execute(_SQL["leave_ghost"], ghost)
            if row.key:
                self._tx.lanes_of(self._queue).note_ghost(row.key, row.rank)

    def end_ghost(self, id: str, token: int) -> None:
        self.end_awaited([ghost_name(id, token)])
        found = self._tx.execute(_SQL["ghost_key"], (self._queue, id, token)).fetchone()
        if found is None:
            return
        self._tx.execute(_SQL["end_ghost"], (self._queue, id, token))
        if found[0]:
            self._tx.lanes_of(self._queue).ended.add(found[0])

    def end_awaited(self, ghosts: Iterable[str]) -> int:
        """The code of these has ended: what waited for it alone comes back; how many there were."""
        ended = self.edges.end_ghosts(ghosts)
        for ghost in ended:
            self._pay(ghost)
        return len(ended)

    def revive(self, row: Row) -> None:
        note_passed(self._tx, self._queue, {row.place: 1})
        row.created = self._tx.time
        self.retake_name(row)

    def move_to_tail(self, row: Row) -> None:
        self.move(row, WAITING, row.priority, self._tx.next())

    def move_back(self, row: Row, place: str) -> None:
        self.move(row, place, row.priority, row.stood)

    def move_in_time(self, row: Row, place: str, delay: float) -> None:
        self.move(row, place, self._tx.time + micros(delay), self._tx.next())

    def keep(self, row: Row, keep: float | None) -> None:
        if keep is None:
            row.kept_in, row.kept_until = COUNTED, row.rank
        else:
            row.kept_in, row.kept_until = EXPIRY, self._tx.time + micros(keep)
        self._tx.count(self._queue, row.kept_in, 1, row.size)

    def _leave(self, row: Row) -> None:
        self._tx.count(self._queue, row.place, -1)
        if row.place == KEYED:
            self._tx.lanes_of(self._queue).leave(row.key, row.priority)
            row.lane = None
        elif row.key and row.place == ACTIVE:
            self._tx.lanes_of(self._queue).ended.add(row.key)
        if row.kept_in is not None:
            self._tx.count(self._queue, row.kept_in, -1, -row.size)
            row.kept_in = row.kept_until = None


_Sized = TypeVar("_Sized", Row, Kept)


def within(rows: Sequence[_Sized]) -> Sequence[_Sized]:
    """The first of them, which one transaction may delete: all of a large one is read for it."""
    before = accumulate((row.size for row in rows), initial=0)
    return [row for row, size in zip(rows, before, strict=False) if size < PART_BYTES]


_place_of = itemgetter(2)  # of what `_new` returns

_stands = "place", "rank", "seq", "stood", "kept_in", "kept_until", "token", "lane"
_values = attrgetter(*_stands, "place", "created", *VALUES, "attempts", "number")
