"""The rows of new jobs, written by as few statements as possible."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import chain

from asyncmqd.backends.sqlite import sql_statements
from asyncmqd.backends.sqlite.sql_statements import array, of_rows
from asyncmqd.backends.sqlite.transaction import Transaction
from asyncmqd.domain.job import NewJob

_SQL = sql_statements.load("moves.sql")
_TOGETHER = 50  # that one statement writes
_INSERT_TOGETHER = of_rows(_SQL["insert"], _TOGETHER)

LARGE = 1_000
"""Bytes: a longer payload stands apart, see docs/decisions/sqlite-large-payloads.md. Another limit
needs no other layout, since each row tells where its payload is."""


def parts(payload: bytes) -> tuple[bytes, int]:
    """What stands in the row of its job, and the bytes of a payload that stands apart."""
    return (b"", len(payload)) if len(payload) > LARGE else (payload, 0)


def is_plain(jobs: Sequence[NewJob], after: Mapping[str, Sequence[str]]) -> bool:
    """Whether it is one that waits for nothing, and has neither a unique name nor a key."""
    return len(jobs) == 1 and not (after or jobs[0].unique or jobs[0].key)


def known_ids(tx: Transaction, queue: str, jobs: Sequence[NewJob]) -> set[str]:
    """Those of the ids that the queue has already."""
    if len(jobs) == 1:
        found = tx.execute(_SQL["is_known"], (queue, jobs[0].id)).fetchone()
        return {jobs[0].id} if found else set()
    return {id for (id,) in tx.execute(_SQL["known"], (array(job.id for job in jobs), queue))}


def write(
    tx: Transaction, queue: str, jobs: Sequence[NewJob], rows: Sequence[tuple[object, ...]]
) -> None:
    """Write jobs of a queue; `rows` have the parameters of `insert` in moves.sql."""
    rest = len(rows) % _TOGETHER
    for at in range(0, len(rows) - rest, _TOGETHER):
        tx.execute(_INSERT_TOGETHER, [*chain.from_iterable(rows[at : at + _TOGETHER])])
    if rest:
        tx.executemany(_SQL["insert"], rows[-rest:])
    _write_rest(tx, queue, jobs)


def write_unless_known(tx: Transaction, queue: str, job: NewJob, row: tuple[object, ...]) -> bool:
    """The same of one job. False if the queue has its id: then nothing is written."""
    if not tx.execute(_SQL["insert_unless_known"], row).rowcount:
        return False
    _write_rest(tx, queue, [job])
    return True


def _write_rest(tx: Transaction, queue: str, jobs: Sequence[NewJob]) -> None:
    """What few jobs have."""
    large = [(job.payload, queue, job.id) for job in jobs if len(job.payload) > LARGE]
    if large:
        tx.executemany(_SQL["insert_large"], large)
    priced = [(job.cost, queue, job.id) for job in jobs if job.cost != 1]
    if priced:
        tx.executemany(_SQL["set_cost"], priced)
