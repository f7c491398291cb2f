"""Who waits for the write lock of a SQLite store goes before who has just had it."""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import AsyncIterator, Callable, Iterator
from functools import partial
from pathlib import Path

import pytest

from asyncmqd.backends.sqlite import SQLiteBackend, write_order
from asyncmqd.backends.sqlite.write_order import WriteOrder
from asyncmqd.domain.job import NewJob
from tests.eventually import eventually


class Rests:
    """Counts the rests of who gives way, in each of which something may happen."""

    def __init__(self) -> None:
        self.number = 0
        self.happens: Callable[[], None] = lambda: None

    def __call__(self, _seconds: float) -> None:
        self.number += 1
        self.happens()


@pytest.fixture
def rests(monkeypatch: pytest.MonkeyPatch) -> Rests:
    rests = Rests()
    monkeypatch.setattr(write_order.os_threads, "sleep", rests)
    monkeypatch.setattr(write_order.clock, "monotonic", lambda: rests.number * 0.001)
    return rests


@pytest.fixture
def orders(tmp_path: Path) -> Iterator[tuple[WriteOrder, WriteOrder]]:
    log = tmp_path / "jobs.db-wal"
    log.touch()
    both = WriteOrder(), WriteOrder()
    for each in both:
        each.join(str(log))
    yield both
    for each in both:
        each.leave()


def test_nobody_gives_way_to_nobody(orders: tuple[WriteOrder, WriteOrder], rests: Rests) -> None:
    orders[0].give_way()
    assert rests.number == 0


def test_who_has_waited_gets_the_next_turn(
    orders: tuple[WriteOrder, WriteOrder], rests: Rests
) -> None:
    writer, waiter = orders
    waiter.wait()
    rests.happens = waiter.end
    writer.give_way()
    writer.give_way()
    assert rests.number == 1


def test_who_waits_itself_gives_way_to_nobody(
    orders: tuple[WriteOrder, WriteOrder], rests: Rests
) -> None:
    for each in orders:
        each.wait()
    orders[0].give_way()
    assert rests.number == 0


@pytest.mark.parametrize("then", [WriteOrder.wait, WriteOrder.give_way])
def test_who_does_not_come_is_waited_for_some_times_only(
    orders: tuple[WriteOrder, WriteOrder], rests: Rests, then: Callable[[WriteOrder], None]
) -> None:
    """It is stopped. Once another has had the lock, or nobody waits, it counts anew."""
    writer, waiter = orders
    waiter.wait()
    for _ in range(100):
        writer.give_way()
    tried = rests.number
    assert 0 < tried < 100
    if then is WriteOrder.give_way:
        waiter.end()
        writer.give_way()
        waiter.wait()
    else:
        writer.wait()
        writer.end()
    writer.give_way()
    assert rests.number > tried


def test_a_log_that_cannot_be_opened_costs_only_the_order(tmp_path: Path, rests: Rests) -> None:
    order = WriteOrder()
    order.join(str(tmp_path / "none"))
    order.wait()
    order.give_way()
    order.end()
    order.leave()
    assert rests.number == 0


@pytest.fixture
async def backend(tmp_path: Path) -> AsyncIterator[SQLiteBackend]:
    backend = SQLiteBackend(f"sqlite://{tmp_path}/jobs.db?synchronous=NORMAL")
    await backend.connect()
    yield backend
    await backend.close()


def is_waited_for(log: Path) -> bool:
    """Whether somebody has a shared lock. Who looks for one has an exclusive lock for a moment."""
    held = [line.split() for line in Path("/proc/locks").read_text().splitlines()]
    ending = f":{log.stat().st_ino}"
    return any("FLOCK" in each and "READ" in each and each[5].endswith(ending) for each in held)


async def test_a_store_says_that_it_waits_until_it_writes(
    backend: SQLiteBackend, tmp_path: Path
) -> None:
    other = sqlite3.connect(tmp_path / "jobs.db", isolation_level=None)
    log = tmp_path / "jobs.db-wal"
    try:
        assert not is_waited_for(log)
        other.execute("BEGIN IMMEDIATE")
        adding = asyncio.create_task(backend.add("q", [NewJob(id="a", payload=b"{}")]))
        await eventually(partial(asyncio.to_thread, is_waited_for, log))
        other.execute("COMMIT")
        await adding
        assert not is_waited_for(log)
    finally:
        other.close()


async def test_a_store_gives_way(backend: SQLiteBackend, tmp_path: Path, rests: Rests) -> None:
    waiter = WriteOrder()
    waiter.join(str(tmp_path / "jobs.db-wal"))
    waiter.wait()
    await backend.add("q", [NewJob(id="a", payload=b"{}")])
    waiter.leave()
    assert rests.number > 0
