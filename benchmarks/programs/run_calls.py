"""Steps of ours, done when a line asks for them: what instructions.py counts.

`one` enqueues jobs one after the other, `many` in one call; `claim` takes jobs from the store, ten
in a call, and `settle` tells it of those that were taken.
"""

from __future__ import annotations

import sys

import marks
import uvloop
from run_asyncmqd import noop

from asyncmqd import Queue
from asyncmqd.domain.change import Change
from asyncmqd.domain.job import Claim
from asyncmqd.domain.settle import Policy, Succeeded, settle

AT_ONCE = 10
LEASE = 600.0  # seconds

queue = Queue(marks.QUEUE, marks.url())
taken: list[Claim] = []


async def one(count: int) -> None:
    for _ in range(count):
        await queue.add(noop)


async def many(count: int) -> None:
    await queue.add_bulk([noop.job() for _ in range(count)])


async def claim(count: int) -> None:
    for _ in range(count // AT_ONCE):
        turn = await queue.backend.turn(marks.QUEUE, [], AT_ONCE, LEASE, "counting")
        taken.extend(turn.claims)


async def settle_all(count: int) -> None:
    for at in range(0, count, AT_ONCE):
        changes = [_succeeded(each) for each in taken[at : at + AT_ONCE]]
        await queue.backend.turn(marks.QUEUE, changes, 0, LEASE, "counting")
    del taken[:count]


def _succeeded(claim: Claim) -> Change:
    return settle(claim, Succeeded(), Policy(), 0.0)


STEPS = {"one": one, "many": many, "claim": claim, "settle": settle_all}


async def main() -> None:
    for line in sys.stdin:
        step, count = line.split()
        await STEPS[step](int(count))
        print("done", flush=True)


if __name__ == "__main__":
    uvloop.run(main())
