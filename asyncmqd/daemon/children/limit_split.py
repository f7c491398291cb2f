"""How the limits of a queue are divided between child processes: a pure function."""

from __future__ import annotations

import itertools
import math
import zlib
from collections.abc import Mapping

import msgspec

from asyncmqd.domain.queue_options import QueueOptions


def share_of(
    wanted: Mapping[str, QueueOptions], number: int, processes: int, slots: int | None = None
) -> dict[str, QueueOptions]:
    """What child `number` of so many, counted from 1, serves: its queues with its limits.

    Concurrency, rate limit and burst of all children add up to those of the queue. A queue of which
    a child gets nothing is not there. If the daemon has so few `slots` that they are not enough for
    each queue in each child, a queue is served by fewer children, and no child serves more queues
    than it has slots.
    """
    parties = {queue: _parties(options, processes) for queue, options in wanted.items()}
    first = {queue: zlib.crc32(queue.encode()) for queue in wanted}
    if slots is not None and wanted and slots < len(wanted) * processes:
        most = max(1, slots // len(wanted))
        parties = {queue: min(most, count) for queue, count in parties.items()}
        counts = itertools.accumulate(parties.values(), initial=0)
        first = dict(zip(parties, counts, strict=False))
    shares = {}
    for queue, options in wanted.items():
        # Who sits first gets what cannot be divided. Each queue begins with another child, so that
        # many small ones spread over all of them.
        seat = (number - 1 - first[queue]) % processes
        if seat < parties[queue]:
            shares[queue] = _share(options, seat, parties[queue])
    return shares


def slots_of(slots: int | None, number: int, processes: int) -> int | None:
    """How many of the daemon's slots child `number` has: those of all children add up."""
    return None if slots is None else _dealt(slots, number - 1, processes)


def _parties(options: QueueOptions, processes: int) -> int:
    """How many children can have a part of the queue."""
    burst = _burst(options)
    # A bucket of less than one token would let nothing through.
    return min(processes, options.concurrency, processes if burst is None else math.floor(burst))


def _share(options: QueueOptions, seat: int, parties: int) -> QueueOptions:
    burst = _burst(options)
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
