"""What became of daemons in the last two days, for whoever looks at a chart: bounded, and rare."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import NamedTuple

import msgspec

KEPT = 200  # marks of a store, see `first_to_go`
KEPT_FOR = 48 * 3_600.0  # seconds, as long as the history


class Mark(msgspec.Struct, frozen=True, omit_defaults=True):
    """Something that happened to a process."""

    kind: str  # started, stopped, died, or reloaded
    who: str  # the id of the process
    what: str = ""  # in words
    code: str = ""  # of a start: a stamp of the files that the tasks are in


class Marked(NamedTuple):
    """A mark as a store tells it."""

    at: float  # Unix seconds, by the store's clock
    mark: Mark


_decode = msgspec.json.Decoder(Mark).decode
encode = msgspec.json.Encoder().encode


def id_of(mark: Mark, number: int) -> str:
    """A process starts once, and ends once, and each of its reloads has a number.

    Before the blank is what marks of the same daemon have in common, see `first_to_go`.
    """
    kind = "ended" if mark.kind in {"stopped", "died"} else mark.kind
    daemon, _, life = mark.who.partition("/")
    return f"{kind}:{daemon}:{mark.code} {life}:{number}"


def first_to_go(times: Mapping[str, float]) -> str | None:
    """The id of the mark that goes if there are more than `KEPT`: the oldest of those of which
    there are most. A daemon that starts and dies all the time does not hide the deploy before it.

    Redis and SQLite do it again in their own languages.
    """
    if len(times) <= KEPT:
        return None
    alike = Counter(id.partition(" ")[0] for id in times)
    return min(times, key=lambda id: (-alike[id.partition(" ")[0]], times[id], id))


def marked(at: float, data: bytes) -> Marked | None:
    """A mark; None for one that cannot be read, which hides no others."""
    try:
        return Marked(at, _decode(data))
    except (ValueError, RecursionError):
        return None
