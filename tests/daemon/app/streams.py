"""Code that takes the standard streams for what they are in every program."""

from __future__ import annotations

import codecs
import faulthandler
import io
import logging
import os
import signal
import subprocess
import sys
from typing import Any

import click
import rich

from asyncmqd import task

print("imported")
faulthandler.enable()
sys.stdout.reconfigure(encoding="utf-8", line_buffering=True)
WRAPPED = io.TextIOWrapper(sys.stdout.buffer, encoding="utf-8", line_buffering=True)
WRITER = codecs.getwriter("utf-8")(sys.stdout.detach())
io.TextIOWrapper(sys.stdout.buffer)  # given up at once, by which a file is closed
LOGGER = logging.getLogger("streams")
LOGGER.addHandler(logging.StreamHandler(sys.stderr))
LOGGER.propagate = False


def _print_in_all_ways() -> list[Any]:
    print("by wrapper", file=WRAPPED)
    WRITER.write("by codec\n")
    LOGGER.warning("by handler")
    print("by first stream", file=sys.__stdout__)
    for part in ("by ö\n".encode()[:4], "by ö\n".encode()[4:]):
        sys.stdout.buffer.write(part)
    for percent in range(0, 101, 10):
        print(f"\rby bar {percent}%", end="")
    print()
    sys.stdout.writelines(["by ", "parts\n"])
    click.echo("by click")
    rich.print("by rich")
    stream = sys.stdout
    return [stream.encoding, stream.isatty(), stream.writable(), stream.closed, stream.name]


def _run_programs() -> None:
    say = ["sh", "-c", "echo program $0; echo error $0 >&2"]
    subprocess.run([*say, "told"], stdout=sys.stdout, stderr=sys.stderr, check=True)
    subprocess.run([*say, "inherits"], stderr=subprocess.STDOUT, check=True)
    os.write(1, b"by number\n")
    # More than a pipe holds, while nothing else of this process may run.
    much = r"print(('x' * 9_000 + '\n') * 300 + 'the end')"
    subprocess.run([sys.executable, "-c", much], stdout=sys.stdout, check=True)


def _use() -> list[Any]:
    answers = _print_in_all_ways()
    _run_programs()
    return answers


@task(name="use")
async def use() -> list[Any]:
    return _use()


@task(name="use_thread")
def use_thread() -> list[Any]:
    return _use()


@task(name="use_process", executor="process")
def use_process() -> list[Any]:
    return _use()


@task(name="crash_process", executor="process")
def crash_process() -> None:
    os.kill(os.getpid(), signal.SIGSEGV)


@task(name="outlives")
def outlives() -> int:
    """Of a number that was kept, and of what goes on after the job."""
    number = sys.stdout.fileno()
    subprocess.Popen(["sh", "-c", "read x < $0; echo late", os.environ["GATE"]], stdout=number)
    return number


@task(name="writes")
def writes(number: int) -> None:
    os.write(number, b"to an old number\n")


@task(name="forks")
def forks() -> int:
    number = sys.stdout.fileno()
    if (child := os.fork()) == 0:
        os.write(number, b"by fork\n")
        return 0  # where the parent would let go of what it holds for the job
    return os.waitpid(child, 0)[1]


@task(name="complain")
def complain() -> str:
    """Have a program write to the standard error that it inherits; what it has read before."""
    told = ["sh", "-c", "head -c 4; echo complaint >&2"]
    return subprocess.run(told, check=True, stdout=subprocess.PIPE, text=True).stdout
