"""How the limits of a queue are divided between child processes: a pure function."""

from __future__ import annotations

import math
import zlib
from collections.abc import Mapping

import msgspec

from asyncmqd.domain.queue_options import QueueOptions


def share_of(
    wanted: Mapping[str, QueueOptions], number: int, processes: int
) -> dict[str, QueueOptions]:
    """What child `number` of so many, counted from 1, serves: its queues with its limits.

    Concurrency, rate limit and burst of all children add up to those of the queue. A queue of which
    a child gets nothing is not there.
    """
    shares = {
        queue: _share(options, _seat(queue, number, processes), processes)
        for queue, options in wanted.items()
    }
    return {queue: share for queue, share in shares.items() if share is not None}


def _seat(queue: str, number: int, processes: int) -> int:
    """The place of a child at a queue, from 0: who sits first gets what cannot be divided.

    Each queue begins with another child, so that many small ones spread over all of them.
    """
    return (number - 1 - zlib.crc32(queue.encode())) % processes


def _share(options: QueueOptions, seat: int, processes: int) -> QueueOptions | None:
    burst = _burst(options)
    parties = min(processes, options.concurrency)
    if burst is not None:
        # A bucket of less than one token would let nothing through.
        parties = min(parties, math.floor(burst))
    if seat >= parties:
        return None
    return msgspec.structs.replace(
        options,
        concurrency=_dealt(options.concurrency, seat, parties),
        rate_limit=None if options.rate_limit is None else options.rate_limit / parties,
        burst=None if burst is None else _dealt_tokens(burst, seat, parties),
        # Schedules are safe with several, custom scanners are the application's.
        scanners=options.scanners if seat == 0 else (),
    )


def _burst(options: QueueOptions) -> float | None:
    """The bucket's size; None where there is none to divide."""
    if not options.rate_limit:
        return None
    return max(1.0, options.rate_limit if options.burst is None else options.burst)


def _dealt(whole: int, seat: int, parties: int) -> int:
    """As equal as whole numbers can be: a lower seat has at most one more."""
    return whole // parties + (seat < whole % parties)


def _dealt_tokens(burst: float, seat: int, parties: int) -> float:
    whole = math.floor(burst)
    rest = burst - whole if seat == 0 else 0.0
    return _dealt(whole, seat, parties) + rest
