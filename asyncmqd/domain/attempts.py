"""What a job's record keeps of its runs that did not end it well: bounded, the newest last.

A line for each, of the moments that the store knows and of what the domain says. Only a run that
fails, or that comes back, writes one: a job that succeeds at first costs nothing. Redis does
`joined` again in Lua (_attempts.lua).

Most jobs fail by the same error again and again. So what is told of one ends with its traceback,
behind a stamp of it, and an older line with that stamp loses its own.

The failure of the last one is in the record's `error`, too. Lists, searches and results read it
there, without all that is kept here; and a replay need not move it to where it would be missing.
"""

from __future__ import annotations

import re
import zlib
from typing import NamedTuple

import msgspec

from asyncmqd.domain.job import Claim, Failure

MOST = 10  # attempts that are kept of a job, see `joined`
MOST_BYTES = 65_536  # of all that is kept: then the oldest go first, and the newest stays
HEAD = 34  # bytes of a line before what is told
# How those begin that came back without an error. A job may be released, or put off, a thousand
# times, and it is the errors that somebody looks for.
WITHOUT_ERROR = (b'{"edge":"release"', b'{"edge":"snooze"')


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
_Traceback = tuple[str, bool, str]
"""The beginning of it, whether the message follows, and the end."""

_decode_traceback = msgspec.json.Decoder(_Traceback).decode
_FRAME = re.compile(r'^[ |+]*File ".*', re.MULTILINE)


def told_of(claim: Claim, edge: str, failure: Failure | None, delay: float) -> bytes:
    """What a store is told of an attempt that ends by this edge."""
    if failure is None or not failure.traceback:
        return _encode(Told(edge, claim.attempt, claim.worker, failure, delay))
    bare = msgspec.structs.replace(failure, traceback="")
    told = _encode(Told(edge, claim.attempt, claim.worker, bare, delay))
    text = failure.traceback.rstrip("\n")
    frames = _FRAME.findall(text) or [text]
    stamp = zlib.crc32("\n".join(frames).encode())
    # Its last words are those of the error, which differ where the frames are the same.
    cut = text.removesuffix(failure.message)
    parts = cut, cut != text, failure.traceback[len(text) :]
    return b"%b\t%08x\t%b" % (told, stamp, _encode(parts))


def joined(kept: bytes, started: int, ended: int, told: bytes) -> bytes:
    """What is kept after one attempt more; its two moments are microseconds.

    Of more than `MOST` the oldest without an error goes, but not the newest of all.
    """
    lines = kept.split(b"\n") if kept else []
    if stamp := told.partition(b"\t")[2][:8]:
        lines = [_without_traceback(line, stamp) for line in lines]
    lines.append(b"%016d %016d %b" % (started, ended, told))
    while len(lines) > MOST:
        older = (at for at, line in enumerate(lines[:-1]) if line.startswith(WITHOUT_ERROR, HEAD))
        del lines[next(older, 0)]
    while len(lines) > 1 and sum(map(len, lines)) + len(lines) - 1 > MOST_BYTES:
        del lines[0]
    return b"\n".join(lines)


def _without_traceback(line: bytes, stamp: bytes) -> bytes:
    head, _, rest = line.partition(b"\t")
    return b"%b\t%b" % (head, stamp) if rest[:8] == stamp else line


def attempts_of(kept: bytes) -> list[Attempt]:
    """The attempts that are kept, the oldest first. What cannot be read is left out."""
    found: list[Attempt] = []
    tracebacks: dict[bytes, _Traceback] = {}  # by their stamps, of later lines
    for line in reversed(kept.split(b"\n")) if kept else ():
        try:
            found.append(_attempt(line, tracebacks))
        except (ValueError, RecursionError):  # msgspec's errors are ValueErrors
            continue
    return found[::-1]


def _attempt(line: bytes, tracebacks: dict[bytes, _Traceback]) -> Attempt:
    started, ended, rest = line.split(b" ", 2)
    head, _, rest = rest.partition(b"\t")
    stamp, _, traceback = rest.partition(b"\t")
    told = _decode(head)
    if traceback:
        tracebacks[stamp] = _decode_traceback(traceback)
    if told.failure and stamp in tracebacks:
        begin, is_cut, end = tracebacks[stamp]
        whole = begin + (told.failure.message if is_cut else "") + end
        failure = msgspec.structs.replace(told.failure, traceback=whole)
        told = msgspec.structs.replace(told, failure=failure)
    return Attempt(int(started) / 1e6, int(ended) / 1e6, told)


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
