"""What a store has for one event loop (connections, waiters): it ends with the loop.

An instance of a store may be used from any loop, but a connection of asyncio only from its own.
Programs make loops by the thousand: `asyncio.run` and `async_to_sync` make one for each call.
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
from collections.abc import AsyncGenerator, Callable, Iterator
from typing import Generic, Protocol, TypeVar
from weakref import finalize, ref


class OfLoop(Protocol):
    """Something that must not outlive its event loop."""

    async def close(self) -> None:
        """Free all that it holds."""

    def abandon(self) -> None:
        """The same once the loop is closed, and can do nothing any more."""


Kept = TypeVar("Kept", bound=OfLoop)


class PerLoop(Generic[Kept]):
    """One value for each event loop that asks. What `make` returns must not refer to its user."""

    def __init__(self, make: Callable[[], Kept]) -> None:
        self._make = make
        self._key = next(_keys)
        finalize(self, _forget, self._key).atexit = False

    def here(self) -> Kept:
        """That of the running loop, made at the first need. Raises RuntimeError without one."""
        try:
            loop = asyncio.get_running_loop()
        except RuntimeError:
            raise RuntimeError(
                "expected to run in an event loop of asyncio, got none: under another, such as"
                " trio's, call enqueue_sync in a thread"
            ) from None
        try:
            kept: Kept = loop.__dict__[_ATTRIBUTE].values[self._key]
        except KeyError:
            kept = _belongings(loop).values[self._key] = self._make()
        return kept

    async def close(self) -> None:
        """Close that of the running loop; other loops close theirs."""
        kept = _belongings(asyncio.get_running_loop()).values.pop(self._key, None)
        if kept is not None:
            await kept.close()


# ------------------------------------------------------------------ what a loop has

# An attribute of the loop: nothing else keeps what belongs to it, and both can be freed together.
_ATTRIBUTE = "_asyncmqd"
_loops: set[ref[asyncio.AbstractEventLoop]] = set()  # that have it
_keys = itertools.count()  # of values, one for each PerLoop


class _Belongings:
    def __init__(self) -> None:
        self.values: dict[int, OfLoop] = {}
        self.closing: set[asyncio.Task[None]] = set()
        self._end = self._until_the_end()
        with contextlib.suppress(StopIteration):  # it waits at its `yield`
            self._end.__anext__().send(None)

    async def _until_the_end(self) -> AsyncGenerator[None]:
        """asyncio.run and its like close the generators of a loop before the loop."""
        try:
            yield
        finally:
            while self.values:
                await self.values.popitem()[1].close()

    def begin_closing(self, value: OfLoop) -> None:
        task = asyncio.ensure_future(value.close())
        self.closing.add(task)
        task.add_done_callback(self.closing.discard)


def _belongings(loop: asyncio.AbstractEventLoop) -> _Belongings:
    found: _Belongings | None = getattr(loop, _ATTRIBUTE, None)
    if found is None:
        for other, belongings in _all():
            if other.is_closed():  # without its generators
                _abandon(belongings)
        found = _Belongings()
        setattr(loop, _ATTRIBUTE, found)
        _loops.add(ref(loop, _loops.discard))
    return found


def _all() -> Iterator[tuple[asyncio.AbstractEventLoop, _Belongings]]:
    for each in list(_loops):  # copied in one step: other threads have loops, too
        loop = each()
        if loop is not None:
            yield loop, loop.__dict__[_ATTRIBUTE]


def _abandon(belongings: _Belongings) -> None:
    while belongings.values:
        belongings.values.popitem()[1].abandon()


def _forget(key: int) -> None:
    """Nobody has the PerLoop of this key any more; this may be any thread."""
    for loop, belongings in _all():
        value = belongings.values.pop(key, None)
        if value is None:
            continue
        try:
            loop.call_soon_threadsafe(belongings.begin_closing, value)
        except RuntimeError:  # it is closed
            value.abandon()
