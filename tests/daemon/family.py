"""What tests of `processes = N` share: configurations, and looks at a daemon's children."""

from __future__ import annotations

from collections import Counter

import psutil

from tests.daemon.harness import Daemon

MAIL = "[queues.mail]\nconcurrency = 10\n"
# Leases that outlast any restart, however slow the machine: only who is proven dead is robbed.
LONG_LEASES = "lease = 300\nhang_limit = 400\n"
TWO, THREE = "processes = 2\n", "processes = 3\n"

SCANNER = """
import asyncio, os, pathlib

async def scan(queue, *, backend, interval):
    with pathlib.Path('scanners').open('a') as file:
        file.write(f'{os.getpid()}\\n')
    await asyncio.Event().wait()
"""


def children_of(d: Daemon) -> list[int]:
    return [each["pid"] for each in d.ask("status")["processes"]]


def runners(d: Daemon, word: str = "began") -> Counter[int]:
    """How many lines of the ledger each process wrote."""
    lines = (line.split() for line in d.ledger.read_text().splitlines())
    return Counter(int(line[4]) for line in lines if line[0] == word)


def gone(pid: int) -> bool:
    return not psutil.pid_exists(pid) or psutil.Process(pid).status() == psutil.STATUS_ZOMBIE
