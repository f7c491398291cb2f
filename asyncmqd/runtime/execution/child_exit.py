"""How the end of a child process is noticed, whatever the code of jobs does to SIGCHLD."""

from __future__ import annotations

import asyncio
import contextlib
import os

GRACE = 0.25  # seconds in which the loop may say it by itself


class ChildEnd:
    """The end of one child; to be made right after its start.

    Loops learn of it by SIGCHLD, and ask for the exit code then. The code of a job may take that
    signal for itself, or wait for all children that there are. A pidfd tells all the same.
    """

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self._process = process
        self._told = asyncio.Event()
        self._came = False
        self._code: int | None = None
        self._tells = True
        try:
            self._fd = os.pidfd_open(process.pid)
        except ProcessLookupError:  # it has ended, and somebody knows
            self._told.set()
        except OSError:  # no descriptor is left: the loop's way has to do
            self._tells = False
        else:
            asyncio.get_running_loop().add_reader(self._fd, self._tell)

    def _tell(self) -> None:
        asyncio.get_running_loop().remove_reader(self._fd)
        os.close(self._fd)
        self._told.set()

    @property
    def came(self) -> bool:
        """Whether it is known to have ended."""
        return self._came or self._process.returncode is not None

    async def wait(self) -> int | None:
        """Wait for it; the exit code, negative for a signal. None: somebody else took the code."""
        if not self._tells:
            return await self._process.wait()
        await self._told.wait()
        if self._came:
            return self._code
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(GRACE):
                await self._process.wait()
        if not self._came:  # nobody else waited here, too
            self._came = True
            self._code = self._process.returncode
            if self._code is None:
                self._code = _reap(self._process.pid)
        return self._code


def _reap(pid: int) -> int | None:
    with contextlib.suppress(ChildProcessError):
        ended, status = os.waitpid(pid, os.WNOHANG)
        if ended:
            return os.waitstatus_to_exitcode(status)
    return None
