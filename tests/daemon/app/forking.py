"""Jobs that fork, in all the ways in which applications do."""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import multiprocessing
import os
import signal
import subprocess
import sys
import time
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from contextvars import ContextVar
from pathlib import Path
from typing import Any

from ledger import GATE, note

from asyncmqd import current_job, task


def _square(number: int) -> int:
    return number * number


def _say_square(number: int) -> int:
    print(f"squared {number}")
    return _square(number)


def _pool(method: str) -> list[int]:
    # Leaving the block sends TERM to the workers. Those that are no forks print for themselves.
    with multiprocessing.get_context(method).Pool(2) as pool:
        return pool.map(_say_square if method == "fork" else _square, range(4))


@task(name="pool")
async def pool(method: str) -> list[int]:
    return _pool(method)


@task(name="pool_thread")
def pool_thread(method: str) -> list[int]:
    return _pool(method)


@task(name="pool_process", executor="process")
def pool_process(method: str) -> list[int]:
    return _pool(method)


@task(name="futures_thread")
def futures_thread() -> list[int]:
    with ProcessPoolExecutor(2) as executor:
        return list(executor.map(_say_square, range(4)))


def _stand() -> dict[str, Any]:
    """What a process has of ours, as itself finds it."""
    caught = {}
    for line in Path("/proc/self/status").read_text().splitlines():
        key, _, value = line.partition(":")
        if key in {"SigCgt", "SigBlk", "SigIgn"}:
            mask = int(value, 16)
            caught[key] = [n.name for n in _OURS if mask & 1 << n - 1]
    held = []
    for number in Path("/proc/self/fd").iterdir():
        try:
            held.append(os.readlink(number))
        except OSError:
            continue  # of the listing itself
    return {**caught, "held": sorted(held)}


_OURS = (signal.SIGTERM, signal.SIGHUP, signal.SIGUSR1, signal.SIGCHLD)


def _stand_in_child() -> dict[str, Any]:
    read, write = os.pipe()
    if (child := os.fork()) == 0:
        os.write(write, json.dumps(_stand()).encode())
        sys.exit(0)
    os.close(write)
    os.waitpid(child, 0)
    with os.fdopen(read) as stream:
        return json.loads(stream.read())


@task(name="stand")
async def stand() -> dict[str, Any]:
    return _stand_in_child()


@task(name="stand_thread")
def stand_thread() -> dict[str, Any]:
    return _stand_in_child()


@task(name="stand_process", executor="process")
def stand_process() -> dict[str, Any]:
    return _stand_in_child()


def _wait_for(child: int) -> int:
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def _exits(code: int) -> int:
    """The code with which a child ends that says so."""
    if (child := os.fork()) == 0:
        sys.exit(code)
    return _wait_for(child)


@task(name="exits")
async def exits(code: int) -> int:
    return _exits(code)


@task(name="exits_thread")
def exits_thread(code: int) -> int:
    return _exits(code)


@task(name="exits_to_thread")
async def exits_to_thread(code: int) -> int:
    return await asyncio.to_thread(_exits, code)


@task(name="exits_pool_of_threads")
def exits_pool_of_threads(code: int) -> int:
    with ThreadPoolExecutor(1) as executor:
        return executor.submit(_exits, code).result()


@task(name="exits_to_thread_process", executor="process")
async def exits_to_thread_process(code: int) -> int:
    return await asyncio.to_thread(_exits, code)


@task(name="exits_process", executor="process")
def exits_process(code: int) -> int:
    return _exits(code)


@task(name="exits_async_process", executor="process")
async def exits_async_process(code: int) -> int:
    async def fork() -> int:
        return _exits(code)

    return await asyncio.wait_for(fork(), 60)


@task(name="exits_below")
async def exits_below(code: int) -> list[int]:
    """In tasks of its own, of which another waits for its turn."""

    async def fork() -> int:
        await asyncio.sleep(0)
        return _exits(code)

    return await asyncio.gather(fork(), fork())


@task(name="comes_back")
async def comes_back(way: str) -> int:
    """The child forgets that it is one."""
    turn = asyncio.get_running_loop().create_future()
    asyncio.get_running_loop().call_soon(turn.set_result, None)
    if (child := os.fork()) == 0:
        if way == "awaits":
            await turn
        note("went")
        if way == "raises":
            raise ValueError("in the child")
        return -1
    code = _wait_for(child)
    await turn
    return code


def _comes_back(way: str) -> int:
    if (child := os.fork()) == 0:
        if way == "raises":
            raise ValueError("in the child")
        return -1
    return _wait_for(child)


@task(name="comes_back_thread")
def comes_back_thread(way: str) -> int:
    return _comes_back(way)


@task(name="comes_back_process", executor="process")
def comes_back_process(way: str) -> int:
    return _comes_back(way)


@task(name="leave_child")
def leave_child() -> int:
    """Leave a child behind, which lives until the gate opens."""
    if (child := os.fork()) == 0:
        nowhere = os.open(os.devnull, os.O_WRONLY)  # the test reads our output to its end
        os.dup2(nowhere, 1)
        os.dup2(nowhere, 2)
        while not GATE.exists() and GATE.parent.exists():
            time.sleep(0.01)
        os._exit(0)
    note("began")
    return child


def _chat(lines: int, size: int) -> None:
    children = []
    for number in range(2):
        if (child := os.fork()) == 0:
            for line in range(lines):
                print(f"{number}.{line} ".ljust(size, "."))
            logging.getLogger("shop").warning("logged in a child")
            print("unfinished", end="")
            sys.exit(0)
        children.append(child)
    for line in range(lines):
        print(f"p.{line} ".ljust(size, "."))
    for child in children:
        os.waitpid(child, 0)


@task(name="chat_thread")
def chat_thread(lines: int, size: int) -> None:
    _chat(lines, size)


@task(name="chat_process", executor="process")
def chat_process(lines: int, size: int) -> None:
    _chat(lines, size)


@task(name="note_later")
async def note_later() -> None:
    note("ran")


@task(name="enqueue_in_child")
def enqueue_in_child(way: str) -> int:
    """A child enqueues, by either way."""
    id = f"{current_job().id}-{way}"
    if (child := os.fork()) == 0:
        later = note_later.options(job_id=id, queue="mail")
        if way == "sync":
            later.enqueue_sync()
        else:
            asyncio.run(_enqueue(later))
        sys.exit(0)
    return _wait_for(child)


async def _enqueue(later: Any) -> None:
    await later.enqueue()


@task(name="dies_beside_a_program", executor="process")
def dies_beside_a_program() -> None:
    """What it started holds all that it held, and lives on."""
    for number in os.listdir("/proc/self/fd"):
        with contextlib.suppress(OSError):
            os.set_inheritable(int(number), True)
    waits = f"while [ -d {GATE.parent} ] && [ ! -e {GATE} ]; do sleep 0.05; done"
    subprocess.Popen(
        ["sh", "-c", waits],
        close_fds=False,
        start_new_session=True,  # it would be ended with us
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    os.kill(os.getpid(), signal.SIGKILL)


@task(name="closes_all", executor="process")
def closes_all() -> None:
    os.closerange(3, 1_000)
    while not GATE.exists():
        time.sleep(0.01)


def _begin_family() -> None:
    """Begin a pool and a program, say which processes they are, and hold."""
    pool = multiprocessing.get_context("fork").Pool(1)
    with subprocess.Popen(["sleep", "1000"]) as program:
        family = [*(each.pid for each in multiprocessing.active_children()), program.pid]
        GATE.with_name("family").write_text(json.dumps(family))
        note("began")
        pool.map(time.sleep, [1000])


@task(name="begin_family")
def begin_family() -> None:
    _begin_family()


@task(name="begin_family_process", executor="process")
def begin_family_process() -> None:
    _begin_family()


_steps: list[str] = []  # that this process went through since it was forked


def _before_fork() -> None:
    time.sleep(0.01)  # other threads run, as they do when a hook of ours waits


os.register_at_fork(before=_before_fork, after_in_child=lambda: _steps.append("forked"))


def _fork_often(times: int) -> list[int]:
    """How often each child was told that it is one."""
    told = []
    for _ in range(times):
        if (child := os.fork()) == 0:
            os._exit(len(_steps))
        told.append(_wait_for(child))
    return told


@task(name="forks_beside_programs")
async def forks_beside_programs(times: int) -> list[int]:
    """Start programs all the time in which a thread forks."""
    forking = asyncio.create_task(asyncio.to_thread(_fork_often, times))
    while not forking.done():
        program = await asyncio.create_subprocess_exec("true")
        assert await program.wait() == 0
    return await forking


@task(name="end_of_programs")
async def end_of_programs() -> int:
    """How the loop is told of a program's end."""
    program = await asyncio.create_subprocess_exec("sh", "-c", "exit 3")
    return await program.wait()


@task(name="terminates", executor="process")
def terminates() -> int:
    """How a program that it starts ends by a TERM."""
    with subprocess.Popen(["sleep", "60"]) as program:
        program.terminate()
        return program.wait()


_seen: ContextVar[str] = ContextVar("seen", default="nothing")


def _look() -> str:
    before = _seen.get()
    _seen.set(current_job().id)
    return before


@task(name="context")
async def context() -> str:
    return _look()


@task(name="context_thread")
def context_thread() -> str:
    return _look()


@task(name="context_process", executor="process")
def context_process() -> str:
    return _look()
