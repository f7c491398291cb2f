"""The application of the soak tests: a little of everything that jobs do, and nothing kept."""

from __future__ import annotations

import os

from asyncmqd import current_job, task

_runs = os.open(os.environ["LEDGER"], os.O_WRONLY | os.O_APPEND)


@task(name="quick")
async def quick() -> None:
    """What most jobs are."""


@task(name="answer")
async def answer(size: int) -> str:
    return "x" * size


@task(name="plain")
def plain() -> int:
    return sum(range(100))


@task(name="flaky", retries=2, backoff=0.2)
async def flaky() -> str:
    if current_job().attempt < 3:
        raise ValueError("not yet")
    return "at last"


@task(name="broken", retries=1, backoff=0.2)
async def broken() -> None:
    raise ValueError("never")


@task(name="count")
async def count() -> None:
    """Write the job's id: eight digits, in one write to a file opened for appending."""
    os.write(_runs, current_job().id.encode())
