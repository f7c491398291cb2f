"""A program in which the ends of children are kept from the loop; prints what is heard of them.

uvloop does not close a loop that waits for such a child, so it is a program of its own.
"""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import Callable
from typing import Any

import uvloop

from asyncmqd.runtime.execution.child_exit import ChildEnd


def _handle(how: Any) -> Callable[[int], object]:
    return lambda _: signal.signal(signal.SIGCHLD, how)


def _take(pid: int) -> None:
    os.waitpid(pid, 0)


async def _heard(before: Callable[[int], object], after: Callable[[int], object]) -> int | None:
    process = await asyncio.create_subprocess_exec("sleep", "1000")
    end = ChildEnd(process)
    before(process.pid)
    assert not end.came
    process.kill()
    after(process.pid)
    one, other = await asyncio.gather(end.wait(), end.wait())
    assert end.came
    assert one == other == await end.wait()
    return one


async def _all() -> None:
    leave = id
    print(await _heard(leave, leave))
    print(await _heard(leave, _take))
    print(await _heard(_handle(signal.SIG_DFL), leave))
    print(await _heard(_handle(signal.SIG_IGN), leave), flush=True)
    os._exit(0)


if __name__ == "__main__":
    uvloop.new_event_loop().run_until_complete(_all())
