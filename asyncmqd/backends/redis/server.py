"""A store's server: its keys, the calls that reach it, and how it is set up."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Coroutine, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

from asyncmqd.backends.base import (
    BaseBackend,
    Migration,
    StoreError,
    StoreRefused,
    StoreUncertain,
)
from asyncmqd.backends.per_loop import PerLoop
from asyncmqd.backends.redis import address, large_payloads, migration
from asyncmqd.backends.redis.calls import Link
from asyncmqd.backends.redis.health import concerns, danger, of_replicas
from asyncmqd.backends.redis.leases import LeaseClient
from asyncmqd.backends.redis.loop_connections import Way
from asyncmqd.backends.redis.scripts import (
    Argument,
    Command,
    Late,
    call,
    read_all,
    read_those_that_add,
)
from asyncmqd.backends.redis.wakeups import Wakeups

if TYPE_CHECKING:
    from asyncmqd.backends.redis.by_thread import ByThread


class RedisServer(BaseBackend):
    """Where the keys of a store are, and how commands get there; the verbs are built on it."""

    def __init__(self, url: str) -> None:
        self._address = address.parse(url)
        self._secret_url = url
        self.timeout = self._address.timeout
        self.url = self._address.url
        self._leases = LeaseClient(self._address)
        self._pieces = large_payloads.Pieces(self._run)
        self._prefix = self._address.prefix
        self._clustered = self._address.scheme == "redis+cluster"  # two queues, two nodes
        self._connected = False  # whether the store was looked at, in any loop
        self._by_thread: ByThread | None = None
        self._ways = PerLoop(partial(Way, self._address, self._leases))

    def __repr__(self) -> str:
        return f"RedisBackend({self.url!r})"

    @property
    def secret_url(self) -> str:
        return self._secret_url

    def _own_connection(self) -> ByThread | None:
        """That of callers without a loop: who has one does not pay for its module."""
        if self._by_thread is None and self._address.scheme in {"redis", "unix"}:
            with contextlib.suppress(ImportError):  # a signal came while this thread imports it
                from asyncmqd.backends.redis.by_thread import ByThread

                self._by_thread = ByThread(self._address)
        return self._by_thread

    @property
    def _link(self) -> Link:
        return self._ways.here().link

    @property
    def _wakeups(self) -> Wakeups:
        return self._ways.here().wakeups

    def _base(self, queue: str) -> str:
        return f"{self._prefix}:{{{queue}}}:"

    def _slots(self, queues: Sequence[str]) -> list[list[str]]:
        """The bases of queues, those together that one script may look at."""
        bases = [self._base(queue) for queue in queues]
        return [[base] for base in bases] if self._clustered else [bases]

    def _call(self, name: str, queue: str, *args: Argument) -> Command:
        return call(name, [self._base(queue)], args)

    def _run(self, *commands: Command | Late) -> Coroutine[Any, Any, list[Any]]:
        return self._run_all(commands)

    def _run_all(
        self, commands: Sequence[Command | Late], *, again: bool = False
    ) -> Coroutine[Any, Any, list[Any]]:
        link = self._ways.here().link
        if self._connected:
            return link.run_all(commands, again=again)
        return self._connect_and_run(link, commands, again)

    async def _connect_and_run(
        self, link: Link, commands: Sequence[Command | Late], again: bool
    ) -> list[Any]:
        # The limit is one for both.
        begun = False
        try:
            async with asyncio.timeout(self._address.timeout):
                read_those_that_add()
                await self._look_first()
                begun = True
                return await link.run_all(commands, again=again)
        except TimeoutError as error:
            raise link.error(error, sent=begun) from None

    async def _one(self, name: str, queue: str, *args: Argument) -> Any:
        [reply] = await self._run(self._call(name, queue, *args))
        return reply

    async def _sure_way(self) -> Way:
        """The way to a store that was looked at."""
        await self._run()
        return self._ways.here()

    def _known(self, queue: str) -> Command:
        # In the same write as what fills the queue, and at each time: an instance that remembered
        # would not notice that the store was flushed.
        return ("SADD", self._queues, queue)

    @property
    def _queues(self) -> str:
        return f"{self._prefix}:queues"

    # ------------------------------------------------------------------ life

    async def connect(self) -> None:
        read_all()
        await self._look()

    async def _look(self) -> None:
        await migration.check(self._link, self.url, self._prefix)
        await self._check_channels()
        if reason := await self.durability_warning():
            raise StoreRefused(f"{self.url}: {reason}, or accept it with ?allow_eviction=true")
        self._connected = True

    async def _look_first(self) -> None:
        """Before what a caller wants: whatever becomes of the look, that was not begun."""
        try:
            await self._look()
        except StoreUncertain as error:
            raise StoreError(str(error)) from error.__cause__

    async def _check_channels(self) -> None:
        """See that jobs can be told of, before the first is added: nobody hears this."""
        await self._link.ask("PUBLISH", f"{self._prefix}:wake:", "")

    async def migrate(self) -> Migration | None:
        return await migration.migrate(self._link, self.url, self._prefix)

    async def close(self) -> None:
        self._connected = False
        if self._by_thread is not None:
            self._by_thread.close()
        await self._ways.close()
        self._leases.close()

    async def warnings(self) -> list[str]:
        await self._run()
        memory, persistence = await self._info("memory"), await self._info("persistence")
        if memory is None or persistence is None:
            return ["INFO is refused, so nobody knows whether the server may delete jobs"]
        found = concerns(memory, persistence)
        if not self._clustered:
            replication = await self._info("replication")
            found += of_replicas(replication or [], self._address.min_replicas)
        return found

    async def _info(self, section: str) -> list[bytes] | None:
        """Of each master; None if the server has no INFO, or not for this user."""
        try:
            return await self._link.ask("INFO", section)
        except StoreRefused:
            return None
        except StoreError as error:
            if "unknown command" in str(error).lower():
                return None
            raise

    async def durability_warning(self) -> str:
        if self._wakeups.refusal:
            return self._wakeups.refusal
        if self._address.allow_eviction:
            return ""
        return danger(await self._info("memory") or [])
