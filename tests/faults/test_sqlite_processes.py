"""Processes on one SQLite file that come, go, fork, and are killed: nothing accepted is lost."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import os
import random
import signal
import sqlite3
from collections.abc import Callable
from contextlib import closing
from multiprocessing.process import BaseProcess
from pathlib import Path

from asyncmqd.backends.sqlite import SQLiteBackend
from asyncmqd.client.connection import resolve
from asyncmqd.client.sync_calls import run_sync
from asyncmqd.domain.job import NewJob
from tests.daemon.harness import until
from tests.faults.forked import fork
from tests.scale import scaled

PROCESSES = 3
KILLS, BETWEEN = scaled((12, 15), (100, 20))  # kills, and jobs accepted between two of them


async def work(path: str, accepted: str, name: str) -> None:
    """Enqueue for ever, each time in another way, and note what was accepted."""
    url = f"sqlite://{path}"
    notes = os.open(accepted, os.O_WRONLY | os.O_APPEND)

    def note(id: str) -> None:
        os.write(notes, f"{id}\n".encode())

    ways = (_by_await, _by_sync, _by_an_instance, _by_a_fork)
    for number, way in zip(itertools.count(), itertools.cycle(ways)):
        await way(url, f"{name}-{number}", note)


async def look(path: str) -> None:
    """Open the store and close it, for ever, as an operator's commands do."""
    while True:
        backend = SQLiteBackend(f"sqlite://{path}")
        await backend.queues()
        await backend.close()


async def _add(url: str, id: str, note: Callable[[str], None]) -> None:
    await resolve(url).add("mail", [NewJob(id=id, payload=b"{}")])
    note(id)


_by_await = _add


async def _by_sync(url: str, id: str, note: Callable[[str], None]) -> None:
    await asyncio.to_thread(lambda: run_sync(_add(url, id, note)))


async def _by_an_instance(url: str, id: str, note: Callable[[str], None]) -> None:
    backend = SQLiteBackend(url)
    await backend.add("mail", [NewJob(id=id, payload=b"{}")])
    note(id)
    await backend.close()


async def _by_a_fork(url: str, id: str, note: Callable[[str], None]) -> None:
    pid = os.fork()
    if pid == 0:
        try:
            asyncio.events._set_running_loop(None)
            asyncio.run(_add(url, id, note))
        finally:
            os._exit(0)
    await asyncio.to_thread(os.waitpid, pid, 0)


def lost_files(pid: int | None, path: Path) -> list[str]:
    """What a process has open of the store that nobody else can see."""
    found = []
    with contextlib.suppress(OSError):  # it has ended
        for each in os.listdir(f"/proc/{pid}/fd"):
            with contextlib.suppress(OSError):
                name = os.readlink(f"/proc/{pid}/fd/{each}")
                if name.startswith(str(path)) and name.endswith("(deleted)"):
                    found.append(name)
    return found


def test_what_was_accepted_is_there_whoever_opened_closed_forked_and_died(
    place: Path, seen: Callable[[str], None]
) -> None:
    path, accepted = place / "jobs.db", place / "accepted"
    accepted.touch()
    chance = random.Random(KILLS)
    names = itertools.count()

    def start() -> BaseProcess:
        return fork(work, str(path), str(accepted), f"p{next(names)}")

    outsider = fork(look, str(path))
    running = [start() for _ in range(PROCESSES)]
    wrong: list[str] = []
    for number in range(KILLS):
        until(lambda end=(number + 1) * BETWEEN: len(ids(accepted)) >= end, 60.0)
        wrong += [each for process in running for each in lost_files(process.pid, path)]
        victim = running.pop(chance.randrange(PROCESSES))
        assert victim.pid is not None
        os.kill(victim.pid, signal.SIGKILL)
        victim.join()
        running.append(start())
    for each in (*running, outsider):
        each.kill()
        each.join()
    told = ids(accepted)
    with closing(sqlite3.connect(path)) as connection:
        assert connection.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
        there = {id for (id,) in connection.execute("SELECT id FROM jobs")}
    assert told - there == set()
    assert wrong == []
    seen(
        f"SQLite, {KILLS} x kill -9 of {PROCESSES} processes that open, close, fork and enqueue:"
        f" 0 of {len(told)} jobs lost, 0 deleted files in use"
    )


def ids(accepted: Path) -> set[str]:
    """What was noted so far."""
    return set(accepted.read_text("ascii").split("\n")[:-1])
