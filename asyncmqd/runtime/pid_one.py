"""Process 1 of a container has a duty of its own: a process that loses its parent is its child.

The daemon does not do it itself: whoever waits for every child takes the exit codes of those that
asyncio, subprocess and multiprocessing wait for. So process 1 forks, and does nothing else.
"""

from __future__ import annotations

import os
import signal
from typing import NoReturn

_FROM_KERNEL = 0x80  # the si_code of what a terminal sends, to each process of its group


def leave_orphans_to_parent() -> None:
    """As process 1: return in a child, and reap and pass on signals until that ends.

    Elsewhere nothing happens. To be called before there are threads.
    """
    if os.getpid() != 1:
        return
    before = signal.pthread_sigmask(signal.SIG_BLOCK, signal.valid_signals())
    child = os.fork()
    if child:
        _be_first(child)
    signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _be_first(child: int) -> NoReturn:
    """End as the child does; the kernel then ends all that is left."""
    while True:
        got = signal.sigwaitinfo(signal.valid_signals())
        if got.si_signo == signal.SIGCHLD:
            _reap(child)
        elif got.si_code != _FROM_KERNEL:
            os.kill(child, got.si_signo)


def _reap(child: int) -> None:
    """Wait for all that have ended."""
    while True:
        try:
            pid, status = os.waitpid(-1, os.WNOHANG)
        except ChildProcessError:
            return
        if pid == 0:
            return
        if pid == child:
            code = os.waitstatus_to_exitcode(status)
            os._exit(code if code >= 0 else 128 - code)
