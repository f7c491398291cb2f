"""The verbs that move jobs, inside a transaction.

Decisions are made on rows in memory, as in the store in memory, and each row is written once:
reading all rows of a batch by one statement and writing them by another costs a third of two
statements a job. It also releases Python's lock once, not at each row, so that the event loop
works on meanwhile.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Any

from asyncmqd.backends import applying
from asyncmqd.backends.base import Held
from asyncmqd.backends.sqlite import new_rows, sql_statements
from asyncmqd.backends.sqlite.clock import micros, seconds
from asyncmqd.backends.sqlite.rows import (
    ACTIVE,
    COUNTED,
    DELAYED,
    EXPIRY,
    NOTHING,
    WAITING,
    Jobs,
    Row,
    within,
)
from asyncmqd.backends.sqlite.sql_statements import as_json
from asyncmqd.backends.sqlite.token_buckets import Purse
from asyncmqd.backends.sqlite.transaction import Snapshot, Transaction
from asyncmqd.domain import settle
from asyncmqd.domain.change import Answer, Change
from asyncmqd.domain.job import Added, Claim, NewJob
from asyncmqd.domain.key_limits import KeyGate
from asyncmqd.domain.overlap import ghost_name
from asyncmqd.domain.settle import Retention
from asyncmqd.domain.states import EDGES, KEYED, TERMINAL, State, parked_place
from asyncmqd.domain.unique import is_pushed, merged

_SQL = sql_statements.load("moves.sql")
_ENDED = frozenset(map(str, TERMINAL))

New = dict[str, NewJob]
Blocked = dict[str, Sequence[str]]
"""By the id of a new job, all that it waits for."""

# ---------------------------------------------------------------------- the way of a job


def add(
    tx: Transaction,
    queue: str,
    jobs: Sequence[NewJob],
    after: Mapping[str, Sequence[str]] = NOTHING,
) -> list[Added]:
    """See `BaseBackend.add`. Jobs in `after` are blocked until all that it names have ended."""
    rows = Jobs(tx, queue)
    if new_rows.is_plain(jobs, after):
        return [_add_plain(tx, rows, queue, jobs[0])]
    known = new_rows.known_ids(tx, queue, jobs)
    held = rows.names.holders(job.unique for job in jobs if job.unique)
    added: list[Added] = []
    new: New = {}
    blocked: Blocked = dict(after)
    for job in jobs:
        if job.id in known:
            added.append(Added(job.id, "existed"))
        elif job.unique in held:
            added.append(_met(tx, rows, new, blocked, held[job.unique], job))
        else:
            added.append(Added(job.id, "new"))
            new[job.id] = job
            if job.unique:
                held[job.unique] = job.id
        if job.id in new:
            known.add(job.id)
    _file(tx, rows, new, blocked)
    tx.forget_idle_lanes(queue)
    if any(each.outcome != "existed" for each in added):
        tx.woken.add(queue)
    return added


def _add_plain(tx: Transaction, rows: Jobs, queue: str, job: NewJob) -> Added:
    """One job, as most that are enqueued one at a time: by one statement, and no look before it."""
    if not rows.add_plain(job):
        return Added(job.id, "existed")
    tx.woken.add(queue)
    return Added(job.id, "new")


def _met(
    tx: Transaction, rows: Jobs, new: New, blocked: Blocked, holder: str, job: NewJob
) -> Added:
    """A job whose name is held, perhaps by a new one of the same call."""
    if job.on_conflict == "existing":
        return Added(holder, "existed")
    if holder in new:
        if is_pushed(new[holder], job):  # it goes behind the others of its time
            new[holder] = new.pop(holder)
        new[holder] = merged(new[holder], job)
        return Added(holder, "replaced")
    row = rows.load([holder]).get(holder)
    if row is not None and rows.gets_successor(row, job):
        return _succeed(rows, new, blocked, holder, job)
    if job.on_conflict == "push":  # the holder goes behind those that came before this job
        _file(tx, rows, new, blocked)
    if row is None or not rows.replace(row, job):
        return Added(holder, "existed")
    return Added(holder, "replaced")


def _succeed(rows: Jobs, new: New, blocked: Blocked, holder: str, job: NewJob) -> Added:
    """A job that runs has one successor at most, which holds no name yet."""
    for id in blocked:
        if id in new and new[id].unique == job.unique:
            new[id] = merged(new[id], job)
            return Added(id, "replaced")
    known = rows.edges.successor(holder, job.unique)
    if known is not None:
        rows.replace(rows.load([known])[known], job)
        return Added(known, "replaced")
    new[job.id], blocked[job.id] = job, [holder]
    return Added(job.id, "new")


def _file(tx: Transaction, rows: Jobs, new: New, after: Blocked) -> None:
    """Write the new jobs; then there are none."""
    if not new:
        return
    jobs, blocked = list(new.values()), {id: after.pop(id) for id in [*after] if id in new}
    new.clear()
    rows.add(jobs, blocked)
    named = [job for job in jobs if job.unique and job.id not in blocked]
    if any(job.unique_for for job in named):
        rows.names.forget_overdue()
    for job in named:
        until = tx.time + micros(job.unique_for) if job.unique_for else 0
        rows.names.take(job.unique, job.id, until)


def apply(tx: Transaction, queue: str, changes: Sequence[Change]) -> list[Answer]:
    """See `BaseBackend.apply`."""
    if not changes:
        return []
    jobs = Jobs(tx, queue)
    rows = jobs.load(change.id for change in changes)
    answers: list[Answer] = []
    for change in changes:
        row = rows.get(change.id)
        answers.append(applying.apply(jobs, row, change))
        if row is not None and answers[-1] == "applied":
            jobs.moved[row.id] = row
            place = EDGES[change.edge].place
            if place == WAITING:
                tx.woken.add(queue)
            elif place in _ENDED:
                tx.ended[queue].append(row.id)
    jobs.save_moved()
    return answers


def claim(
    tx: Transaction,
    queue: str,
    limit: int,
    lease: float,
    worker: str,
    most: int,
    gate: KeyGate | None,
    purse: Purse | None = None,
) -> list[Claim]:
    """The claims of a turn that the limits over all daemons allow.

    `gate`: keys take turns. `purse`: jobs cost what they cost.
    """
    if limit <= 0:
        return []
    if gate is not None:
        return _claim_in_turns(tx, queue, limit, lease, worker, most, gate, purse)
    if purse is not None:
        limit = purse.paid(purse.costs(limit))
    wanted = {"queue": queue, "place": WAITING, "limit": limit, "most": most}
    rows = tx.execute(_SQL["next"], wanted).fetchall()
    tx.count(queue, WAITING, -len(rows))
    return _take(tx, queue, rows, lease, worker)


def _claim_in_turns(
    tx: Transaction,
    queue: str,
    limit: int,
    lease: float,
    worker: str,
    most: int,
    gate: KeyGate,
    purse: Purse | None,
) -> list[Claim]:
    """The same where keys take turns: a priority after the other."""
    lanes = tx.lanes_of(queue)
    taken: list[Claim] = []
    while len(taken) < limit and not (purse is not None and purse.is_empty):
        rows = lanes.turns(limit - len(taken), most, gate, purse)
        if rows is None:
            break
        taken += _take(tx, queue, rows, lease, worker, keys=not gate.is_open)
        lanes.charge(gate)
    return taken


def _take(
    tx: Transaction, queue: str, rows: Sequence[Any], lease: float, worker: str, keys: bool = False
) -> list[Claim]:
    """Claim these. `keys`: each needs a permit of its key."""
    place, end = str(EDGES["claim"].target), tx.since_boot + micros(lease)
    taken, numbers = [], []
    for row in rows:
        number, id, token, *rest = row
        taken.append(claim_of(tx, queue, (id, token + 1, *rest, worker)))
        numbers.append(number)
    if taken:
        first = tx.next(len(taken))
        tx.execute(_SQL["claim"], (place, end, first, tx.time, worker, int(keys), as_json(numbers)))
        tx.count(queue, place, len(taken))
    return taken


def claim_of(tx: Snapshot, queue: str, row: Sequence[Any]) -> Claim:
    """A claim, from its columns in the order of `lapsed` in reading.sql."""
    id, token, payload, size, failures, crashes, solo, created, worker = row
    # A damaged file may call a number a text: then `| 0` raises, and the damage is told in words.
    return Claim(
        queue=queue,
        id=id,
        token=token | 0,
        payload=payload,
        size=size | 0,
        failures=failures | 0,
        crashes=crashes | 0,
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
    answers, numbers, ghosts = [], [], []
    for each in held:
        row = rows[each.queue].get(each.id)
        holds = row is not None and row.token == each.token and row.place == ACTIVE
        answers.append(holds)
        if row is not None and holds:
            numbers.append(row.number)
        else:
            ghosts.append((end, each.queue, ghost_name(each.id, each.token)))
    if ghosts:
        tx.executemany(_SQL["extend_awaited"], ghosts)
    if numbers:
        tx.execute(_SQL["extend"], (end, tx.next(len(numbers)), as_json(numbers)))
    return answers


# ---------------------------------------------------------------------- upkeep


def move_due(tx: Transaction, queue: str, page: int) -> int:
    """See `BaseBackend.move_due`."""
    jobs = Jobs(tx, queue)
    rows = jobs.first(DELAYED, page, tx.time)
    for row in rows:
        jobs.move_to_tail(row)
    return _bring_back(tx, jobs, queue, rows)


def end_awaited(tx: Transaction, queue: str, longest: float) -> int:
    """See `BaseBackend.end_awaited`."""
    tx.execute(_SQL["bound_awaited"], (tx.since_boot + micros(longest), queue))
    _bound_ghosts(tx, queue, micros(longest))
    lapsed = tx.execute(_SQL["lapsed_ghosts"], (queue, tx.since_boot)).fetchall()
    jobs = Jobs(tx, queue)
    ended = jobs.end_awaited(ghost for _, ghost in sorted(lapsed))
    jobs.save_moved()
    return ended


def _bound_ghosts(tx: Transaction, queue: str, longest: int) -> None:
    """Have none keep a permit for longer, nor its key closed."""
    latest = tx.since_boot + longest
    late = tx.execute(_SQL["keys_of_late_ghosts"], (queue, latest)).fetchall()
    if not late:
        return
    tx.execute(_SQL["bound_ghosts"], (latest, queue, latest))
    for (key,) in set(late):
        tx.execute(_SQL["open_key_by"], (tx.time + longest, queue, key))
    tx.woken.add(queue)


def supersede(tx: Transaction, queue: str, id: str, by: str, keep: float) -> str:
    """Cancel a job of a schedule for a later one; the name of its ghost if it was active."""
    jobs = Jobs(tx, queue)
    row = jobs.load([id])[id]
    ghost = ghost_name(id, row.token) if row.place == ACTIVE else ""
    if ghost:
        jobs.edges.await_ghost(ghost, row.rank)
    apply(tx, queue, [settle.supersede(queue, id, row.token, by, keep)])
    return ghost


def unpark(tx: Transaction, queue: str, tasks: Collection[str], page: int) -> int:
    """See `BaseBackend.unpark`."""
    jobs = Jobs(tx, queue)
    rows: list[Row] = []
    for place in sorted({parked_place(task) for task in tasks}):
        rows += jobs.first(place, page - len(rows))
    for row in rows:
        jobs.move_back(row, WAITING)
    return _bring_back(tx, jobs, queue, rows)


def _bring_back(tx: Transaction, jobs: Jobs, queue: str, rows: list[Row]) -> int:
    if rows:
        jobs.save(rows)
        tx.woken.add(queue)
    return len(rows)


def prune(tx: Transaction, queue: str, retention: Retention, page: int) -> tuple[int, bool]:
    """See `BaseBackend.prune`: how many, which may be a part, and whether there may be more."""
    jobs = Jobs(tx, queue)
    doomed = jobs.first_kept(EXPIRY, page, end=tx.time)
    lines = tx.tallies(queue)
    counted = lines.get(COUNTED, (0, 0))[0]
    size = sum(bytes for _, bytes in lines.values()) - sum(row.size for row in doomed)
    if counted > retention.keep_completed or size > retention.keep_bytes:
        for row in jobs.first_kept(COUNTED, page - len(doomed)):
            if counted <= retention.keep_completed and size <= retention.keep_bytes:
                break
            doomed.append(row)
            counted -= 1
            size -= row.size
    if size > retention.keep_bytes:
        for row in jobs.first_kept(EXPIRY, page - len(doomed), begin=tx.time + 1):
            if size <= retention.keep_bytes:
                break
            doomed.append(row)
            size -= row.size
    part = within(doomed)
    return jobs.delete_kept(part), len(part) < len(doomed) or len(doomed) == page


# ---------------------------------------------------------------------- administration


def pause(tx: Transaction, queue: str, paused: bool, by: str, reason: str) -> None:
    """See `BaseBackend.pause`."""
    if paused:
        tx.execute(_SQL["pause"], (queue, tx.time, by, reason))
    else:
        tx.execute(_SQL["resume"], (queue,))
    tx.woken.add(queue)


def remove(tx: Transaction, queue: str, ids: Sequence[str]) -> list[bool]:
    """See `BaseBackend.remove`."""
    jobs = Jobs(tx, queue)
    rows = jobs.load(ids)
    jobs.delete(list(rows.values()))
    tx.forget_idle_lanes(queue)
    return [rows.pop(id, None) is not None for id in ids]


def purge(tx: Transaction, queue: str, state: State, page: int) -> int:
    """See `BaseBackend.purge`."""
    jobs = Jobs(tx, queue)
    rows: list[Row] = []
    for place in places(tx.tallies(queue), state):
        rows += jobs.first(place, page - len(rows))
    deleted = jobs.delete(within(rows))
    tx.forget_idle_lanes(queue)
    return deleted


def places(lines: Iterable[str], state: State) -> list[str]:
    """The lines that are places of `state`, those of parked jobs last."""
    found = [str(state)]
    return [*found, KEYED, *parked(lines)] if state is State.WAITING else found


def parked(lines: Iterable[str]) -> list[str]:
    """The lines that are places of parked jobs."""
    return sorted(line for line in lines if line.startswith(parked_place("")))
