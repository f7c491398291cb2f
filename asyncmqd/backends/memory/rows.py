"""The rows of jobs in memory, and the ordered lines that they stand in."""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from collections.abc import Collection, Iterable, Iterator
from typing import NamedTuple

import msgspec

from asyncmqd.backends.applying import apply
from asyncmqd.backends.base import OperationRecord, ScheduleRecord
from asyncmqd.backends.memory.dependencies import Edges
from asyncmqd.backends.memory.lanes import Lanes
from asyncmqd.backends.memory.ordered_ids import Key, Line
from asyncmqd.domain.attempts import joined
from asyncmqd.domain.history import DELETED, Period, Totals
from asyncmqd.domain.job import Added, NewJob
from asyncmqd.domain.overlap import ghost_name
from asyncmqd.domain.pause import Pause
from asyncmqd.domain.rate import FULL, Filling
from asyncmqd.domain.selection import HEAD, Mark, Sought
from asyncmqd.domain.settle import supersede
from asyncmqd.domain.shared_limits import DeclaredLimits
from asyncmqd.domain.states import KEYED, State, parked_place, state_of
from asyncmqd.domain.unique import due_unblocked, gets_successor, is_replaceable, pushed_to

EXPIRY = "#expiry"  # ended jobs that are kept for a time, by the end of that time
COUNTED = "#counted"  # ended jobs that are kept by number, by the time they ended


class Row(msgspec.Struct, kw_only=True):
    """One job. `order` is where it stands, or last stood, among the waiting jobs."""

    id: str
    payload: bytes
    priority: int
    created: float
    place: str = ""
    rank: float = 0.0
    order: Key = (0, 0)
    token: int = 0
    failures: int = 0
    crashes: int = 0
    solo: bool = False
    started: float | None = None
    worker: str = ""
    error: bytes = b""
    result: bytes = b""
    progress: bytes = b""
    attempts: bytes = b""
    unique: str = ""
    until_claimed: bool = False
    key: str = ""
    cost: int = 1

    @property
    def size(self) -> int:
        return len(self.payload) + len(self.result) + len(self.error) + len(self.attempts)


def has(row: Row, sought: Sought) -> bool:
    """Whether a job has what is sought."""
    return (
        sought.head in row.payload[:HEAD]
        and sought.key in {"", row.key}
        and sought.error in row.error
        and (sought.created_until is None or row.created <= sought.created_until)
    )


class Name(NamedTuple):
    """Which job took a unique name last, and until when it is taken in any case."""

    id: str
    until: float


class Past:
    """What is kept of a queue's past, see domain/history.py."""

    def __init__(self) -> None:
        self.minutes: list[Period] = []
        self.half_hours: list[Period] = []
        self.totals: Totals | None = None  # as they were noted last
        self.passed: Counter[str] = Counter()  # jobs that have left an ended place, or are deleted


class Queue:
    """One queue: its rows, and the ordered line of each place."""

    def __init__(self) -> None:
        self.rows: dict[str, Row] = {}
        self.names: dict[str, Name] = {}
        self.edges = Edges()
        self.lines: defaultdict[str, Line] = defaultdict(Line)
        self.lanes = Lanes()  # of the waiting jobs that have a key
        self.schedules: dict[str, ScheduleRecord] = {}
        self.pause: Pause | None = None
        self.operations: dict[str, OperationRecord] = {}
        self.limits: DeclaredLimits | None = None
        self.filling = FULL  # of the bucket of the rate over all daemons
        self.ghosts: dict[tuple[str, int], float] = {}  # id and token, to the end of the lease
        self.ghost_keys: dict[tuple[str, int], str] = {}  # the keys of these
        self.past = Past()
        self.fillings: dict[str, Filling] = {}  # of the buckets of keys
        self.touched: set[str] = set()  # keys of which a job or a ghost gave its permit back
        self.bytes = 0  # of all ended jobs
        self._count = 0

    def next(self) -> int:
        self._count += 1
        return self._count

    def move(self, row: Row, place: str, key: Key) -> None:
        """Take the row from its line and put it into the line of `place`."""
        self._leave(row)
        if row.key and place == State.WAITING:
            place = KEYED
        row.place, row.rank = place, key[0]
        if state_of(place) is State.WAITING:
            row.order = key
        self.lines[place].put(row.id, key)
        if place == KEYED:
            self.lanes.put(row.key, row.id, key)

    def forget_idle_lanes(self) -> None:
        """At the end of a verb in which jobs may have left their lanes."""
        self.lanes.forget_idle(self.lines[State.WAITING])

    def state(self, id: str) -> State | None:
        """Of the job of that id, if there is one."""
        row = self.rows.get(id)
        return None if row is None else state_of(row.place)

    def state_of_parent(self, name: str) -> State | None:
        """The same of what a blocked job may wait for, which may be a ghost."""
        return State.ACTIVE if name in self.edges.awaited else self.state(name)

    def is_live(self, id: str) -> bool:
        """Whether the queue has a job of that id which has not ended."""
        state = self.state(id)
        return state is not None and not state.terminal

    def holder(self, name: str, now: float) -> str:
        """The id of the job that holds this unique name, or nothing."""
        known = self.names.get(name)
        if known is None:
            return ""
        row = self.rows.get(known.id)
        holds = row is not None and (row.place != State.ACTIVE or not row.until_claimed)
        return known.id if known.until > now or (holds and self.is_live(known.id)) else ""

    def leave_ghost(self, row: Row) -> None:
        """See `applying.Lines`."""
        if self.limits is not None and row.place == State.ACTIVE:
            self.ghosts[row.id, row.token] = row.rank
            self.ghost_keys[row.id, row.token] = row.key
            if row.key in self.lanes.closed:
                opens = min(self.lanes.closed[row.key], row.rank * 1e6)
                self.lanes.closed[row.key] = opens

    @property
    def waiting(self) -> int:
        """How many wait, those of keys that are held back among them."""
        return len(self.lines[State.WAITING]) + len(self.lines[KEYED])

    def holding(self, now: float) -> int:
        """How many hold a permit, where there are limits."""
        if self.limits is None:
            return 0
        for each in [each for each, end in self.ghosts.items() if end <= now]:
            self.forget_ghost(each)
        return len(self.lines[State.ACTIVE]) + len(self.ghosts)

    def forget_ghost(self, ghost: tuple[str, int]) -> None:
        """It holds no permit any more, if it did."""
        if self.ghosts.pop(ghost, None) is not None:
            self.touched.add(self.ghost_keys.pop(ghost))

    def take_name(self, row: Row, until: float = 0.0) -> None:
        """Nobody else holds it."""
        known = self.names.get(row.unique)
        if known is not None and known.id == row.id:
            until = max(until, known.until)
        self.names[row.unique] = Name(row.id, until)

    def inherit_name(self, row: Row) -> None:
        """What it waited for has ended: its name is its own, if no live job has it."""
        known = self.names.get(row.unique)
        if row.unique and not self.holder(row.unique, math.inf):
            self.names[row.unique] = Name(row.id, 0.0 if known is None else known.until)

    def delete(self, row: Row, now: float = math.inf) -> None:
        """Delete a job. Its unique name stays taken if it is for longer than `now`."""
        self.leave_ghost(row)
        self.past.passed.update((DELETED, row.place))
        self._leave(row)
        self.edges.forget(row.id)
        del self.rows[row.id]
        known = self.names.get(row.unique)
        if known is not None and known.id == row.id and known.until <= now:
            del self.names[row.unique]

    def _leave(self, row: Row) -> None:
        if not row.place:
            return
        self.lines[row.place].drop(row.id)
        if row.place == KEYED:
            self.lanes.drop(row.key, row.id, round(row.order[0]))
        elif row.place == State.ACTIVE:
            self.touched.add(row.key)
        if state_of(row.place).terminal:
            self.bytes -= row.size
            self.lines[EXPIRY].drop(row.id)
            self.lines[COUNTED].drop(row.id)

    def parked_places(self) -> Iterator[str]:
        prefix = parked_place("")
        return (place for place, line in self.lines.items() if line and place.startswith(prefix))

    def places(self, state: State) -> list[str]:
        """Those of a state in order, that of jobs with keys behind others, parked ones last."""
        if state is State.WAITING:
            return [state, KEYED, *sorted(self.parked_places())]
        return [state]

    def ids_in(self, state: State) -> list[str]:
        """All ids of a state in order."""
        return [id for place in self.places(state) for id in self.lines[place].ids()]

    def marks(
        self, state: State, after: Mark | None, *, newest_first: bool
    ) -> list[tuple[str, Mark]]:
        """The ids of a state behind a mark, each with its own. The names of places are in order."""
        found = sorted(
            ((place, *key), id)
            for place in self.places(state)
            for id, key in self.lines[place].items()
        )
        if newest_first:
            found.reverse()
        if after is not None:
            past = after.place, after.rank, float(after.tie)
            found = [each for each in found if (each[0] < past if newest_first else each[0] > past)]
        return [(id, Mark(place, rank, str(seq))) for (place, rank, seq), id in found]


class Jobs:
    """The jobs of a queue at one moment: `applying.Lines` in memory."""

    def __init__(self, queue: Queue, now: float) -> None:
        self._queue = queue
        self._now = now

    def add(self, job: NewJob, after: Collection[str] = ()) -> Added:
        """File a new job, unless its id is there already, or its name is held.

        It is blocked until all of `after` have ended.
        """
        if job.id in self._queue.rows:
            return Added(job.id, "existed")
        if job.unique and (holder := self._queue.holder(job.unique, self._now)):
            return self._met(holder, job)
        self._file(job, after)
        return Added(job.id, "new")

    def _file(self, job: NewJob, after: Collection[str]) -> None:
        row = Row(
            id=job.id,
            payload=job.payload,
            priority=job.priority,
            created=self._now,
            unique=job.unique,
            until_claimed=job.until_claimed,
            key=job.key,
            cost=job.cost,
        )
        self._queue.rows[job.id] = row
        if job.unique and not after:
            self._queue.take_name(row, self._now + job.unique_for if job.unique_for else 0.0)
        if after:
            self.move_in_time(row, State.BLOCKED, job.delay)
            self._queue.edges.add(row.id, after)
        elif job.delay > 0:
            self.move_in_time(row, State.DELAYED, job.delay)
        else:
            self.move_to_tail(row)

    def _met(self, holder: str, job: NewJob) -> Added:
        """A new job whose name is held."""
        row = self._queue.rows.get(holder)
        if job.on_conflict == "existing" or row is None:
            return Added(holder, "existed")
        if gets_successor(row.place, row.started, job.on_conflict):
            return self._succeed(row, job)
        if not is_replaceable(row.place, row.started):
            return Added(holder, "existed")
        self._replace(row, job)
        return Added(holder, "replaced")

    def _succeed(self, holder: Row, job: NewJob) -> Added:
        """A job that runs has one successor at most, which holds no name yet."""
        for id in self._queue.edges.children(holder.id):
            if self._queue.rows[id].unique == job.unique:
                self._replace(self._queue.rows[id], job)
                return Added(id, "replaced")
        self._file(job, [holder.id])
        return Added(job.id, "new")

    def _replace(self, row: Row, job: NewJob) -> None:
        row.payload, row.priority, row.cost = job.payload, job.priority, job.cost
        if state_of(row.place) is State.WAITING:
            self._queue.move(row, State.WAITING, (job.priority, row.order[1]))
        elif row.place == State.DELAYED and job.on_conflict == "push":
            self._push(row, pushed_to(self._now, job.delay, row.created, job.push_for))

    def _push(self, row: Row, due: float | None) -> None:
        if due is None:
            self.move_to_tail(row)
        else:
            self._queue.move(row, State.DELAYED, (due, self._queue.next()))

    def note_attempt(self, row: Row, told: bytes) -> None:
        started = round((row.started or 0) * 1e6)
        row.attempts = joined(row.attempts, started, round(self._now * 1e6), told)

    def settle_edges(self, row: Row) -> None:
        self._queue.edges.forget(row.id)
        self.pay([row.id])

    def pay(self, parents: Iterable[str]) -> bool:
        """These have ended, or are deleted: whether others come back for that."""
        free = [id for parent in parents for id in self._queue.edges.pay(parent)]
        for id in free:
            self._unblock(self._queue.rows[id])
        return bool(free)

    def _unblock(self, row: Row) -> None:
        due = due_unblocked(self._now, row.rank, row.created)
        row.created = self._now
        self._queue.inherit_name(row)
        if due > self._now:
            self._queue.move(row, State.DELAYED, (due, self._queue.next()))
        else:
            self.move_to_tail(row)

    def has_lapsed(self, row: Row) -> bool:
        return row.rank <= self._now

    def is_name_taken(self, row: Row) -> bool:
        return bool(row.unique) and self._queue.holder(row.unique, self._now) not in {"", row.id}

    def retake_name(self, row: Row) -> None:
        if row.unique and not self.is_name_taken(row):
            self._queue.take_name(row)

    def leave_ghost(self, row: Row) -> None:
        self._queue.leave_ghost(row)

    def end_ghost(self, id: str, token: int) -> None:
        self._queue.forget_ghost((id, token))
        self.end_awaited([ghost_name(id, token)])

    def end_awaited(self, ghosts: Iterable[str]) -> int:
        """Their code has ended, as far as anybody waits for it; how many there were."""
        awaited = self._queue.edges.awaited
        found = [each for each in ghosts if awaited.pop(each, None) is not None]
        self.pay(found)
        return len(found)

    def supersede(self, id: str, by: str, keep: float) -> str:
        """Cancel a job of a schedule for a later one; the name of its ghost if it was active."""
        row = self._queue.rows[id]
        ghost = ghost_name(id, row.token) if row.place == State.ACTIVE else ""
        if ghost:
            self._queue.edges.awaited[ghost] = row.rank
        apply(self, row, supersede("", id, row.token, by, keep))
        return ghost

    def revive(self, row: Row) -> None:
        self._queue.past.passed[row.place] += 1
        row.created = self._now
        self.retake_name(row)

    def move_to_tail(self, row: Row) -> None:
        self._queue.move(row, State.WAITING, (row.priority, self._queue.next()))

    def move_back(self, row: Row, place: str) -> None:
        self._queue.move(row, place, row.order)

    def move_in_time(self, row: Row, place: str, delay: float) -> None:
        self._queue.move(row, place, (self._now + delay, self._queue.next()))

    def keep(self, row: Row, keep: float | None) -> None:
        queue = self._queue
        queue.bytes += row.size
        line, rank = (COUNTED, row.rank) if keep is None else (EXPIRY, self._now + keep)
        queue.lines[line].put(row.id, (rank, queue.next()))
