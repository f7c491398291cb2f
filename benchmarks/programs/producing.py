"""The producer's side of every Python peer: the same loops around two calls of the peer's."""

from __future__ import annotations

import asyncio
import base64
import json
import random
import sys
import time
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, NamedTuple, Protocol

import marks

TOGETHER = 100  # enqueue calls in flight
PAUSE = 0.012  # seconds between jobs for an idle worker
EARLIEST, LATEST = 1.0, 2.0  # seconds by which jobs are delayed
KEYS = 1_000
UNTIL_DUE = 2.0  # seconds at least, in which jobs are enqueued that are all due at one moment


class Order(NamedTuple):
    """One job to enqueue. Tasks are noop, nap, plain, stamp, weigh and flaky."""

    task: str
    args: tuple[Any, ...] = ()
    queue: str = marks.QUEUE
    level: int | None = None  # 0 is the most urgent of marks.LEVELS; None: no priority is given
    delay: float = 0.0  # seconds
    key: str | None = None  # whose job it is, where keys take turns


class Peer(Protocol):
    """A queue that jobs are put in."""

    async def one(self, order: Order) -> Any:
        """Enqueue one job."""

    async def many(self, orders: Sequence[Order]) -> Any:
        """Enqueue jobs in the best way that the peer documents for many."""


NOOP = Order("noop")


async def produce(peer: Peer) -> None:
    """Do what the command line says, and print the seconds and the CPU seconds that it took."""
    _, _, kind, *rest = sys.argv
    answer: dict[str, float] = {}
    if kind == "fill":
        await _timed(peer.many(_orders(rest[0], int(rest[1]))), answer)
    elif kind == "bulk":
        await peer.one(NOOP)  # connections and scripts are there from now on
        await _timed(peer.many([NOOP] * int(rest[0])), answer)
    elif kind == "due":
        answer["due"] = await _due(peer, int(rest[0]))
    else:
        await peer.one(NOOP)
        await _timed(_KINDS[kind](peer, int(rest[0])), answer)
    print(json.dumps(answer))


async def _timed(call: Awaitable[Any], answer: dict[str, float]) -> None:
    began, cpu = time.perf_counter(), time.process_time()
    await call
    answer["seconds"] = time.perf_counter() - began
    answer["cpu"] = time.process_time() - cpu


def _orders(shape: str, count: int) -> list[Order]:
    if shape.startswith("weigh-"):
        size = int(shape.removeprefix("weigh-"))
        blob = base64.b64encode(random.randbytes(size)).decode()[:size]  # nothing to compress
        return [Order("weigh", (blob,))] * count
    if shape == "mixed":
        return [Order("noop", level=number % len(marks.LEVELS)) for number in range(count)]
    if shape == "queues":
        names = marks.QUEUES
        return [Order("noop", queue=names[number % len(names)]) for number in range(count)]
    if shape == "keyed":
        return [Order("noop", key=f"k{number % KEYS}") for number in range(count)]
    if shape == "flaky":
        return [Order("flaky", (number,)) for number in range(count)]
    return [Order(shape)] * count


async def _single(peer: Peer, count: int) -> None:
    for _ in range(count):
        await peer.one(NOOP)


async def _together(peer: Peer, count: int) -> None:
    async def lane() -> None:
        for _ in range(count // TOGETHER):
            await peer.one(NOOP)

    await asyncio.gather(*(lane() for _ in range(TOGETHER)))


async def _paced(peer: Peer, count: int) -> None:
    for _ in range(count):
        await peer.one(Order("stamp", (time.monotonic_ns(),)))
        await asyncio.sleep(PAUSE * (0.5 + random.random()))


async def _delayed(peer: Peer, count: int) -> None:
    for _ in range(count):
        delay = random.uniform(EARLIEST, LATEST)
        due = time.monotonic_ns() + round(delay * 1e9)
        await peer.one(Order("stamp", (due,), delay=delay))


async def _due(peer: Peer, count: int) -> float:
    """Enqueue jobs that are all due at one moment, which is returned in ns of CLOCK_MONOTONIC.

    It is a whole second of the wall clock, for some peers know no finer ones.
    """
    due = time.monotonic() + UNTIL_DUE + -(time.time() + UNTIL_DUE) % 1

    async def lane(number: int) -> None:
        for _ in range(number, count, TOGETHER):
            await peer.one(Order("noop", delay=due - time.monotonic()))

    await asyncio.gather(*(lane(number) for number in range(TOGETHER)))
    if time.monotonic() > due:
        raise SystemExit(f"enqueuing {count} delayed jobs took longer than their delay")
    return due * 1e9


_KINDS: dict[str, Callable[[Peer, int], Awaitable[None]]] = {
    "single": _single,
    "together": _together,
    "paced": _paced,
    "delayed": _delayed,
}


async def gathered(calls: Sequence[Awaitable[Any]], at_once: int = 1_000) -> None:
    """Await many calls, for peers without a bulk call."""
    for at in range(0, len(calls), at_once):
        await asyncio.gather(*calls[at : at + at_once])
