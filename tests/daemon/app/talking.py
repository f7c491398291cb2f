"""Tasks that say much before they fail."""

from __future__ import annotations

import asyncio
import logging
import os
import subprocess
import sys
import threading
import time

import structlog

from asyncmqd import current_job, task

log = structlog.get_logger()


class Secretive:
    def __repr__(self) -> str:
        raise RuntimeError("cannot be shown")


def _talk() -> None:
    print("printed")
    print("to stderr", file=sys.stderr)
    logging.getLogger("shop").error("recorded", extra={"order": 17, "odd": Secretive()})
    log.info("structured", address="a@example.org")
    current_job().log.warning("by the job")
    subprocess.run(["echo", "of a program"], stdout=sys.stdout, check=True)
    print("without an end", end="")


@task(name="loop")
async def loop() -> None:
    _talk()
    await asyncio.sleep(0)
    raise ValueError("in the loop")


@task(name="thread")
def thread() -> None:
    _talk()
    raise ValueError("in a thread")


@task(name="process", executor="process")
def process() -> None:
    _talk()
    raise ValueError("in a child")


@task(name="dies", executor="process")
def dies() -> None:
    print("last words")
    os._exit(7)


@task(name="dies_within_a_line", executor="process")
def dies_within_a_line() -> None:
    print("row 1: ", end="", flush=True)
    print("done")
    print("row 2: ", end="", flush=True)
    print("read, ", end="", flush=True)
    first, second = "é".encode()[:1], "é".encode()[1:]
    sys.stderr.buffer.write(b"no caf" + first)
    sys.stderr.buffer.write(second + b"\n")
    sys.stderr.write("\ud800 ")
    sys.stderr.write("odd\n")
    os._exit(7)


@task(name="late", executor="process", timeout=5)
def late() -> None:
    print("begun")
    sys.stderr.write("within a line")
    time.sleep(600)


@task(name="late_in_loop", timeout=0.2)
async def late_in_loop() -> None:
    print("begun")
    await asyncio.sleep(600)


@task(name="chatters")
async def chatters(lines: int, length: int) -> None:
    for number in range(lines):
        print(f"{number} " + "x" * length)
    raise ValueError


@task(name="twice", retries=1, backoff=0)
async def twice() -> None:
    print(f"attempt {current_job().attempt}")
    raise ValueError


@task(name="succeeds")
async def succeeds() -> None:
    print("printed")


@task(name="silent")
async def silent() -> None:
    raise ValueError


@task(name="together")
def together(name: str) -> None:
    BARRIER.wait(30)
    for number in range(20):
        print(f"{name} {number}")
    BARRIER.wait(30)
    raise ValueError


BARRIER = threading.Barrier(2)


@task(name="waits_and_fails", retries=1, backoff=0)
async def waits_and_fails() -> None:
    print(f"attempt {current_job().attempt}")
    if current_job().attempt == 2:
        while not await asyncio.to_thread(os.path.exists, os.environ["GATE"]):  # noqa: ASYNC110
            await asyncio.sleep(0.02)
    raise ValueError("no")
