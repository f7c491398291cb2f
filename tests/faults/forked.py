"""Daemons and producers as forks of one process that has imported everything already.

What runs is the whole daemon, from its command line on; only the half second that Python takes to
import it is saved, which is most of what a test costs that starts a daemon again and again.
"""

from __future__ import annotations

import asyncio
import multiprocessing
import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable
from multiprocessing.process import BaseProcess
from multiprocessing.reduction import DupFd
from typing import IO, Any, cast

from tests.daemon.harness import LIMIT, Daemon

_context = multiprocessing.get_context("forkserver")
_context.set_forkserver_preload(["tests.faults.preloaded"])


class Forked:
    """As much of `subprocess.Popen` as the harness uses."""

    def __init__(self, process: BaseProcess, stdout: IO[bytes], stderr: IO[bytes]) -> None:
        self._process = process
        self.stdout = stdout
        self.stderr = stderr
        self.pid = cast("int", process.pid)

    def send_signal(self, number: signal.Signals) -> None:
        if self._process.exitcode is None:
            os.kill(self.pid, number)

    def kill(self) -> None:
        self.send_signal(signal.SIGKILL)

    def poll(self) -> int | None:
        return self._process.exitcode

    def wait(self, timeout: float) -> int:
        self._process.join(timeout)
        if self._process.exitcode is None:
            raise subprocess.TimeoutExpired(["asyncmqd"], timeout)
        return self._process.exitcode


class ForkedDaemon(Daemon):
    """`asyncmqd run`, forked."""

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self._past: list[dict[str, Any]] = []

    @property
    def history(self) -> list[dict[str, Any]]:
        """What it has logged in all its lives."""
        return [*self._past, *self.events]

    def start(self, *, ready: bool = True, read: bool = True) -> ForkedDaemon:
        self.kill()  # if it still lives; and what is left of the last life is closed
        self._past += self.events
        super().start(ready=ready, read=read)
        return self

    output = ""  # a file that takes what it logs; a pipe to us if there is none

    def launch(self) -> subprocess.Popen[bytes]:
        (out, out_end), (errors, errors_end) = os.pipe(), os.pipe()
        if self.output:
            os.close(out_end)
            out_end = os.open(self.output, os.O_WRONLY)
        process = self._fork(["run", "--config", str(self.config)], out_end, errors_end)
        return cast(
            "subprocess.Popen[bytes]",
            Forked(process, os.fdopen(out, "rb"), os.fdopen(errors, "rb")),
        )

    def cli(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        command = [*arguments, "--config", str(self.config)]
        with tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as errors:
            process = self._fork(command, os.dup(out.fileno()), os.dup(errors.fileno()))
            code = ended(process)
            said = [(file.seek(0), file.read().decode())[1] for file in (out, errors)]
        return subprocess.CompletedProcess(command, code, *said)

    def _fork(self, command: list[str], out: int, errors: int) -> BaseProcess:
        """Begin `asyncmqd COMMAND`, which writes to these; they are its own from now on."""
        ends = [DupFd(out), DupFd(errors)]
        process = _context.Process(  # type: ignore[attr-defined]
            target=_run, args=(command, self.environ, str(self.place), *ends)
        )
        process.start()
        os.close(out)
        os.close(errors)
        return cast("BaseProcess", process)


def _run(command: list[str], environ: dict[str, str], place: str, out: Any, errors: Any) -> None:
    """Be `asyncmqd COMMAND` in that environment and directory."""
    for number, end in ((1, out), (2, errors)):
        inherited = end.detach()
        os.dup2(inherited, number)
        os.close(inherited)
    os.environ.clear()
    os.environ.update(environ)
    os.chdir(place)
    sys.argv = ["asyncmqd", *command]
    from asyncmqd.cli.asyncmqd import main

    main()


def fork(target: Callable[..., Any], *args: Any) -> BaseProcess:
    """Begin a coroutine function in a process of its own."""
    process = _context.Process(target=_play, args=(target, args), daemon=True)  # type: ignore[attr-defined]
    process.start()
    return cast("BaseProcess", process)


def _play(target: Callable[..., Any], args: tuple[Any, ...]) -> None:
    asyncio.run(target(*args))


def ended(process: BaseProcess, limit: float = LIMIT) -> int:
    """Its exit code, once it has one."""
    process.join(limit)
    assert process.exitcode is not None, f"it still runs after {limit} s"
    return process.exitcode
