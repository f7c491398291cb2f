"""The application of an installed daemon: its tasks tell which code runs them, and how."""

from __future__ import annotations

import multiprocessing
import os
import sys

import asyncmqd
from asyncmqd import task


def about() -> dict[str, object]:
    return {
        "version": asyncmqd.__version__,
        "code": asyncmqd.__path__[0],
        "pid": os.getpid(),
        "isolated": sys.flags.isolated,
        "python_variables": sorted(name for name in os.environ if name.startswith("PYTHON")),
    }


@task(name="here")
async def here() -> dict[str, object]:
    return about()


@task(name="child", executor="process")
def child() -> dict[str, object]:
    return about()


@task(name="pool")
def pool() -> int:
    """What an application may do by itself: its processes read the daemon's launcher again."""
    with multiprocessing.get_context("spawn").Pool(1) as workers:
        return workers.apply(pow, (2, 10))
