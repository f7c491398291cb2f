"""What is asked for several queues at one moment: in one call of a script, and one round trip.

A daemon of two hundred queues would else pay for two hundred writes, wake-ups and replies at once,
and the server for making the functions of a script two hundred times. A call that finds none under
way leaves alone and at once. While there is one, those that come in the same turn of the loop leave
together, at its end.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any, NamedTuple

from asyncmqd.backends.base import PAGE, StoreRefused
from asyncmqd.backends.redis.calls import Link
from asyncmqd.backends.redis.scripts import Argument, Command, call
from asyncmqd.domain.loop_tasks import begin

# Queues in one call. The server answers when it has done all of them: with more, it would wait for
# us and we for it, in turn.
MOST = 16


class Part(NamedTuple):
    """What one queue has in a call."""

    base: str
    args: Sequence[Argument] = ()
    jobs: int = 0  # that it settles and claims


Common = tuple[Argument, ...]
"""Arguments that queues of one daemon have in common."""


class Script(NamedTuple):
    """A script that serves several queues."""

    name: str
    args_of: Callable[[Sequence[Part]], Iterable[Argument]]
    split: Callable[[list[Any]], list[Any]]
    """Of a reply for several queues, that of each, or its error."""


class Waiting(NamedTuple):
    """A call that has not left yet."""

    part: Part
    common: Common
    reply: asyncio.Future[Any]


class SharedTrips:
    """The calls of a script from one event loop, which may share a round trip."""

    def __init__(self, link: Link, script: Script) -> None:
        self._link = link
        self._script = script
        self._waiting: list[Waiting] = []
        self._under_way = 0
        self._tasks: set[asyncio.Task[None]] = set()

    async def run(self, part: Part, common: Common) -> Any:
        """The reply. Raises StoreError."""
        if not self._under_way or self._link.clustered:
            self._under_way += 1
            try:
                [reply] = await self._link.run(self._call(common, [part]))
            finally:
                self._under_way -= 1
            return reply
        loop = asyncio.get_running_loop()
        waiting = Waiting(part, common, loop.create_future())
        if not self._waiting:
            loop.call_soon(self._leave)
        self._waiting.append(waiting)
        return await waiting.reply

    def _leave(self) -> None:
        waiting, self._waiting = self._waiting, []
        for group in _groups(waiting):
            self._under_way += 1
            task = begin(self._carry(group))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    async def _carry(self, group: list[Waiting]) -> None:
        try:
            replies = await self._replies(group[0].common, [each.part for each in group])
        except BaseException as error:  # each of them has to know
            replies = [error] * len(group)
            if not isinstance(error, Exception):
                raise
        finally:
            self._under_way -= 1
            for waiting, reply in zip(group, replies, strict=True):
                _answer(waiting.reply, reply)

    async def _replies(self, common: Common, parts: list[Part]) -> list[Any]:
        """Of each its reply or error. Raises StoreError if nothing more is known of any."""
        if len(parts) == 1:
            return await self._link.run(self._call(common, parts))
        try:
            return await self._link.run_parts(self._call(common, parts), self._script.split)
        except StoreRefused:
            # As a whole, so that nothing was done: the user may have no right to the keys of one
            # queue, or one that is only looked at may have something else in a key.
            return await self._link.run_each([self._call(common, [part]) for part in parts])

    def _call(self, common: Common, parts: Sequence[Part]) -> Command:
        args = (*common, *self._script.args_of(parts))
        return call(self._script.name, [part.base for part in parts], args)


def _groups(waiting: list[Waiting]) -> Iterator[list[Waiting]]:
    """Those that one call does: few, and no more jobs than a turn of one queue may have."""
    group, jobs = [waiting[0]], waiting[0].part.jobs
    for each in waiting[1:]:
        jobs += each.part.jobs
        if len(group) == MOST or jobs > PAGE or each.common != group[0].common:
            yield group
            group, jobs = [], each.part.jobs
        group.append(each)
    yield group


def _answer(future: asyncio.Future[Any], reply: Any) -> None:
    if future.done():  # nobody waits any more
        return
    if isinstance(reply, asyncio.CancelledError):
        future.cancel()
    elif isinstance(reply, BaseException):
        future.set_exception(reply)
    else:
        future.set_result(reply)


def _turn_args(parts: Sequence[Part]) -> list[Argument]:
    return [arg for part in parts for arg in (len(part.args), *part.args)]


def _turns(values: list[Any]) -> list[Any]:
    replies, at = [], 0
    while at < len(values):
        size = values[at]
        if not isinstance(size, int):  # the error of this one
            replies.append(size)
            at += 1
        else:
            replies.append(values[at + 1 : at + 1 + size])
            at += 1 + size
    return replies


def _rows(reply: list[Any]) -> list[Any]:
    now, *rows = reply
    return [[now, row] for row in rows]


TURNS = Script("turn", _turn_args, _turns)
OUTLOOKS = Script("outlook", lambda _: (), _rows)
