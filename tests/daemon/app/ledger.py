"""The application that test daemons run: every run writes itself into a file.

The file is the witness: it is opened for appending, so lines of several processes do not mix, and
what a killed process wrote stays.
"""

from __future__ import annotations

import asyncio
import logging
import mmap
import os
import random
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

from asyncmqd import current_job, task

LEDGER = Path(os.environ["LEDGER"])
GATE = Path(os.environ["GATE"])
LOOK = 0.03  # seconds between two looks at it: dozens of jobs may hold


def note(word: str) -> None:
    job = current_job()
    now = time.monotonic()
    line = f"{word} {job.queue} {job.id} {job.attempt} {os.getpid()} {now}\n"
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


@task(name="linger")
async def linger(seconds: float, after: float) -> None:
    """Take a while, and some more when it is told to stop."""
    note("began")
    try:
        await asyncio.sleep(seconds)
    except asyncio.CancelledError:
        await asyncio.sleep(after)
        raise
    finally:
        note("left")


@task(name="linger_thread")
def linger_thread(seconds: float) -> None:
    """The same in a thread, which nobody can cancel."""
    note("began")
    time.sleep(seconds)
    note("left")


@task(name="tell")
async def tell(word: str) -> None:
    note(word)


@task(name="hold")
async def hold() -> str:
    """Run until the gate opens."""
    note("began")
    while not GATE.exists():  # noqa: ASYNC110, ASYNC240 - it is opened by another process
        await asyncio.sleep(LOOK)
    note("ran")
    return "held"


@task(name="hold_thread")
def hold_thread() -> None:
    """The same in a thread, which nobody can cancel."""
    note("began")
    while not GATE.exists():
        time.sleep(LOOK)
    note("ran")


@task(name="block")
async def block() -> None:
    """The same, and the loop stands still meanwhile."""
    note("began")
    while not GATE.exists():  # noqa: ASYNC240
        time.sleep(LOOK)  # noqa: ASYNC251
    note("ran")


@task(name="lag")
async def lag() -> None:
    """The same, but the loop turns now and then: each 20 to 200 ms."""
    note("began")
    while not GATE.exists():  # noqa: ASYNC240
        time.sleep(random.uniform(0.02, 0.2))  # noqa: ASYNC251
        await asyncio.sleep(0)
    note("ran")


@task(name="spawn")
def spawn() -> None:
    """Begin a program, and leave it behind."""
    subprocess.Popen(["sleep", "1000"])
    note("ran")


@task(name="hold_child", executor="process")
def hold_child() -> None:
    """Hold in a child process."""
    note("began")
    while not GATE.exists():
        time.sleep(LOOK)
    note("ran")


@task(name="child_environment", executor="process")
def child_environment() -> list[str]:
    return sorted(os.environ)


@task(name="prefix")
async def prefix() -> str:
    return sys.prefix


@task(name="converse")
async def converse() -> None:
    print("printed")
    logging.getLogger("shop").warning("logged")
    current_job().log.info("structured", basket=3)
    await asyncio.to_thread(print, "printed in a thread")


@task(name="fail_with", retries=0)
def fail_with(message: str) -> None:
    raise ValueError(message)


@task(name="fail_at_length")
def fail_at_length(size: int) -> None:
    raise ValueError("x" * size)


@task(name="chatter")
async def chatter(lines: int, size: int) -> None:
    """Print much, a little in each turn of the loop."""
    for number in range(lines):
        print(f"{number} ".ljust(size, "."))
        if number % 10 == 0:
            await asyncio.sleep(0)
    note("ran")


@task(name="liberties")
def liberties(directory: str) -> dict[str, str]:
    """Try what a hardened unit forbids; what came of each."""
    return {
        "write": _outcome(lambda: Path(directory, "written").write_text("x")),
        "netlink": _outcome(lambda: socket.socket(socket.AF_NETLINK, socket.SOCK_RAW).close()),
        "nice": _outcome(lambda: os.nice(1)),
        "code": _outcome(lambda: mmap.mmap(-1, 4096, prot=mmap.PROT_WRITE | mmap.PROT_EXEC)),
        "home": _outcome(lambda: list(Path("/home").iterdir())),
    }


def _outcome(attempt: Callable[[], object]) -> str:
    try:
        attempt()
    except OSError as error:
        return os.strerror(error.errno or 0)
    return "done"


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


@task(name="leave")
async def leave() -> None:
    os._exit(0)


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


@task(name="cry")
def cry(text: str) -> None:
    """Have a program print this, where nobody turns it into lines of the log."""
    subprocess.run(["sh", "-c", 'echo "$0" >&2', text], check=True)


@task(name="orphan")
def orphan() -> None:
    """Begin a program whose parent ends before it."""
    subprocess.run(["sh", "-c", "sleep 0.1 &"], check=True)
    note("orphaned")


@task(name="programs")
async def programs() -> list[int]:
    """The exit codes of two programs, waited for in two ways."""
    other = await asyncio.create_subprocess_exec("sh", "-c", "exit 3")
    return [
        await other.wait(),
        (await asyncio.to_thread(subprocess.run, ["sh", "-c", "exit 3"])).returncode,
    ]
