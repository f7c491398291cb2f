"""Wait for what must happen, never for a time in which it should have happened."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import TypeVar

from asyncmqd.backends.base import StoreError

Answer = TypeVar("Answer")

LIMIT = 60.0  # seconds; against a hang only: a machine under load is slow, and no failure
PAUSE = 0.002  # seconds between two looks, at least


async def eventually(look: Callable[[], Awaitable[Answer]], limit: float = LIMIT) -> Answer:
    """Look again and again until the answer is true; that answer. Fails after `limit` seconds.

    A look takes at most a third of the time, and leaves the rest to what is waited for.
    """
    answer = None
    time = asyncio.get_running_loop().time
    began = time()
    try:
        async with asyncio.timeout(limit):
            while not (answer := await look()):
                await asyncio.sleep(max(PAUSE, 2 * (time() - began)))
                began = time()
    except TimeoutError:
        raise AssertionError(f"not within {limit} s; the last answer was {answer!r}") from None
    return answer


async def answered(call: Callable[[], Awaitable[Answer]], limit: float = LIMIT) -> Answer:
    """What the store answers: again, if a machine under load was slower than its short limit.

    The call must be one that may be repeated. Raises its last error after `limit` seconds.
    """
    time = asyncio.get_running_loop().time
    end = time() + limit
    while True:
        try:
            return await call()
        except StoreError:
            if time() > end:
                raise
