"""What happened beside the jobs in the last two days: pauses, reloads, starts and deaths."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Sequence

import msgspec

from asyncmqd.admin.operations import OperationView, list_operations
from asyncmqd.admin.queues import Names, check_known
from asyncmqd.admin.time_format import rfc3339
from asyncmqd.backends.base import BaseBackend
from asyncmqd.domain.marks import Marked

TOGETHER = 10.0  # seconds within which the ends of a daemon's child processes are one
KINDS = ("paused", "resumed", "deployed", "started", "reloaded", "stopped", "died")


class Happening(msgspec.Struct, frozen=True, kw_only=True):
    """Something that may explain what a chart shows."""

    at: str
    kind: str  # one of KINDS
    queue: str | None  # None: it happened to a daemon
    who: str  # who did it, or the daemon
    what: str | None


async def list_marks(
    store: BaseBackend, queue: str | None, hours: float, elsewhere: Names = tuple
) -> list[Happening]:
    """What happened to a queue, or to all of them. Raises NotFound for one that nobody knows."""
    if queue is not None:
        await check_known(store, queue, elsewhere)
    return await happenings(store, await list_operations(store, queue), hours)


async def happenings(
    store: BaseBackend, operations: Sequence[OperationView], hours: float
) -> list[Happening]:
    """What daemons noted, and which of the operations pause or resume; the newest first."""
    now, marks = await asyncio.gather(store.now(), store.marks())
    first = rfc3339(now - hours * 3_600) or ""
    found = [*_of_daemons(_together(marks)), *_of_operators(operations)]
    return sorted((e for e in found if e.at >= first), key=lambda each: each.at, reverse=True)


def _together(marks: Sequence[Marked]) -> list[Marked]:
    """The same, with one for the child processes of a daemon that ended at about the same time."""
    found: list[Marked] = []
    ends: dict[tuple[str, str], tuple[int, int]] = {}  # where the last one stands, and of how many
    for at, mark in marks:
        daemon, _, process = mark.who.partition("/")
        if mark.kind in {"stopped", "died"} and "/" in process:
            place, count = ends.get((mark.kind, daemon), (-1, 0))
            if count and at - found[place].at <= TOGETHER:
                one = msgspec.structs.replace(mark, who=daemon, what=f"{count + 1} processes")
                found[place] = found[place]._replace(mark=one)
            else:
                place, count = len(found), 0
                found.append(Marked(at, mark))
            ends[mark.kind, daemon] = place, count + 1
        else:
            found.append(Marked(at, mark))
    return found


def _of_daemons(marks: Sequence[Marked]) -> Iterator[Happening]:
    """A start with other files than those of the same daemon's last start is a deploy.

    Of one that has not started yet, as in a new container: with files that no daemon has had.
    """
    last: dict[str, str] = {}  # by daemon
    for at, mark in marks:
        kind = mark.kind
        if kind == "started" and mark.code:
            daemon = mark.who.partition("/")[0]
            known = {last[daemon]} if daemon in last else {*last.values()}
            kind = "deployed" if known and mark.code not in known else kind
            last[daemon] = mark.code
        if kind in KINDS:
            at_text, what = rfc3339(at) or "", mark.what or None
            yield Happening(at=at_text, kind=kind, queue=None, who=mark.who, what=what)


def _of_operators(operations: Sequence[OperationView]) -> Iterator[Happening]:
    for each in operations:
        if each.verb in {"pause", "resume"} and each.begun:
            yield Happening(
                at=each.begun,
                kind=f"{each.verb}d",
                queue=each.queue,
                who=each.by or "",
                what=each.reason,
            )
