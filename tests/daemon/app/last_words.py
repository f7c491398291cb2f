"""What is registered to run at the end of the process runs there, in each that runs jobs."""

from __future__ import annotations

import atexit
import os

from asyncmqd import task

atexit.register(lambda: print(f"last words of {os.getpid()}"))


@task(name="who")
async def who() -> int:
    return os.getpid()


@task(name="who_else", executor="process")
def who_else() -> int:
    return os.getpid()
