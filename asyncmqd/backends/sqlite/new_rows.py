"""The rows of new jobs, written by as few statements as possible."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import chain

from asyncmqd.backends.sqlite import sql_statements
from asyncmqd.backends.sqlite.sql_statements import of_rows
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


def write(
    tx: Transaction, queue: str, jobs: Sequence[NewJob], rows: Sequence[tuple[object, ...]]
) -> None:
    """Write jobs of a queue; `rows` have the parameters of `insert` in moves.sql."""
    rest = len(rows) % _TOGETHER
    for at in range(0, len(rows) - rest, _TOGETHER):
        tx.execute(_INSERT_TOGETHER, [*chain.from_iterable(rows[at : at + _TOGETHER])])
    if rest:
        tx.executemany(_SQL["insert"], rows[-rest:])
    large = [(job.payload, queue, job.id) for job in jobs if len(job.payload) > LARGE]
    if large:
        tx.executemany(_SQL["insert_large"], large)
    priced = [(job.cost, queue, job.id) for job in jobs if job.cost != 1]
    if priced:
        tx.executemany(_SQL["set_cost"], priced)
