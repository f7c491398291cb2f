"""The producer's side of every Python peer: the same loops around three calls of the peer's."""

from __future__ import annotations

import asyncio
import json
import random
import sys
import time
from collections.abc import Awaitable
from typing import Any, Protocol

TOGETHER = 100  # enqueue calls in flight
PAUSE = 0.02  # seconds between jobs for an idle worker
EARLIEST, LATEST = 1.0, 3.0  # seconds by which jobs are delayed


class Peer(Protocol):
    """A queue that jobs are put in. Tasks are called noop, nap and stamp."""

    async def one(self, task: str, *args: int) -> Any:
        """Enqueue one job."""

    async def many(self, task: str, count: int) -> Any:
        """Enqueue jobs in the best way that the peer documents for many."""

    async def later(self, delay: float, task: str, *args: int) -> Any:
        """Enqueue one job with a delay in seconds."""


async def produce(peer: Peer) -> None:
    """Do what the command line says, and print how many seconds it took."""
    _, _, kind, *rest = sys.argv
    if kind != "fill":
        await peer.one("noop")  # connections and scripts are there from now on
    began = time.perf_counter()
    await _KINDS[kind](peer, *rest)
    print(json.dumps({"seconds": time.perf_counter() - began}))


async def _single(peer: Peer, count: str) -> None:
    for _ in range(int(count)):
        await peer.one("noop")


async def _together(peer: Peer, count: str) -> None:
    async def lane() -> None:
        for _ in range(int(count) // TOGETHER):
            await peer.one("noop")

    await asyncio.gather(*(lane() for _ in range(TOGETHER)))


async def _bulk(peer: Peer, count: str) -> None:
    await peer.many("noop", int(count))


async def _fill(peer: Peer, task: str, count: str) -> None:
    await peer.many(task, int(count))


async def _paced(peer: Peer, count: str) -> None:
    for _ in range(int(count)):
        await peer.one("stamp", time.monotonic_ns())
        await asyncio.sleep(PAUSE * (0.5 + random.random()))


async def _delayed(peer: Peer, count: str) -> None:
    for _ in range(int(count)):
        delay = random.uniform(EARLIEST, LATEST)
        await peer.later(delay, "stamp", time.monotonic_ns() + round(delay * 1e9))


_KINDS = {
    "single": _single,
    "together": _together,
    "bulk": _bulk,
    "fill": _fill,
    "paced": _paced,
    "delayed": _delayed,
}


async def gathered(calls: list[Awaitable[Any]], at_once: int = 1_000) -> None:
    """Await many calls, for peers without a bulk call."""
    for at in range(0, len(calls), at_once):
        await asyncio.gather(*calls[at : at + at_once])
