"""What became of daemons in the last two days, for whoever looks at a chart: bounded, and rare."""

from __future__ import annotations

from typing import NamedTuple

import msgspec

KEPT = 200  # marks of a store: of more, the oldest go
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


def marked(at: float, data: bytes) -> Marked | None:
    """A mark; None for one that cannot be read, which hides no others."""
    try:
        return Marked(at, _decode(data))
    except (ValueError, RecursionError):
        return None
