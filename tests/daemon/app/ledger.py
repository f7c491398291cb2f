"""The application that test daemons run: every run writes itself into a file.

The file is the witness: it is opened for appending, so lines of several processes do not mix, and
what a killed process wrote stays.
"""

from __future__ import annotations

import asyncio
import logging
import os
import signal
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


@task(name="environment")
async def environment() -> list[str]:
    return sorted(os.environ)


@task(name="talk")
async def talk(size: int) -> None:
    print("x" * size)
    note("ran")


@task(name="last_words")
async def last_words() -> None:
    print("last words")
    await asyncio.sleep(0)
    os.kill(os.getpid(), signal.SIGKILL)


@task(name="last_words_thread")
def last_words_thread() -> None:
    print("last words")
    os.kill(os.getpid(), signal.SIGKILL)


def _say_all() -> None:
    print("printed")
    logging.getLogger("shop").warning("logged")
    print("unfinished", end="")


@task(name="say")
async def say() -> None:
    _say_all()


@task(name="say_thread")
def say_thread() -> None:
    _say_all()


@task(name="say_process", executor="process")
def say_process() -> None:
    _say_all()
