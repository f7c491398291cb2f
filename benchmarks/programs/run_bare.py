"""No queue at all: a loop that keeps 100 naps of 10 ms going. What the machine itself allows."""

from __future__ import annotations

import asyncio
import json
import sys
import time

import marks
import uvloop


async def main() -> None:
    count = int(sys.argv[1])

    async def slot() -> None:
        for _ in range(count // marks.SLOTS):
            await asyncio.create_task(asyncio.sleep(marks.NAP))

    began = time.perf_counter()
    await asyncio.gather(*(slot() for _ in range(marks.SLOTS)))
    print(json.dumps({"seconds": time.perf_counter() - began}))


if __name__ == "__main__":
    uvloop.run(main())
