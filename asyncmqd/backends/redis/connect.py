"""From an address to the link that it asks for."""

from __future__ import annotations

from functools import partial
from typing import Any

from redis.asyncio.cluster import ClusterNode
from redis.asyncio.connection import Connection, SSLConnection, UnixDomainSocketConnection
from redis.asyncio.retry import Retry
from redis.asyncio.sentinel import (
    SentinelConnectionPool,
    SentinelManagedConnection,
    SentinelManagedSSLConnection,
)
from redis.backoff import NoBackoff

from asyncmqd.backends.redis.address import Address
from asyncmqd.backends.redis.calls import Link
from asyncmqd.backends.redis.cluster import ClusterClient, Clustered
from asyncmqd.backends.redis.sentinel import Discovery
from asyncmqd.backends.redis.single_server import Single, Watched

SENTINEL_TIMEOUT = 0.5


def link_to(address: Address) -> Link:
    """The link that the address asks for."""
    options = _options(address)
    if address.scheme == "redis+cluster":
        return Clustered(address, lambda: _cluster(address, options))
    if address.scheme == "redis+sentinel":
        return _sentinel(address, options)
    if address.scheme == "unix":
        return Single(address, lambda: UnixDomainSocketConnection(path=address.path, **options))
    host, port = address.hosts[0]
    kind = Connection if address.tls is None else SSLConnection
    return Single(address, lambda: kind(host=host, port=port, **options))


def _options(address: Address) -> dict[str, Any]:
    """Arguments of every connection.

    No timeouts here: one around the whole round trip is enough, and those of redis-py cost a task
    for each write. RESP2 because it needs no handshake and tells wake-ups from replies as well.
    """
    options: dict[str, Any] = {
        "protocol": 2,
        "driver_info": None,
        "retry": Retry(NoBackoff(), 0),
        "socket_timeout": None,
        "socket_connect_timeout": address.timeout,
        **address.login,
        **(address.tls or {}),
    }
    if address.scheme != "redis+cluster":
        options["db"] = address.db
    if address.scheme != "unix":
        options["socket_keepalive"] = True
    return options


def _cluster(address: Address, options: dict[str, Any]) -> ClusterClient:
    return ClusterClient(
        startup_nodes=[ClusterNode(host, port) for host, port in address.hosts],
        max_connections=address.max_connections,
        ssl=address.tls is not None,
        **options,
    )


def _sentinel(address: Address, options: dict[str, Any]) -> Watched:
    login = {"username": None, "password": None, **address.sentinel_login, "db": 0}
    # A short time for each sentinel, so that a silent one leaves time to ask the next.
    short = {"socket_timeout": SENTINEL_TIMEOUT, "socket_connect_timeout": SENTINEL_TIMEOUT}
    tls = {"ssl": address.tls is not None}
    discovery = Discovery(address.hosts, sentinel_kwargs={**options, **login, **short, **tls})  # type: ignore[no-untyped-call]
    kind = SentinelManagedConnection if address.tls is None else SentinelManagedSSLConnection
    pool = SentinelConnectionPool(  # type: ignore[no-untyped-call]
        address.service, discovery, connection_class=kind, **options
    )
    plain = Connection if address.tls is None else SSLConnection
    sentinels = [
        partial(plain, host=host, port=port, **{**options, **login}) for host, port in address.hosts
    ]
    return Watched(address, pool.make_connection, discovery, sentinels)
