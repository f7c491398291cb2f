"""Whether a former self is dead: what its heartbeat said of it, against what is known here.

Two hosts may have one machine id, one host name and one path of the control socket: cloned
machines, containers with a fixed host name. To each of them the other looks like its own former
self. So a claim is taken back at once only where its holder's death is proven; everywhere else its
lease decides, as between unrelated processes.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

import msgspec


class Life(msgspec.Struct, frozen=True, kw_only=True):
    """What tells one life of a process from all others. Empty fields are not known."""

    host: str = ""
    pid: int = 0
    start: int = 0  # when it began, in ticks since boot
    boot: str = ""  # of its kernel
    pid_namespace: str = ""
    lock: str = ""  # the lock file that it holds: one that is held twice is held by nobody else


Verdict = Literal["dead", "alive", "unknown"]


def judge(former: Life, own: Life, start_of: Callable[[int], int | None]) -> Verdict:
    """Whether a process that had our name is dead; `own` holds its lock.

    `start_of` tells when a process of ours began, by its pid: 0 if there is none, None if it does
    not show.
    """
    if not former.boot or former.boot != own.boot:
        return "unknown"  # another kernel: nothing that is seen here says anything about it
    if former.lock and former.lock == own.lock:
        return "dead"  # of all that a lock excludes, only one can hold it, and we do
    if not former.pid_namespace or former.pid_namespace != own.pid_namespace:
        return "unknown"
    start = start_of(former.pid)
    if start is None:
        return "unknown"
    return "alive" if start == former.start else "dead"
