"""Queues of the same daemon that have a turn whenever the queue of a play has one.

A store may do the turns of one moment together. What one queue is told, and what becomes of its
jobs, does not depend on that.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any

import msgspec

from asyncmqd.backends.base import BaseBackend
from asyncmqd.backends.base import Turn as Reply
from asyncmqd.domain.change import Change
from asyncmqd.domain.job import Claim
from tests.contract.jobs import job, succeeded

JOBS = 6  # of each: then it has none, and waits for more
WORKER = "host/company"


class Neighbour(msgspec.Struct):
    """A queue whose jobs are taken one by one."""

    queue: str
    held: list[Claim] = []

    async def turn(self, backend: BaseBackend, lease: float) -> Any:
        """The end of the last job, and the claim of the next one."""
        changes = [succeeded(each) for each in self.held]
        told = await backend.turn(self.queue, changes, 1, lease, WORKER)
        self.held = told.claims
        return told.answers, [(each.id, each.token) for each in told.claims]


class Company(msgspec.Struct):
    """One that may go ahead, one before the queue of the play, and one behind it."""

    neighbours: tuple[Neighbour, ...]
    told: list[Any] = []

    async def come(self, backend: BaseBackend) -> None:
        """Each has a few jobs."""
        for each in self.neighbours:
            await backend.add(each.queue, [job(f"n{number}") for number in range(JOBS)])

    async def turn(
        self, backend: BaseBackend, queue: str, changes: Sequence[Change], limit: int, *how: Any
    ) -> Reply:
        """The turn of a queue, in company."""
        ahead, before, behind = (each.turn(backend, how[0]) for each in self.neighbours)
        own = backend.turn(queue, changes, limit, *how)
        *told, reply, last = await asyncio.gather(ahead, before, own, behind)
        self.told += [*told, last]
        return reply


def company(queue: str) -> Company:
    """Of a queue."""
    return Company(tuple(Neighbour(f"{queue}-{place}") for place in ("ahead", "before", "behind")))
