"""How long a claim of ours takes with so many jobs waiting: 10 jobs a claim, settled by the next.

As many jobs are added as were claimed, outside of the clock, so that the backlog stays.
"""

from __future__ import annotations

import json
import sys
import time
from itertools import count

import marks
import uvloop

from asyncmqd import Queue
from asyncmqd.domain.change import Change
from asyncmqd.domain.job import Claim, NewJob

AT_ONCE = 10
CLAIMS = 1_000
WARM_UP = 100
PAGE = 1_000
LEASE = 60.0  # seconds
PAYLOAD = b"x" * 100

_numbers = count()


def jobs(amount: int) -> list[NewJob]:
    return [NewJob(id=f"claimed-{next(_numbers)}", payload=PAYLOAD) for _ in range(amount)]


def succeeded(claim: Claim) -> Change:
    return Change(queue=marks.QUEUE, id=claim.id, edge="succeed", token=claim.token)


async def main() -> None:
    backend = Queue(marks.QUEUE, marks.url()).backend
    for _ in range(max(int(sys.argv[1]) // PAGE, 1)):
        await backend.add(marks.QUEUE, jobs(PAGE))
    changes: list[Change] = []
    samples = []
    for _ in range(CLAIMS + WARM_UP):
        began = time.perf_counter()
        turn = await backend.turn(marks.QUEUE, changes, AT_ONCE, LEASE, "claiming")
        samples.append((time.perf_counter() - began) * 1e3)
        assert len(turn.claims) == AT_ONCE
        changes = [succeeded(claim) for claim in turn.claims]
        await backend.add(marks.QUEUE, jobs(AT_ONCE))
    await backend.close()
    ranked = sorted(samples[WARM_UP:])
    shares = {"p50": 0.5, "p95": 0.95, "p99": 0.99}
    answer = {name: ranked[int(len(ranked) * share)] for name, share in shares.items()}
    print(json.dumps(answer | {"max": ranked[-1]}))


if __name__ == "__main__":
    uvloop.run(main())
