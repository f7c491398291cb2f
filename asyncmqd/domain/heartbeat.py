"""What a process that serves queues says of itself in the store, and how it is read."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from collections.abc import Set as AbstractSet
from typing import TypeVar

import msgspec

from asyncmqd.domain.did_you_mean import did_you_mean
from asyncmqd.domain.former_self import Life
from asyncmqd.domain.told_options import ToldOptions

Names = TypeVar("Names", bound=Sequence[str])

NOBODY_KNOWS = "no worker there knows its task"
# Characters of all names of tasks together: a process tells them every 10 s, and reads all others'.
NAMES_LIMIT = 8_000


BEAT = 10.0  # seconds between heartbeats
STOPPING, ISOLATING = "stopping", "isolating"


class Load(msgspec.Struct, frozen=True, omit_defaults=True):
    """A queue's share of a process, at the moment of a heartbeat."""

    concurrency: int = 0
    running: int = 0
    held: str = ""  # why it claims nothing, or less than it has slots for; `STOPPING`, `ISOLATING`
    rate_limit: float | None = None  # starts in each `rate_interval`; None: no limit
    rate_interval: float = 1.0  # seconds
    opens: float = 0.0  # seconds until the rate limit allows a start; 0: it does, or never will
    weight: int = 0  # its part of `max_concurrency`; 0: not known, as there is none
    max_concurrency: int | None = None  # jobs of all queues of the process; None: no limit


def together(loads: Sequence[Load]) -> Load:
    """What several workers of a queue in one process come to; the first one tells the reasons."""
    if len(loads) == 1:
        return loads[0]
    return Load(
        concurrency=sum(each.concurrency for each in loads),
        running=sum(each.running for each in loads),
        held=loads[0].held if all(each.held for each in loads) else "",
    )


class About(msgspec.Struct, frozen=True, omit_defaults=True):
    """What a daemon says of itself beside its queues."""

    phase: str = ""  # starting, ready or draining
    generation: int = 0  # of its configuration
    unit: str = ""  # of systemd
    restarts: int | None = None  # of the unit, by systemd itself; None: not known


class Serving(Life, frozen=True, kw_only=True, omit_defaults=True):
    """A heartbeat: what one process says. Fields that are None or empty are not known."""

    lease: float = 0.0  # for how many seconds it claims
    queues: dict[str, Load] | None = None
    tasks: tuple[str, ...] | None = None  # None, too, if they are too many to tell
    declared: dict[str, ToldOptions] | None = (
        None  # by tasks that declare something, if not too many
    )
    degraded: str = ""  # what is wrong with its store, as it sees it
    memory: int = 0  # bytes that are resident
    about: About | None = None  # what only a daemon says
    degraded_since: float | None = None  # Unix time
    restarting: str = ""  # why it ends, to be started anew
    restarting_since: float | None = None  # Unix time

    def serves(self, queue: str) -> bool:
        """Whether it says that it serves the queue."""
        return self.queues is not None and queue in self.queues

    def may_serve(self, queues: AbstractSet[str]) -> AbstractSet[str]:
        """Those of the queues that it says to serve; all, if it says nothing."""
        return queues if self.queues is None else queues & self.queues.keys()


_decoder = msgspec.json.Decoder(Serving)


def serving_of(info: bytes) -> Serving:
    """What a heartbeat says; a corrupted one says nothing, and hides no others."""
    try:
        return _decoder.decode(info)
    except (ValueError, RecursionError):
        return Serving()


def told(names: Names) -> Names | None:
    """The names of a process's tasks as far as a heartbeat has room: all of them or none."""
    return names if sum(map(len, names)) <= NAMES_LIMIT else None


def unknown(task: str, queue: str, processes: Iterable[Serving]) -> str | None:
    """That no worker of the queue knows the task, in words; None if one does or may.

    If nobody serves the queue, nobody can tell.
    """
    there = [process for process in processes if process.serves(queue)]
    names: set[str] = set()
    for process in there:
        if process.tasks is None:
            return None
        names.update(process.tasks)
    if not there or task in names:
        return None
    return f"{NOBODY_KNOWS}{did_you_mean(task, names)}"
