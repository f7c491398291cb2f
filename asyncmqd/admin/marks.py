"""What happened beside a queue's jobs in the last two days: pauses, reloads, starts and deaths."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import msgspec

from asyncmqd.admin.operations import OperationView
from asyncmqd.admin.time_format import rfc3339
from asyncmqd.backends.base import BaseBackend
from asyncmqd.domain.marks import Marked

KINDS = ("paused", "resumed", "deployed", "started", "reloaded", "stopped", "died")


class Happening(msgspec.Struct, frozen=True, kw_only=True):
    """Something that may explain what a chart shows."""

    kind: str  # one of KINDS
    at: str
    who: str
    what: str | None


async def happenings(
    store: BaseBackend, operations: Sequence[OperationView], hours: float
) -> list[Happening]:
    """What daemons noted, and what operators did to a queue; the newest first."""
    first = rfc3339(await store.now() - hours * 3_600) or ""
    found = [*_of_daemons(await store.marks()), *_of_operators(operations)]
    return sorted((e for e in found if e.at >= first), key=lambda each: each.at, reverse=True)


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
            yield Happening(kind=kind, at=rfc3339(at) or "", who=mark.who, what=mark.what or None)


def _of_operators(operations: Sequence[OperationView]) -> Iterator[Happening]:
    for each in operations:
        if each.verb in {"pause", "resume"} and each.begun:
            kind = f"{each.verb}d"
            yield Happening(kind=kind, at=each.begun, who=each.by or "", what=each.reason)
