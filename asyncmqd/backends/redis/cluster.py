"""The way to a cluster, in which redis-py finds the node of each key."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from typing import Any

from redis.asyncio.cluster import ClusterNode, RedisCluster
from redis.asyncio.connection import AbstractConnection, Connection
from redis.exceptions import ConnectionError as LostConnection

from asyncmqd.backends.redis.address import Address
from asyncmqd.backends.redis.calls import Link, Trip
from asyncmqd.backends.redis.errors import faults
from asyncmqd.backends.redis.scripts import Argument, Command, Late, made
from asyncmqd.backends.redis.subscriber import cut
from asyncmqd.domain.loop_tasks import begin


class Clustered(Link):
    """A cluster: redis-py finds the node of each key."""

    clustered = True

    def __init__(self, address: Address, connect: Callable[[], ClusterClient]) -> None:
        super().__init__(address)
        self._connect = connect
        self._client: ClusterClient | None = None
        self._closing: set[asyncio.Task[None]] = set()

    async def _cluster(self) -> ClusterClient:
        if self._client is None:
            self._client = self._connect()
        client = self._client
        await client.initialize()
        return client

    async def _send(self, trip: Trip, commands: Sequence[Command | Late]) -> list[Any]:
        client = await self._cluster()
        pipeline = client.pipeline()
        for command in commands:
            pipeline.execute_command(*made(command))
        trip.sent = True
        replies = await pipeline.execute(raise_on_error=False)
        if any(isinstance(each, LostConnection | OSError) for each in replies):
            self._give_up(client)
        return replies

    async def look(self) -> None:
        try:
            async with asyncio.timeout(self._address.timeout):
                await (await self._cluster()).nodes_manager.initialize()
        except faults() as error:
            self.distrust()
            told = self.error(error)
            raise told from told.__cause__

    async def ask(self, *command: Argument) -> list[Any]:
        try:
            async with asyncio.timeout(self._address.timeout):
                nodes = (await self._cluster()).get_primaries()
                return [await _ask(node, command) for node in nodes]
        except faults() as error:
            self.distrust()  # it may have asked one who is no master any more
            told = self.error(error)
            raise told from told.__cause__

    async def masters(self) -> dict[str, Callable[[], AbstractConnection]]:
        async with asyncio.timeout(self._address.timeout):
            nodes = (await self._cluster()).get_primaries()
        return {node.name: _maker(node) for node in nodes}

    def distrust(self, *, silent: bool = False) -> None:
        del silent  # what is under way ends with the client's connections
        if self._client is not None:
            self._give_up(self._client)

    def _give_up(self, client: ClusterClient) -> None:
        """Ask the nodes of the URL again who the masters are."""
        if client.given_up:
            return
        client.given_up = True
        if self._client is client:
            self._client = None
        # In a task, because the caller that found it out may be cancelled before it is done.
        task = begin(client.aclose())
        self._closing.add(task)
        task.add_done_callback(self._closing.discard)
        self.on_distrust()

    async def close(self) -> None:
        self._limits.close()
        self.distrust()
        await asyncio.gather(*self._closing, return_exceptions=True)

    def abandon(self) -> None:
        if self._client is not None:
            for node in self._client.get_nodes():
                for connection in node._connections:  # noqa: SLF001 - it closes them by the loop only
                    cut(connection)


class ClusterClient(RedisCluster):
    """One whose connections are of this kind; that of RedisCluster is settled.

    It cannot start again after it was given up: a call that was under way would make connections
    that nobody closes.
    """

    given_up = False

    def __init__(self, kind: type[Connection], **options: Any) -> None:
        super().__init__(**options)
        self.connection_kwargs["connection_class"] = kind  # of nodes that it will learn of
        for node in self.nodes_manager.startup_nodes.values():
            node.connection_class = kind

    async def initialize(self, *args: Any, **options: Any) -> RedisCluster:
        if self.given_up:
            raise LostConnection("given up, to look for the masters again")
        return await super().initialize(*args, **options)


async def _ask(node: ClusterNode, command: Command) -> Any:
    connection = _maker(node)()
    try:
        await connection.send_command(*command)
        return await connection.read_response()
    finally:
        await connection.disconnect(nowait=True)


def _maker(node: ClusterNode) -> Callable[[], AbstractConnection]:
    return lambda: node.connection_class(**node.connection_kwargs)
