"""A blocking `extend` with a connection of its own, for the lease thread."""

from __future__ import annotations

import os
from collections import defaultdict
from collections.abc import Iterator, Sequence
from typing import Any
from weakref import WeakSet

from redis import Redis
from redis.backoff import NoBackoff
from redis.cluster import ClusterNode, RedisCluster
from redis.connection import Connection, ConnectionPool, SSLConnection, UnixDomainSocketConnection
from redis.exceptions import NoScriptError
from redis.retry import Retry
from redis.sentinel import Sentinel, SentinelConnectionPool

from asyncmqd.backends.after_fork import keep_for_ever
from asyncmqd.backends.base import Held
from asyncmqd.backends.redis.address import Address
from asyncmqd.backends.redis.connect import SENTINEL_TIMEOUT
from asyncmqd.backends.redis.encoding import held_args, micros, pages
from asyncmqd.backends.redis.errors import FAULTS, to_store_error
from asyncmqd.backends.redis.scripts import IN_FULL, Command, call
from asyncmqd.domain.states import State

TIMEOUT = 2.0  # seconds; the thread that waits here has other claims to renew


class Renewal:
    """The calls of extend.lua for claims of any queues, and the answers in the claims' order."""

    def __init__(self, prefix: str, held: Sequence[Held], lease: float) -> None:
        self._size = len(held)
        places: defaultdict[str, list[int]] = defaultdict(list)
        for place, each in enumerate(held):
            places[each.queue].append(place)
        self._calls = [
            (queue, page)
            for queue, all_places in places.items()
            for page in pages([held[place].id for place in all_places], all_places)
        ]
        self.commands: list[Command] = [
            call(
                "extend",
                [f"{prefix}:{{{queue}}}:"],
                [State.ACTIVE, micros(lease), *held_args([held[place] for place in page])],
            )
            for queue, page in self._calls
        ]

    def answers(self, replies: Sequence[Sequence[int]]) -> list[bool]:
        """For each claim whether it is still held."""
        answers = [False] * self._size
        for (_, page), reply in zip(self._calls, replies, strict=True):
            for place, held in zip(page, reply, strict=True):
                answers[place] = held == 1
        return answers


class LeaseClient:
    """Extends claims from a thread that has no event loop."""

    def __init__(self, address: Address) -> None:
        self._address = address
        self._client: Any = None  # redis-py types its clients for both worlds at once
        self._distrusted = False  # by the event loop, while this thread may be using the client
        _all.add(self)

    def distrust(self) -> None:
        """From any thread: look for the master again before the next call."""
        self._distrusted = True

    def __call__(self, held: Sequence[Held], lease: float) -> list[bool]:
        """See `BaseBackend.extend`."""
        if not held:
            return []
        if self._distrusted:
            self.close()
        renewal = Renewal(self._address.prefix, held, lease)
        try:
            return renewal.answers(self._run(renewal.commands))
        except FAULTS as error:
            self.close()  # a new client looks for the master again
            told = to_store_error(self._address, error)
            raise told from told.__cause__

    def close(self) -> None:
        """Close the connections; the client may be used again."""
        client, self._client, self._distrusted = self._client, None, False
        if client is not None:
            client.close()

    def abandon(self) -> None:
        """In a forked child: the connections are the parent's, which goes on using them."""
        client, self._client = self._client, None
        keep_for_ever(client)  # its `__del__` waits for locks, which its thread may have held
        for connection in _connections(client):
            line = connection._sock  # noqa: SLF001 - `disconnect` may wait for locks
            if line is not None:
                line.close()  # says nothing to the server

    def _run(self, commands: Sequence[Command]) -> list[Any]:
        replies = self._send(commands)
        for texts in IN_FULL:
            unknown = [at for at, reply in enumerate(replies) if isinstance(reply, NoScriptError)]
            if not unknown:
                break
            again = self._send(texts([commands[at] for at in unknown]))
            for at, reply in zip(unknown, again, strict=True):
                replies[at] = reply
        for reply in replies:
            if isinstance(reply, Exception):
                raise reply
        return replies

    def _send(self, commands: Sequence[Command]) -> list[Any]:
        if self._client is None:
            self._client = _client(self._address)
        pipeline = self._client.pipeline(transaction=False)
        for command in commands:
            pipeline.execute_command(*command)
        replies: list[Any] = pipeline.execute(raise_on_error=False)
        return replies


_all: WeakSet[LeaseClient] = WeakSet()


def _abandon_all() -> None:
    for each in list(_all):
        each.abandon()


os.register_at_fork(after_in_child=_abandon_all)


def _connections(client: Any) -> Iterator[Any]:
    """All of a client of redis-py, which has no name for them."""
    if isinstance(client, RedisCluster):
        for node in client.nodes_manager.nodes_cache.values():
            yield from _connections(node.redis_connection)
    elif client is not None:
        pool = client.connection_pool
        yield from (*pool._available_connections, *pool._in_use_connections)  # noqa: SLF001
        if isinstance(pool, SentinelConnectionPool):
            for sentinel in pool.sentinel_manager.sentinels:
                yield from _connections(sentinel)


def _client(address: Address) -> Redis | RedisCluster:
    # redis-py's greeting (CLIENT SETINFO) is left on: over TLS its replies flush out the session
    # tickets. Otherwise the pool would take these for data of another call, and refuse the
    # connection.
    options: dict[str, Any] = {
        "protocol": 2,
        "retry": Retry(NoBackoff(), 0),
        "socket_timeout": TIMEOUT,
        "socket_connect_timeout": TIMEOUT,
        **address.login,
    }
    if address.scheme == "redis+cluster":
        nodes = [
            ClusterNode(host, port)  # type: ignore[no-untyped-call]
            for host, port in address.hosts
        ]
        tls = address.tls or {}
        return RedisCluster(startup_nodes=nodes, ssl=address.tls is not None, **options, **tls)
    options["db"] = address.db
    if address.scheme == "redis+sentinel":
        return _sentinel(address, options)
    if address.scheme == "unix":
        kind: type = UnixDomainSocketConnection
        options["path"] = address.path
    else:
        kind = Connection if address.tls is None else SSLConnection
        options |= dict(zip(("host", "port"), address.hosts[0], strict=True)) | (address.tls or {})
    return Redis.from_pool(ConnectionPool(connection_class=kind, **options))


def _sentinel(address: Address, options: dict[str, Any]) -> Redis:
    tls = {"ssl": True, **address.tls} if address.tls is not None else {}
    to_sentinel = {
        **options,
        "username": None,
        "password": None,
        **address.sentinel_login,
        "db": 0,
        "socket_timeout": SENTINEL_TIMEOUT,
        "socket_connect_timeout": SENTINEL_TIMEOUT,
        **tls,
    }
    sentinel = Sentinel(address.hosts, sentinel_kwargs=to_sentinel)  # type: ignore[no-untyped-call]
    client: Redis = sentinel.master_for(address.service, **options, **tls)  # type: ignore[no-untyped-call]
    return client
