"""The application that test daemons run: every run writes itself into a file.

The file is the witness: it is opened for appending, so lines of several processes do not mix, and
what a killed process wrote stays.
"""

from __future__ import annotations

import asyncio
import os
import time
from pathlib import Path

from asyncmqd import current_job, task

LEDGER = Path(os.environ["LEDGER"])
GATE = Path(os.environ["GATE"])


def note(word: str) -> None:
    job = current_job()
    line = f"{word} {job.queue} {job.id} {job.attempt} {os.getpid()}\n"
    with LEDGER.open("ab", buffering=0) as ledger:
        ledger.write(line.encode())


@task(name="mark")
async def mark() -> None:
    note("ran")


@task(name="nap")
async def nap(seconds: float) -> None:
    note("began")
    await asyncio.sleep(seconds)
    note("ran")


@task(name="hold")
async def hold() -> str:
    """Run until the gate opens."""
    note("began")
    while not GATE.exists():  # noqa: ASYNC110, ASYNC240 - it is opened by another process
        await asyncio.sleep(0.01)
    note("ran")
    return "held"


@task(name="hold_thread")
def hold_thread() -> None:
    """The same in a thread, which nobody can cancel."""
    note("began")
    while not GATE.exists():
        time.sleep(0.01)
    note("ran")


@task(name="block")
async def block() -> None:
    """The same, and the loop stands still meanwhile."""
    note("began")
    while not GATE.exists():  # noqa: ASYNC240
        time.sleep(0.01)  # noqa: ASYNC251
    note("ran")


@task(name="environment")
async def environment() -> list[str]:
    return sorted(os.environ)
