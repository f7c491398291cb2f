"""The verbs that move jobs, inside a transaction.

Decisions are made on rows in memory, as in the store in memory, and each row is written once:
reading all rows of a batch by one statement and writing them by another costs a third of two
statements a job. It also lets go of Python's lock once, not at each row, so that the event loop
works on meanwhile.
"""

from __future__ import annotations

import functools
import operator
from collections import defaultdict
from collections.abc import Collection, Iterable, Sequence
from typing import Any

import msgspec

from asyncmqd.backends.base import Held
from asyncmqd.backends.sqlite import queries
from asyncmqd.backends.sqlite.clock import micros, seconds
from asyncmqd.backends.sqlite.transaction import Snapshot, Transaction, is_paused
from asyncmqd.domain.change import Answer, Change
from asyncmqd.domain.job import Claim, NewJob
from asyncmqd.domain.settle import Retention
from asyncmqd.domain.states import EDGES, TERMINAL, Edge, Rank, State, shelf, state_of

_SQL = queries.load("moves.sql")
_EXPIRY = "#expiry"  # ended jobs that are kept for a time, by the end of that time
_COUNTED = "#counted"  # ended jobs that are kept by number, by the time they ended
_FOR_EVER = 2**62  # a rank that none exceeds

# Plain text: the enumeration's members would pass through the adapters of sqlite3, row by row.
_WAITING, _DELAYED, _ACTIVE = map(str, (State.WAITING, State.DELAYED, State.ACTIVE))

_ENDED = frozenset(map(str, TERMINAL))
_TAIL, _KEPT = Rank.TAIL, Rank.KEPT  # an enumeration's members are slow to get

_state_of = functools.lru_cache(maxsize=1_000)(state_of)


_VALUES = ("failures", "crashes", "solo", "error", "result", "progress")
_NOTHING = (None,) * len(_VALUES)
_values_of = operator.attrgetter(*_VALUES)


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
    payload_size: int
    result_size: int
    error_size: int
    created: int | None = None
    failures: int | None = None
    crashes: int | None = None
    solo: bool | None = None
    error: bytes | None = None
    result: bytes | None = None
    progress: bytes | None = None

    @property
    def size(self) -> int:
        return self.payload_size + self.result_size + self.error_size

    @property
    def keeps_its_values(self) -> bool:
        """Whether nothing waits to be written but where it stands."""
        return self.created is None and _values_of(self) == _NOTHING

    def set(self, change: Change) -> None:
        """Take over the values of a change."""
        values = _values_of(change)
        if values == _NOTHING:
            return
        for field, value in zip(_VALUES, values, strict=True):
            if value is not None:
                setattr(self, field, value)
        if change.result is not None:
            self.result_size = len(change.result)
        if change.error is not None:
            self.error_size = len(change.error)


class Jobs:
    """The jobs of one queue in one transaction."""

    def __init__(self, tx: Transaction, queue: str) -> None:
        self._tx = tx
        self._queue = queue

    # ------------------------------------------------------------------ rows

    def load(self, ids: Iterable[str]) -> dict[str, Row]:
        """Those of these jobs that exist, by id."""
        rows = self._tx.execute(_SQL["rows"], (_array(ids), self._queue))
        return {row[1]: Row(*row) for row in rows}

    def first(self, place: str, limit: int, until: int = _FOR_EVER) -> list[Row]:
        """The first jobs of a place whose rank is not above `until`."""
        rows = self._tx.execute(_SQL["rows_in"], (self._queue, place, until, limit))
        return [Row(*row) for row in rows]

    def first_kept(self, line: str, limit: int, begin: int = 0, end: int = _FOR_EVER) -> list[Row]:
        """The ended jobs that would be deleted first, with a rank from `begin` to `end`."""
        rows = self._tx.execute(_SQL["rows_kept"], (self._queue, line, begin, end, limit))
        return [Row(*row) for row in rows]

    def save(self, rows: Iterable[Row]) -> None:
        """Write rows; those that ended alike, which are most, by one statement for all."""
        alike: defaultdict[tuple[str | int | None, ...], dict[int, int]] = defaultdict(dict)
        others = []
        for row in rows:
            if row.kept_in is not None and row.keeps_its_values:
                end = row.place, row.rank, row.kept_in, row.kept_until, row.token
                alike[end][row.number] = row.seq
            else:
                others.append(_values(row))
        for values, seqs in alike.items():
            self._tx.execute(_SQL["save_ended"], (*values, _json(seqs)))
        if others:
            self._tx.executemany(_SQL["save"], others)

    def delete(self, rows: Sequence[Row]) -> int:
        for row in rows:
            self._leave(row)
        if rows:
            self._tx.execute(_SQL["delete"], (_json([row.number for row in rows]),))
        return len(rows)

    # ------------------------------------------------------------------ moves

    def move(self, row: Row, place: str, rank: int, seq: int) -> None:
        """Take the row from its line and put it into the line of `place`."""
        self._leave(row)
        row.place, row.rank, row.seq = place, rank, seq
        if place.startswith(_WAITING):  # or a shelf of it
            row.stood = seq
        self._tx.count(self._queue, place, 1)

    def move_to_tail(self, row: Row) -> None:
        self.move(row, _WAITING, row.priority, self._tx.next())

    def move_back(self, row: Row, place: str) -> None:
        """To where it stood when it was last claimed."""
        self.move(row, place, row.priority, row.stood)

    def keep(self, row: Row, keep: float | None) -> None:
        """Note how many seconds an ended row is kept; None means by number."""
        if keep is None:
            row.kept_in, row.kept_until = _COUNTED, row.rank
        else:
            row.kept_in, row.kept_until = _EXPIRY, self._tx.time + micros(keep)
        self._tx.count(self._queue, row.kept_in, 1, row.size)

    def _leave(self, row: Row) -> None:
        self._tx.count(self._queue, row.place, -1)
        if row.kept_in is not None:
            self._tx.count(self._queue, row.kept_in, -1, -row.size)
            row.kept_in = row.kept_until = None


def _array(ids: Iterable[str]) -> str:
    return _json(list(dict.fromkeys(ids)))


def _json(value: Any) -> str:
    return msgspec.json.encode(value).decode()


def _values(row: Row) -> tuple[object, ...]:
    return (
        row.place,
        row.rank,
        row.seq,
        row.stood,
        row.kept_in,
        row.kept_until,
        row.token,
        row.created,
        row.failures,
        row.crashes,
        row.solo,
        row.error,
        row.result,
        row.progress,
        row.number,
    )


# ---------------------------------------------------------------------- the way of a job


def add(tx: Transaction, queue: str, jobs: Sequence[NewJob]) -> list[bool]:
    """See `BaseBackend.add`."""
    known = {id for (id,) in tx.execute(_SQL["known"], (_array(job.id for job in jobs), queue))}
    added: list[bool] = []
    new = []
    for job in jobs:
        added.append(job.id not in known)
        if added[-1]:
            known.add(job.id)
            new.append(_new_row(tx, queue, job))
    if new:
        tx.executemany(_SQL["insert"], new)
        tx.woken.add(queue)
    return added


def _new_row(tx: Transaction, queue: str, job: NewJob) -> tuple[object, ...]:
    place, rank = _WAITING, job.priority
    if job.delay > 0:
        place, rank = _DELAYED, tx.time + micros(job.delay)
    seq = tx.next()
    tx.count(queue, place, 1)
    return (queue, job.id, place, rank, seq, seq, job.priority, tx.time, job.payload)


def apply(tx: Transaction, queue: str, changes: Sequence[Change]) -> list[Answer]:
    """See `BaseBackend.apply`."""
    if not changes:
        return []
    jobs = Jobs(tx, queue)
    rows = jobs.load(change.id for change in changes)
    moved: dict[str, Row] = {}
    answers: list[Answer] = []
    for change in changes:
        row, path = rows.get(change.id), change.path
        answer = _judge(tx, row, change, path)
        answers.append(answer)
        if row is not None and answer == "applied":
            moved[row.id] = row
            _place(jobs, tx, row, change, path)
            if path.place == _WAITING:
                tx.woken.add(queue)
    if moved:
        jobs.save(moved.values())
    return answers


def _judge(tx: Transaction, row: Row | None, change: Change, path: Edge) -> Answer:
    if row is None:
        return "gone"
    if row.token != change.token:
        return "stale"
    if _state_of(row.place) not in path.sources:
        return "already"
    if change.lapsed and row.rank > tx.since_boot:
        return "stale"
    return "applied"


def _place(jobs: Jobs, tx: Transaction, row: Row, change: Change, path: Edge) -> None:
    row.token += change.outside
    target = change.place or path.place
    if path.revives:
        row.created = tx.time
    if target != row.place:
        if path.rank is _TAIL:
            jobs.move_to_tail(row)
        elif path.rank is _KEPT:
            jobs.move_back(row, target)
        else:
            jobs.move(row, target, tx.time + micros(change.delay), tx.next())
    row.set(change)
    if path.place in _ENDED:
        jobs.keep(row, change.keep)


def claim(
    tx: Transaction, queue: str, limit: int, lease: float, worker: str, most: int
) -> list[Claim]:
    """See `BaseBackend.claim`."""
    if limit <= 0 or is_paused(tx, queue):
        return []
    place, end = str(EDGES["claim"].target), tx.since_boot + micros(lease)
    taken, numbers = [], []
    for row in tx.execute(_SQL["next"], (queue, _WAITING, limit, most)).fetchall():
        number, id, token, *rest = row
        taken.append(claim_of(tx, queue, (id, token + 1, *rest, worker)))
        numbers.append(number)
    if taken:
        first = tx.next(len(taken))
        tx.execute(_SQL["claim"], (place, end, first, tx.time, worker, _json(numbers)))
        tx.count(queue, _WAITING, -len(taken))
        tx.count(queue, place, len(taken))
    return taken


def claim_of(tx: Snapshot, queue: str, row: Sequence[Any]) -> Claim:
    """A claim, from its columns in the order of `lapsed` in reading.sql."""
    id, token, payload, failures, crashes, solo, created, worker = row
    return Claim(
        queue=queue,
        id=id,
        token=token,
        payload=payload,
        failures=failures,
        crashes=crashes,
        solo=bool(solo),
        age=seconds(tx.time - created),
        worker=worker,
    )


def extend(tx: Transaction, held: Sequence[Held], lease: float) -> list[bool]:
    """See `BaseBackend.extend`."""
    end = tx.since_boot + micros(lease)
    rows = {
        queue: Jobs(tx, queue).load(each.id for each in held if each.queue == queue)
        for queue in {each.queue for each in held}
    }
    answers, numbers = [], []
    for each in held:
        row = rows[each.queue].get(each.id)
        holds = row is not None and row.token == each.token and row.place == _ACTIVE
        answers.append(holds)
        if row is not None and holds:
            numbers.append(row.number)
    if numbers:
        tx.execute(_SQL["extend"], (end, tx.next(len(numbers)), _json(numbers)))
    return answers


# ---------------------------------------------------------------------- upkeep


def move_due(tx: Transaction, queue: str, page: int) -> int:
    """See `BaseBackend.move_due`."""
    jobs = Jobs(tx, queue)
    rows = jobs.first(_DELAYED, page, tx.time)
    for row in rows:
        jobs.move_to_tail(row)
    return _bring_back(tx, jobs, queue, rows)


def unshelve(tx: Transaction, queue: str, tasks: Collection[str], page: int) -> int:
    """See `BaseBackend.unshelve`."""
    jobs = Jobs(tx, queue)
    rows: list[Row] = []
    for place in sorted({shelf(task) for task in tasks}):
        rows += jobs.first(place, page - len(rows))
    for row in rows:
        jobs.move_back(row, _WAITING)
    return _bring_back(tx, jobs, queue, rows)


def _bring_back(tx: Transaction, jobs: Jobs, queue: str, rows: list[Row]) -> int:
    if rows:
        jobs.save(rows)
        tx.woken.add(queue)
    return len(rows)


def prune(tx: Transaction, queue: str, retention: Retention, page: int) -> int:
    """See `BaseBackend.prune`."""
    jobs = Jobs(tx, queue)
    doomed = jobs.first_kept(_EXPIRY, page, end=tx.time)
    lines = tx.tallies(queue)
    counted = lines.get(_COUNTED, (0, 0))[0]
    size = sum(bytes for _, bytes in lines.values()) - sum(row.size for row in doomed)
    if counted > retention.keep_completed or size > retention.keep_bytes:
        for row in jobs.first_kept(_COUNTED, page - len(doomed)):
            if counted <= retention.keep_completed and size <= retention.keep_bytes:
                break
            doomed.append(row)
            counted -= 1
            size -= row.size
    if size > retention.keep_bytes:
        for row in jobs.first_kept(_EXPIRY, page - len(doomed), begin=tx.time + 1):
            if size <= retention.keep_bytes:
                break
            doomed.append(row)
            size -= row.size
    return jobs.delete(doomed)


# ---------------------------------------------------------------------- administration


def pause(tx: Transaction, queue: str, paused: bool) -> None:
    """See `BaseBackend.pause`."""
    tx.execute(_SQL["pause" if paused else "resume"], (queue,))
    if not paused:
        tx.woken.add(queue)


def remove(tx: Transaction, queue: str, ids: Sequence[str]) -> list[bool]:
    """See `BaseBackend.remove`."""
    jobs = Jobs(tx, queue)
    rows = jobs.load(ids)
    jobs.delete(list(rows.values()))
    return [rows.pop(id, None) is not None for id in ids]


def purge(tx: Transaction, queue: str, state: State, page: int) -> int:
    """See `BaseBackend.purge`."""
    jobs = Jobs(tx, queue)
    rows: list[Row] = []
    for place in places(tx.tallies(queue), state):
        rows += jobs.first(place, page - len(rows))
    return jobs.delete(rows)


def places(lines: Iterable[str], state: State) -> list[str]:
    """The lines that are places of `state`, shelves last."""
    found = [str(state)]
    if state is State.WAITING:
        found += sorted(line for line in lines if line.startswith(shelf("")))
    return found
