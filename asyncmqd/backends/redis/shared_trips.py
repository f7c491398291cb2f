"""Calls of one moment for several queues, in one write and one round trip.

A daemon of two hundred queues would else pay for two hundred writes, wake-ups and replies at once.
A call that finds none under way leaves alone and at once. While there is one, those that come in
the same turn of the loop leave together, at its end.
"""

from __future__ import annotations

import asyncio
from typing import Any

from asyncmqd.backends.redis.calls import Link
from asyncmqd.backends.redis.scripts import Command
from asyncmqd.domain.loop_tasks import begin

# Calls in one write. The server answers when it has done all of them: with more, it would wait for
# us and we for it, in turn.
MOST = 16


class SharedTrips:
    """The calls of one event loop that may share a round trip."""

    def __init__(self, link: Link) -> None:
        self._link = link
        self._waiting: list[tuple[Command, asyncio.Future[Any]]] = []
        self._under_way = 0
        self._tasks: set[asyncio.Task[None]] = set()

    async def run(self, command: Command) -> Any:
        """The reply. Raises StoreError."""
        if not self._under_way or self._link.clustered:
            self._under_way += 1
            try:
                [reply] = await self._link.run(command)
            finally:
                self._under_way -= 1
            return reply
        loop = asyncio.get_running_loop()
        future: asyncio.Future[Any] = loop.create_future()
        if not self._waiting:
            loop.call_soon(self._leave)
        self._waiting.append((command, future))
        return await future

    def _leave(self) -> None:
        waiting, self._waiting = self._waiting, []
        for at in range(0, len(waiting), MOST):
            self._under_way += 1
            task = begin(self._carry(waiting[at : at + MOST]))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    async def _carry(self, calls: list[tuple[Command, asyncio.Future[Any]]]) -> None:
        try:
            replies = await self._link.run_each([command for command, _ in calls])
        except BaseException as error:  # each of them has to know
            replies = [error] * len(calls)
            if not isinstance(error, Exception):
                raise
        finally:
            self._under_way -= 1
            for (_, future), reply in zip(calls, replies, strict=True):
                _answer(future, reply)


def _answer(future: asyncio.Future[Any], reply: Any) -> None:
    if future.done():  # nobody waits any more
        return
    if isinstance(reply, asyncio.CancelledError):
        future.cancel()
    elif isinstance(reply, BaseException):
        future.set_exception(reply)
    else:
        future.set_result(reply)
