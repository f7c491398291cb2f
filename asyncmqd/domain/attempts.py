"""What a job's record keeps of its runs that did not end it well: bounded, the newest last.

A line for each, of the moments that the store knows and of what the domain says. Only a run that
fails, or that comes back, writes one: a job that succeeds at first costs nothing. Redis does
`joined` again in Lua (_attempts.lua).
"""

from __future__ import annotations

from typing import NamedTuple

import msgspec

from asyncmqd.domain.job import Claim, Failure

MOST = 10  # attempts that are kept of a job
MOST_BYTES = 65_536  # of all that is kept: then the oldest go first, and the newest stays


class Told(msgspec.Struct, frozen=True, omit_defaults=True):
    """What the domain says of an attempt."""

    edge: str  # how it ended: retry, fail, recover, quarantine, release or snooze
    number: int  # of the attempt
    worker: str = ""
    failure: Failure | None = None
    delay: float = 0.0  # seconds until the next one may start


class Attempt(NamedTuple):
    """An attempt as it is shown. Times are Unix seconds, by the store's clock."""

    started: float  # when it was claimed
    ended: float
    told: Told


_encode = msgspec.json.Encoder().encode
_decode = msgspec.json.Decoder(Told).decode


def told_of(claim: Claim, edge: str, failure: Failure | None, delay: float) -> bytes:
    """What a store is told of an attempt that ends by this edge."""
    return _encode(Told(edge, claim.attempt, claim.worker, failure, delay))


def joined(kept: bytes, started: int, ended: int, told: bytes) -> bytes:
    """What is kept after one attempt more; its two moments are microseconds."""
    lines = [*(kept.split(b"\n") if kept else ()), b"%016d %016d %b" % (started, ended, told)]
    del lines[:-MOST]
    while len(lines) > 1 and sum(map(len, lines)) + len(lines) - 1 > MOST_BYTES:
        del lines[0]
    return b"\n".join(lines)


def attempts_of(kept: bytes) -> list[Attempt]:
    """The attempts that are kept, the oldest first. What cannot be read is left out."""
    found = []
    for line in kept.split(b"\n") if kept else ():
        try:
            started, ended, told = line.split(b" ", 2)
            found.append(Attempt(int(started) / 1e6, int(ended) / 1e6, _decode(told)))
        except (ValueError, RecursionError):  # msgspec's errors are ValueErrors
            continue
    return found


def without_words(kept: bytes, hidden: str) -> bytes:
    """The same without what the application wrote: for `hide_arguments`."""
    return b"\n".join(
        b"%016d %016d %b"
        % (
            round(each.started * 1e6),
            round(each.ended * 1e6),
            _encode(msgspec.structs.replace(each.told, failure=_hidden(each.told.failure, hidden))),
        )
        for each in attempts_of(kept)
    )


def _hidden(failure: Failure | None, hidden: str) -> Failure | None:
    return failure and Failure(failure.type, hidden)
