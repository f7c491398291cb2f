"""How children of ours are started: as new interpreters, which die with their parent.

A fork would carry over threads that are not there, and locks that they held. Each leads a process
group, so that what its jobs have started can be ended with it; one that has children of its own
leads a session, which has the groups of all of them.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import signal
import sys
from pathlib import Path

# Not `-m`: what `make install` lays down is on no path that an interpreter looks at by itself, and
# a PYTHONPATH would be inherited by whatever programs the jobs start.
_BOOT = (
    "import sys; sys.path.insert(0, sys.argv.pop(1));"
    " from asyncmqd.runtime.execution.spawn_child import die_with; die_with(int(sys.argv.pop(1)));"
    " from {module} import main; main()"
)
_PACKAGES = str(Path(__file__).parents[3])  # the directory that holds this very asyncmqd
_PR_SET_PDEATHSIG = 1


def command(module: str, *arguments: str) -> list[str]:
    """The command line of an interpreter that calls `main` of the module, and dies with us."""
    # -P: else the working directory, which others may write, stands before the standard library.
    flags = ["-P", *(["-I"] if sys.flags.isolated else [])]
    boot = _BOOT.format(module=module)
    return [sys.executable, *flags, "-c", boot, _PACKAGES, str(os.getpid()), *arguments]


def die_with(parent: int) -> None:
    """Be killed when the parent dies.

    It says who it is: asked for here, a parent that died while this interpreter started is not it.
    """
    ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:
        os._exit(1)
    if os.getsid(0) != os.getpid():  # else it was started as the leader of a session and a group
        os.setpgid(0, 0)


def end_group(child: int) -> None:
    """Kill what the jobs of a child have started and what is still in its process group.

    The workers of a pool, for example, wait for ever for a parent that was killed. To be called
    before the child ends or right after it: later, another process may have its number.
    """
    with contextlib.suppress(OSError):  # nobody is left, or it had not come to its first line
        os.killpg(child, signal.SIGKILL)


def end_session(child: int) -> None:
    """The same for a child that leads a session: what its own children's jobs have started, too."""
    from asyncmqd.runtime.own_identity import state_of  # a child's start has no need of it

    end_group(child)
    for process in Path("/proc").glob("[0-9]*"):
        if state_of(process.name)[3:4] == [str(child)]:
            with contextlib.suppress(OSError):  # it has ended meanwhile
                os.kill(int(process.name), signal.SIGKILL)


def exit_name(code: int | None) -> str:
    """A return code as people say it: `exit code 1`, `signal SIGKILL`. None: it is not known."""
    if code is None:
        return "an exit code that other code of this process took"
    if code >= 0:
        return f"exit code {code}"
    try:
        return f"signal {signal.Signals(-code).name}"
    except ValueError:
        return f"signal {-code}"
