"""What pages have read of the store, and what happens while it is read."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any, cast

from asyncmqd.backends import InMemoryBackend
from asyncmqd.backends.base import BaseBackend
from asyncmqd.web.dashboard.board import Board
from asyncmqd.web.dashboard.visit import Source
from tests.cli.test_jobs import new


class Slow:
    """A store whose answer is on its way until the test lets it come."""

    def __init__(self) -> None:
        self.store = InMemoryBackend()
        self.has_answered, self.may_come = asyncio.Event(), asyncio.Event()

    async def read(self, work: Callable[[BaseBackend], Awaitable[Any]]) -> Any:
        """See `Source`."""
        found = await work(self.store)
        self.has_answered.set()
        await self.may_come.wait()
        return found


async def test_what_is_forgotten_while_it_is_read_is_not_kept() -> None:
    slow = Slow()
    board = Board(cast("Source", slow))
    looks = asyncio.create_task(board.overview())
    await slow.has_answered.wait()
    await slow.store.add("mail", [new("a")])
    board.forget()
    late = asyncio.create_task(board.overview())
    slow.may_come.set()
    assert (await looks).queues == []
    assert [each.waiting for each in (await late).queues] == [1]
    assert await board.overview() is await late
