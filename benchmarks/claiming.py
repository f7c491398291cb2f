"""Claims of ours, without a daemon: each settles the one before it in the same round trip."""

from __future__ import annotations

import argparse
import time
from pathlib import Path

from servers import RedisServer

from asyncmqd.backends.base import BaseBackend
from asyncmqd.domain.change import Change
from asyncmqd.domain.job import Claim

AT_ONCE = 10  # jobs of one claim
ROUNDS = 1_000
LEASE = 600.0  # seconds
PAYLOAD = b"x" * 100


async def claim(backend: BaseBackend, name: str, held: dict[str, list[Change]]) -> float:
    """Settle what is held of the queue, and take as much; the milliseconds of that."""
    began = time.perf_counter()
    turn = await backend.turn(name, held[name], AT_ONCE, LEASE, "claiming")
    took = (time.perf_counter() - began) * 1e3
    held[name] = [succeeded(each) for each in turn.claims]
    return took


def succeeded(claimed: Claim) -> Change:
    """The change that ends it."""
    return Change(queue=claimed.queue, id=claimed.id, edge="succeed", token=claimed.token)


def server(wanted: argparse.Namespace, place: Path) -> RedisServer:
    """A new one, with its files in that directory."""
    place.mkdir()
    return RedisServer(wanted.server, place, tcp=True)
