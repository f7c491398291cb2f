"""Programs that code starts by the loop, begun as `subprocess` begins them.

uvloop's own way is a fork that runs what is registered with `os.register_at_fork`. While it does so
in the parent, another thread may fork, and the child of that thread then takes itself for the
program: it goes through the steps of a forked child twice, and Python aborts it from 3.13 on.
"""

from __future__ import annotations

import asyncio
import logging
import os
import subprocess
import threading
from asyncio.base_subprocess import BaseSubprocessTransport
from collections.abc import Iterable
from typing import Any

import uvloop

UNKNOWN = 255  # the code of a program of which nobody can tell how it ended, as in asyncio
_logger = logging.getLogger("asyncio")


class ProgramsLoop(uvloop.Loop):
    """A loop that starts programs without a fork hook, and learns of their end without SIGCHLD."""

    _debug = False  # asyncio's two functions look at it
    subprocess_exec: Any = asyncio.BaseEventLoop.subprocess_exec
    subprocess_shell: Any = asyncio.BaseEventLoop.subprocess_shell

    async def _make_subprocess_transport(self, *how: Any, **options: Any) -> _Program:
        """What those two call."""
        connected = self.create_future()
        program = _Program(self, *how, **options, waiter=connected)  # type: ignore[misc]
        self._watch(program)
        try:
            await connected
        except BaseException:
            program.close()
            await program.ended.wait()
            raise
        return program

    def _watch(self, program: _Program) -> None:
        try:
            pidfd = os.pidfd_open(program.popen.pid)
        except OSError:  # no descriptor is left, or the kernel is older than 5.3
            self._watch_by_thread(program)
        else:
            self.add_reader(pidfd, self._take_end, program, pidfd)

    def _take_end(self, program: _Program, pidfd: int) -> None:
        self.remove_reader(pidfd)
        os.close(pidfd)
        program.take_end(program.popen.wait())

    def _watch_by_thread(self, program: _Program) -> None:
        try:
            threading.Thread(
                target=self._wait_for, args=(program,), name="asyncmqd-program", daemon=True
            ).start()
        except RuntimeError:  # no thread is left either
            program.popen.kill()
            program.take_end(program.popen.wait())
            raise

    def _wait_for(self, program: _Program) -> None:
        code = program.popen.wait()
        try:
            self.call_soon_threadsafe(program.take_end, code)
        except RuntimeError:  # the loop was closed
            return


class _Program(BaseSubprocessTransport):
    """A running program. `wait` returns at its end, whoever still holds its pipes."""

    popen: _Popen

    def _start(self, args: Any, **options: Any) -> None:  # type: ignore[override]
        """What the constructor calls. Its input is a pipe: what `/dev/stdin` names can be opened.

        uvloop's own is a socket, which cannot.
        """
        self.ended = asyncio.Event()
        self.popen = self._proc = _Popen(args, **options)

    def get_pipe_transport(self, fd: int) -> Any:
        """The pipe to that descriptor of it, if there is one."""
        pipe = super().get_pipe_transport(fd)
        return _Input(pipe) if fd == 0 and pipe is not None else pipe

    def take_end(self, code: int) -> None:
        """It has ended."""
        self._process_exited(code)
        self.ended.set()

    async def _wait(self) -> int:
        """What `wait` of asyncio's `Process` calls."""
        await self.ended.wait()
        return self.popen.wait()


class _Popen(subprocess.Popen[bytes]):
    """One that does not call it a success when somebody else has waited for its end.

    That is code which waits for all children, or ignores SIGCHLD: then the kernel keeps no code.
    """

    def poll(self) -> int | None:
        """Its code, if it has ended."""
        self._look(os.WNOHANG)
        return super().poll()

    def wait(self, timeout: float | None = None) -> int:
        """Its code, once it has ended."""
        self._look(0)
        return super().wait(timeout)

    def _look(self, how: int) -> None:
        if self.returncode is not None:
            return
        try:
            os.waitid(os.P_PID, self.pid, os.WEXITED | os.WNOWAIT | how)
        except ChildProcessError:
            self.returncode = UNKNOWN
            _logger.warning(
                "program with pid %d: expected to learn how it ended, got nothing: other code has"
                " waited for it, or ignores SIGCHLD; its code is told as %d",
                self.pid,
                UNKNOWN,
            )


class _Input:
    """Its standard input. To write to one that it has closed is no error until `drain`.

    As in asyncio; uvloop raises a RuntimeError, which `communicate` does not expect.
    """

    def __init__(self, pipe: Any) -> None:
        self._pipe = pipe

    def __getattr__(self, name: str) -> Any:
        return getattr(self._pipe, name)

    def write(self, data: bytes) -> None:
        """Write, as long as anybody can read."""
        if not self._pipe.is_closing():
            self._pipe.write(data)

    def writelines(self, data: Iterable[bytes]) -> None:
        """The same for several."""
        self.write(b"".join(data))
