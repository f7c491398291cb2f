"""Wait for what must happen, never for a time in which it should have happened."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import TypeVar

Answer = TypeVar("Answer")

LIMIT = 60.0  # seconds; against a hang only: a machine under load is slow, and no failure
PAUSE = 0.002  # seconds between two looks


async def eventually(look: Callable[[], Awaitable[Answer]], limit: float = LIMIT) -> Answer:
    """Look again and again until the answer is true; that answer. Fails after `limit` seconds."""
    answer = None
    try:
        async with asyncio.timeout(limit):
            while not (answer := await look()):  # noqa: ASYNC110 - no event tells of a store
                await asyncio.sleep(PAUSE)
    except TimeoutError:
        raise AssertionError(f"not within {limit} s; the last answer was {answer!r}") from None
    return answer
