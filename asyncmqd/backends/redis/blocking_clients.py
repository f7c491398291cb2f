"""Clients of redis-py for threads that have no event loop."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from typing import Any

from redis import Redis
from redis.backoff import NoBackoff
from redis.cluster import ClusterNode, RedisCluster
from redis.connection import Connection, ConnectionPool, SSLConnection, UnixDomainSocketConnection
from redis.retry import Retry
from redis.sentinel import Sentinel, SentinelConnectionPool

from asyncmqd.backends.redis import dial
from asyncmqd.backends.redis.address import Address

SENTINEL_TIMEOUT = 0.5  # seconds


def no_passphrase() -> str:
    """OpenSSL would ask the terminal, and all would stop until somebody answers."""
    raise OSError("ssl_keyfile: expected a key without a passphrase, got an encrypted one")


class _Dialled(UnixDomainSocketConnection):
    def _connect(self) -> socket.socket:
        seconds = self.socket_connect_timeout
        assert seconds, "expected a time limit"
        return dial.to_path_in_a_thread(self.path, seconds)


def connections_of(client: Any) -> Iterator[Any]:
    """All of a client of redis-py, which has no name for them."""
    if isinstance(client, RedisCluster):
        for node in client.nodes_manager.nodes_cache.values():
            yield from connections_of(node.redis_connection)
    else:
        pool = client.connection_pool
        yield from (*pool._available_connections, *pool._in_use_connections)  # noqa: SLF001
        if isinstance(pool, SentinelConnectionPool):
            for sentinel in pool.sentinel_manager.sentinels:
                yield from connections_of(sentinel)


def client_of(address: Address, timeout: float) -> Redis | RedisCluster:
    """A client that waits so many seconds at most."""
    # redis-py's greeting (CLIENT SETINFO) is left on: over TLS its replies flush out the session
    # tickets. Otherwise the pool would take these for data of another call, and refuse the
    # connection.
    options: dict[str, Any] = {
        "protocol": 2,
        "retry": Retry(NoBackoff(), 0),
        "socket_timeout": timeout,
        "socket_connect_timeout": timeout,
        **address.login,
    }
    tls = {} if address.tls is None else {**address.tls, "ssl_password": no_passphrase}
    if address.scheme == "redis+cluster":
        nodes = [
            ClusterNode(host, port)  # type: ignore[no-untyped-call]
            for host, port in address.hosts
        ]
        return RedisCluster(startup_nodes=nodes, ssl=address.tls is not None, **options, **tls)
    options["db"] = address.db
    if address.scheme == "redis+sentinel":
        return _sentinel(address, options, tls)
    if address.scheme == "unix":
        kind: type = _Dialled
        options["path"] = address.path
    else:
        kind = Connection if address.tls is None else SSLConnection
        options |= dict(zip(("host", "port"), address.hosts[0], strict=True)) | tls
    return Redis.from_pool(ConnectionPool(connection_class=kind, **options))


def _sentinel(address: Address, options: dict[str, Any], tls: dict[str, Any]) -> Redis:
    if tls:
        tls = {"ssl": True, **tls}
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
