"""The verbs about schedules and workers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from typing import Literal

import msgspec

from asyncmqd.backends.base import WATCHED, ScheduleRecord, WorkerRecord
from asyncmqd.backends.sqlite import moves, new_rows, sql_statements
from asyncmqd.backends.sqlite.clock import micros, seconds
from asyncmqd.backends.sqlite.events import is_watched
from asyncmqd.backends.sqlite.operations import operating
from asyncmqd.backends.sqlite.transaction import Snapshot, Transaction
from asyncmqd.domain.job import NewJob
from asyncmqd.domain.overlap import Step, at_overlap
from asyncmqd.domain.schedule_counts import Fired, Passed, Tally
from asyncmqd.domain.states import State, state_of
from asyncmqd.domain.store_clock import TOLERANCE
from asyncmqd.domain.typed_keywords import Overlap

_SQL = sql_statements.load("registry.sql")


def declare_all(
    tx: Transaction, declared: Sequence[tuple[str, Mapping[str, bytes]]], fresh: bool, by: str
) -> float:
    """See `BaseBackend.declare_all`."""
    for queue, specs in declared:
        _declare(tx, queue, specs, fresh, by)
    return seconds(tx.time)


def _declare(tx: Transaction, queue: str, specs: Mapping[str, bytes], fresh: bool, by: str) -> None:
    now = seconds(tx.time)
    for name, spec in specs.items():
        one = {"queue": queue, "name": name, "spec": spec, "time": tx.time, "by": by}
        tx.execute(_SQL["declare"], {**one, "now": now})
        back = {"queue": queue, "name": name, "time": tx.time, "now": now, "ahead": TOLERANCE}
        tx.execute(_SQL["set_back"], back)
        if fresh:
            tx.execute(_SQL["replace_spec"], one)


def withdraw(tx: Transaction, names: Sequence[tuple[str, Sequence[str]]]) -> None:
    """See `BaseBackend.withdraw`."""
    for queue, withdrawn in names:
        for name in withdrawn:
            tx.execute(_SQL["withdraw"], (queue, name))


def schedules(view: Snapshot, queues: Sequence[str]) -> list[ScheduleRecord]:
    """See `BaseBackend.schedules`."""
    return [
        ScheduleRecord(
            queue=queue,
            name=name,
            spec=spec,
            declared=seconds(declared),
            by=by,
            former=former,
            former_by=former_by,
            seen=seconds(seen),
            last=last,
            paused=bool(paused),
            tally=_tally(tally),
        )
        for queue in queues
        for name, spec, declared, by, former, former_by, seen, last, paused, tally in view.execute(
            _SQL["schedules"], (queue,)
        )
    ]


def fire(
    tx: Transaction,
    queue: str,
    name: str,
    instant: float,
    job: NewJob | None,
    passed: Passed | None,
    overlap: Overlap,
    keep: float,
) -> Fired:
    """See `BaseBackend.fire`."""
    if job is not None and new_rows.known_ids(tx, queue, [job]):
        return Fired.NO
    one = {"queue": queue, "name": name, "instant": float(instant)}
    found = tx.execute(_SQL["fires"], one).fetchone()
    if found is None or (passed is not None and passed.last != found[0]):
        return Fired.NO
    counts = {} if passed is None else passed.counts
    known = _tally(found[1])
    step = Step("skip")
    if job is not None:
        step = at_overlap(overlap, known, partial(_state, tx, queue))
    if job is None:
        tally = known.after(float(instant), None, counts)
    elif step.what == "skip":
        job, tally = None, known.overlapped(float(instant), counts)
    else:
        after = _enqueue(tx, queue, job, step, keep)
        tally = known.after(float(instant), job.id, counts, after, len(step.cancels))
    tx.execute(_SQL["fire"], {**one, "tally": msgspec.json.encode(tally)})
    if job is None:
        return Fired.SKIPPED
    return Fired.REPLACED if step.cancels else Fired.YES


def _enqueue(tx: Transaction, queue: str, job: NewJob, step: Step, keep: float) -> str:
    """Add the job of an instant; what it has to wait for."""
    after = step.after
    for id in step.cancels:
        after = moves.supersede(tx, queue, id, job.id, keep) or after
    moves.add(tx, queue, [job], {job.id: [after]} if after else {})
    return after


def _state(tx: Transaction, queue: str, name: str) -> State | None:
    """Of a job, or of a ghost that jobs have to wait for."""
    if tx.execute(_SQL["is_awaited"], (queue, name)).fetchone():
        return State.ACTIVE
    found = tx.execute(_SQL["place"], (queue, name)).fetchone()
    return None if found is None else state_of(found[0])


def _tally(stored: bytes) -> Tally:
    """What is corrupted counts from 0: no instant may wait for it."""
    try:
        return msgspec.json.decode(stored, type=Tally)
    except msgspec.MsgspecError:
        return Tally()


def edit_schedule(
    tx: Transaction,
    queue: str,
    name: str,
    action: Literal["pause", "resume", "remove"],
    passed: int,
    until: float | None,
) -> bool:
    """See `BaseBackend.edit_schedule`."""
    if action == "remove":
        edited = tx.execute(_SQL["remove_schedule"], (queue, name))
    else:
        if action == "resume":
            now = seconds(tx.time)
            _pass_over(tx, queue, name, passed, now if until is None else min(now, until))
        edited = tx.execute(_SQL["pause_schedule"], (action == "pause", queue, name))
    return edited.rowcount > 0


def _pass_over(tx: Transaction, queue: str, name: str, passed: int, until: float) -> None:
    found = tx.execute(_SQL["paused_tally"], (queue, name)).fetchone()
    if found is not None:
        tally = _tally(found[0]).after(until, None, {"paused": passed} if passed else {})
        tx.execute(_SQL["pass_over"], (until, msgspec.json.encode(tally), queue, name))


def beat(tx: Transaction, worker: str, info: bytes, ttl: float) -> list[str]:
    """See `BaseBackend.beat`."""
    until = tx.since_boot + micros(ttl)
    tx.execute(_SQL["beat"], {"id": worker, "info": info, "time": tx.time, "until": until})
    tx.execute(_SQL["drop_silent"], (tx.since_boot,))
    return operating(tx) + [WATCHED] * is_watched(tx)


def leave(tx: Transaction, worker: str) -> None:
    """See `BaseBackend.leave`."""
    tx.execute(_SQL["leave"], (worker,))


def workers(view: Snapshot) -> list[WorkerRecord]:
    """See `BaseBackend.workers`."""
    return [
        WorkerRecord(id=id, info=info, started=seconds(started), seen=seconds(seen))
        for id, info, started, seen in view.execute(_SQL["workers"], (view.since_boot,))
    ]
