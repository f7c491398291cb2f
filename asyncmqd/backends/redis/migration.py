"""The layout of the keys: which we can work with, and how an older one becomes ours.

`<prefix>:layout` is the number of the whole store. Each queue that was migrated has one of its
own beside it, `<base>layout`, which every script looks at: in a cluster no script reaches the
first, and a client of an older release that was connected all the while must write no more jobs.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

from asyncmqd.backends import layout
from asyncmqd.backends.base import Migration, StoreError, StoreRefused
from asyncmqd.backends.redis import encoding, scripts
from asyncmqd.backends.redis.calls import Link
from asyncmqd.backends.redis.replies import is_out_of_memory
from asyncmqd.backends.redis.scripts import Command
from asyncmqd.domain import clock

Step = Callable[[Link, str], Awaitable[None]]
"""Given the link and the base of a queue."""

STEPS: dict[int, Step] = {}
"""By the layout that each leads to, from the one before. Layout 1 was the first.

A step works in pages, so that it never holds up the server, and may run again over what it has
done: if a process is killed half-way, the next one begins again.
"""

LOCK_TTL = 60_000  # milliseconds; renewed before each queue


async def check(link: Link, url: str, prefix: str) -> None:
    """Give a new store our layout; refuse one that has another.

    Raises StoreError, StoreOutdated and StoreRefused.
    """
    found = await _found(link, url, prefix)
    if found != scripts.LAYOUT:
        layout.check(_name(url, prefix), found, scripts.LAYOUT)


async def _found(link: Link, url: str, prefix: str) -> int:
    key = f"{prefix}:layout"
    try:
        _, found = await link.run(("SETNX", key, scripts.LAYOUT), ("GET", key))
    except StoreError as error:
        if not is_out_of_memory(error.__cause__):
            raise
        # A server that is full refuses what might write. Who comes to make room there may look.
        [found] = await link.run(("GET", key))
        if found is None:
            raise
    if not found.isdigit():
        raise StoreRefused(
            f"{_name(url, prefix)}: expected layout {scripts.LAYOUT}, got {found[:20]!r}:"
            " written by something else"
        )
    return int(found)


def _name(url: str, prefix: str) -> str:
    return f"{url}: keys {prefix}:*"


async def migrate(link: Link, url: str, prefix: str) -> Migration | None:
    """Bring the keys to the layout of this release; None when they have it.

    Raises StoreError and StoreRefused.
    """
    found = await _found(link, url, prefix)
    if found == scripts.LAYOUT:
        return None
    steps = layout.way(_name(url, prefix), found, scripts.LAYOUT, STEPS)
    lock = _Lock(link, prefix)
    await lock.take()
    try:
        if await _found(link, url, prefix) == scripts.LAYOUT:  # another was faster
            return None
        layout.check_unused(_name(url, prefix), found, await _living(link, prefix))
        await _fence(link, prefix)
        for base in await _bases(link, prefix):
            await lock.renew()
            for step in steps:
                await step(link, base)
        await link.run(("SET", f"{prefix}:layout", scripts.LAYOUT))
    finally:
        await lock.release()
    return Migration(found, scripts.LAYOUT)


async def _living(link: Link, prefix: str) -> list[str]:
    """The processes that work with the keys, by their heartbeats."""
    [reply] = await link.run(scripts.call("workers", [f"{prefix}:workers"]))
    return [each.id for each in encoding.workers(reply)]


async def _bases(link: Link, prefix: str) -> list[str]:
    [names] = await link.run(("SMEMBERS", f"{prefix}:queues"))
    return [f"{prefix}:{{{name.decode()}}}:" for name in sorted(names)]


async def _fence(link: Link, prefix: str) -> None:
    """Refuse clients of older releases, before anything is changed."""
    fences: list[Command] = [
        ("SET", f"{b}layout", scripts.LAYOUT) for b in await _bases(link, prefix)
    ]
    if fences:
        await link.run(*fences)


class _Lock:
    """Held by the one who migrates. It ends by itself if that process dies."""

    def __init__(self, link: Link, prefix: str) -> None:
        self._link = link
        self._key = f"{prefix}:migrating"
        self._token = clock.nonce()

    async def take(self) -> None:
        if await self._run(("SET", self._key, self._token, "NX", "PX", LOCK_TTL)) is None:
            raise StoreError(
                f"{self._key}: another process is migrating the store; if it was killed, try again"
                f" in {LOCK_TTL // 1_000} s"
            )

    async def renew(self) -> None:
        if not await self._is_ours():
            raise StoreError(f"{self._key}: it took too long, another process may be migrating")
        await self._run(("PEXPIRE", self._key, LOCK_TTL))

    async def release(self) -> None:
        if await self._is_ours():
            await self._run(("DEL", self._key))

    async def _is_ours(self) -> bool:
        return bool(await self._run(("GET", self._key)) == self._token.encode())

    async def _run(self, command: Command) -> Any:
        [reply] = await self._link.run(command)
        return reply
