"""What identifies this process for `domain.former_self`, and which other processes /proc shows."""

from __future__ import annotations

import os
import socket
from pathlib import Path

from asyncmqd.domain.former_self import Life

_PROC = Path("/proc")


def own_life(lock: int | None = None) -> Life:
    """This process's; `lock` is the descriptor of the lock file that it holds."""
    return Life(
        host=socket.gethostname(),
        pid=os.getpid(),
        start=start_of(os.getpid()) or 0,
        boot=_read("sys/kernel/random/boot_id").strip(),
        pid_namespace=_pid_namespace(),
        lock="" if lock is None else _identity(lock),
    )


def start_of(pid: int) -> int | None:
    """When the process began, in ticks since boot; 0 if there is none, None if it does not show."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return 0
    except PermissionError:
        return None
    fields = state_of(pid)
    if not fields:
        return None
    return 0 if fields[0] in {"Z", "X"} else int(fields[19])  # dead, but not reaped


def state_of(pid: int | str) -> list[str]:
    """What /proc/PID/stat tells, from the third field (the state) on; empty if it is gone."""
    # The name before it, in parentheses, may contain anything.
    return _read(f"{pid}/stat").rpartition(")")[2].split()


def resident_memory() -> int:
    """Bytes of this process that are in memory; 0 if it does not show."""
    pages = _read("self/statm").split()
    return int(pages[1]) * os.sysconf("SC_PAGE_SIZE") if len(pages) > 1 else 0


def _pid_namespace() -> str:
    try:
        return str((_PROC / "self/ns/pid").readlink())
    except OSError:
        return ""


def _identity(fd: int) -> str:
    found = os.fstat(fd)
    return f"{found.st_dev}:{found.st_ino}"


def _read(name: str) -> str:
    try:
        return (_PROC / name).read_text("ascii", errors="replace")
    except OSError:
        return ""
