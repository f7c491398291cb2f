"""One answer for all who ask for the same thing at the same time."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

Work = Callable[[], Awaitable[Any]]


class SharedAnswers:
    """Of each kind, at most one answer is being made and at most one waits for its turn.

    Whoever comes while one is being made gets the next: what was begun before it asked may not know
    of what it did before it asked.
    """

    def __init__(self) -> None:
        self._making: dict[str, asyncio.Task[Any]] = {}
        self._next: dict[str, asyncio.Task[Any]] = {}

    async def get(self, kind: str, work: Work) -> Any:
        """The answer; raises what `work` raises."""
        answer = self._next.get(kind)
        if answer is None:
            answer = self._next[kind] = asyncio.create_task(self._make(kind, work))
        return await asyncio.shield(answer)

    async def stop(self) -> None:
        """Make no more answers."""
        tasks = [*self._making.values(), *self._next.values()]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _make(self, kind: str, work: Work) -> Any:
        if making := self._making.get(kind):
            await asyncio.wait([making])
        self._making[kind] = self._next.pop(kind)
        try:
            return await work()
        finally:
            del self._making[kind]
