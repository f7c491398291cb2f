"""What statements are given: nothing for which sqlite3 looks for an adapter."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import pytest

from asyncmqd.backends.sqlite import address, moves, turns
from asyncmqd.backends.sqlite.clock import HostClock, boot_id
from asyncmqd.backends.sqlite.file import DatabaseFile
from asyncmqd.backends.sqlite.transaction import Transaction
from asyncmqd.domain import clock
from asyncmqd.domain.job import NewJob
from asyncmqd.domain.settle import Policy, Succeeded, settle

# In the order in which sqlite3 itself asks (`need_adapt`): any other costs some 3,400 instructions.
PLAIN = {int, float, str, bytearray}


class Recorded(Transaction):
    """A transaction that keeps the types of all parameters."""

    def __init__(self, file: DatabaseFile, connection: Any) -> None:
        connection.execute("BEGIN IMMEDIATE")
        super().__init__(connection, file.host)
        self.types: set[type] = set()
        self.statements = 0
        execute, executemany = self.execute, self.executemany

        def one(query: str, values: Any = ()) -> Any:
            self._note(values)
            return execute(query, values)

        def many(query: str, rows: Iterable[Any]) -> Any:
            rows = list(rows)
            for row in rows:
                self._note(row)
            return executemany(query, rows)

        self.execute, self.executemany = one, many

    def _note(self, values: Any) -> None:
        self.statements += 1
        self.types |= set(map(type, values.values() if isinstance(values, dict) else values))


@pytest.fixture
def tx(tmp_path: Path) -> Iterator[Recorded]:
    host = HostClock(clock.wall, clock.since_boot, boot_id())
    file = DatabaseFile(address.parse(f"sqlite://{tmp_path}/jobs.db"), host)
    with file.opened() as connection:
        yield Recorded(file, connection)


def new(number: int, key: str = "", payload: bytes = b"{}") -> NewJob:
    return NewJob(id=f"{number}", payload=payload, key=key)


@pytest.mark.parametrize("key", ["", "ann"])
def test_jobs_are_added_claimed_and_settled_by_plain_values(tx: Recorded, key: str) -> None:
    moves.add(tx, "mail", [new(number, key) for number in range(60)])
    first = turns.turn(tx, "mail", [], 2, 60.0, "w", None, 1_000)
    outcomes = Succeeded(), Succeeded(b"[1]")
    changes = [
        settle(claim, outcome, Policy(), 0.0)
        for claim, outcome in zip(first.claims, outcomes, strict=True)
    ]
    turn = turns.turn(tx, "mail", changes, 2, 60.0, "w", None, 1_000)
    assert turn.answers == ["applied", "applied"]
    tx.commit()
    assert tx.types <= PLAIN


@pytest.mark.parametrize("delay", [0.0, 1.0])
def test_one_job_is_written_by_one_statement_also_if_it_is_there(
    tx: Recorded, delay: float
) -> None:
    job = NewJob(id="1", payload=b"{}", delay=delay)
    for outcome in ("new", "existed"):
        before = tx.statements
        (added,) = moves.add(tx, "mail", [job])
        assert (added.outcome, tx.statements) == (outcome, before + 1)
    assert tx.tallies("mail") == {"delayed" if delay else "waiting": (1, 0)}


def test_many_jobs_are_written_by_few_statements(tx: Recorded) -> None:
    moves.add(tx, "mail", [new(number) for number in range(1_001)])
    assert tx.statements < 30
    found = tx.execute("SELECT id, seq, payload FROM jobs ORDER BY seq").fetchall()
    assert found == [(f"{number}", number + 1, b"{}") for number in range(1_001)]
