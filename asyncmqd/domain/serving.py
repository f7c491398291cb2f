"""What a process that serves queues says of itself in the store, and how it is read."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import msgspec

from asyncmqd.domain.names import did_you_mean

NOBODY_KNOWS = "no worker there knows its task"
# Characters of all names of tasks together: a process tells them every 10 s, and reads all others'.
NAMES_LIMIT = 8_000


class Load(msgspec.Struct, frozen=True):
    """A queue's share of a process."""

    concurrency: int = 0
    running: int = 0


class Serving(msgspec.Struct, frozen=True, kw_only=True):
    """One process. `tasks` is None for one that has too many to tell, or is of another release."""

    host: str | None = None
    pid: int | None = None
    queues: dict[str, Load] = {}
    tasks: tuple[str, ...] | None = None


_decoder = msgspec.json.Decoder(Serving)


def serving_of(info: bytes) -> Serving:
    """What a heartbeat says; a spoilt one says nothing, and hides no others."""
    try:
        return _decoder.decode(info)
    except (ValueError, RecursionError):
        return Serving()


def told(names: Sequence[str]) -> Sequence[str] | None:
    """The names of a process's tasks as far as a heartbeat has room: all of them or none."""
    return names if sum(map(len, names)) <= NAMES_LIMIT else None


def unknown(task: str, queue: str, processes: Iterable[Serving]) -> str | None:
    """That no worker of the queue knows the task, in words; None if one does or may.

    If nobody serves the queue, nobody can tell.
    """
    there = [process for process in processes if queue in process.queues]
    names: set[str] = set()
    for process in there:
        if process.tasks is None:
            return None
        names.update(process.tasks)
    if not there or task in names:
        return None
    return f"{NOBODY_KNOWS}{did_you_mean(task, names)}"
