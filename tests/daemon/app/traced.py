"""Tasks whose spans a test looks at."""

from __future__ import annotations

import asyncio
import logging
import os
import time

from opentelemetry import baggage, trace

from asyncmqd import Retry, current_job, task


def _step() -> str:
    """What an instrumented library does: a span within the one that is current."""
    with trace.get_tracer("library").start_as_current_span("query"):
        pass
    logging.getLogger("shop").warning("working")
    trace.get_current_span().set_attribute("shop.order", 17)
    return f"{baggage.get_baggage('tenant')}"


@task(name="loop")
async def loop() -> str:
    await asyncio.sleep(0)
    return _step()


@task(name="thread")
def thread() -> str:
    return _step()


@task(name="process", executor="process")
def process() -> str:
    print("printed", flush=True)
    os.system("echo of a program")
    return _step()


@task(name="fails", retries=1, backoff=0)
async def fails() -> None:
    raise ValueError(f"attempt {current_job().attempt}")


@task(name="fails_elsewhere", executor="process")
def fails_elsewhere() -> None:
    raise Broken


class Broken(Exception):
    def __str__(self) -> str:
        raise RuntimeError("no text")


@task(name="fails_broken")
def fails_broken() -> None:
    raise Broken


@task(name="asks_again", retries=1)
async def asks_again() -> None:
    if current_job().attempt == 1:
        raise Retry("later", after=0)


@task(name="late", executor="process", timeout=1)
def late() -> None:
    time.sleep(600)


@task(name="dies", executor="process")
def dies() -> None:
    os._exit(3)


@task(name="parent")
async def parent() -> str:
    return (await loop.enqueue()).id


@task(name="forks")
def forks() -> int:
    pid = os.fork()
    if pid == 0:
        with trace.get_tracer("library").start_as_current_span("in the fork"):
            return os.getpid()
    os.waitpid(pid, 0)
    return pid
