"""What is done by connections and clients of redis-py: Sentinel, Cluster, TLS, and subscribing."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from functools import partial
from ssl import SSLContext
from typing import Any

from redis.asyncio.cluster import ClusterNode
from redis.asyncio.connection import (
    AbstractConnection,
    Connection,
    RedisSSLContext,
    SSLConnection,
    UnixDomainSocketConnection,
)
from redis.asyncio.retry import Retry
from redis.asyncio.sentinel import (
    SentinelConnectionPool,
    SentinelManagedConnection,
    SentinelManagedSSLConnection,
)
from redis.backoff import NoBackoff

from asyncmqd.backends.redis.address import Address
from asyncmqd.backends.redis.blocking_clients import SENTINEL_TIMEOUT
from asyncmqd.backends.redis.cluster import ClusterClient, Clustered
from asyncmqd.backends.redis.connect import greeting, open_tcp
from asyncmqd.backends.redis.sentinel import PROMOTION, Announcements, Discovery
from asyncmqd.backends.redis.single_server import Watched
from asyncmqd.backends.redis.wire import Wire


def connection(address: Address) -> AbstractConnection:
    """One to the one server of the address, to subscribe by."""
    options = _options(address)
    if address.scheme == "unix":
        return UnixDomainSocketConnection(path=address.path, **options)
    host, port = address.hosts[0]
    kind = Connection if address.tls is None else SSLConnection
    return kind(host=host, port=port, **options)


def tls_context(tls: dict[str, Any]) -> SSLContext:
    """Read the files that the address names. Raises OSError."""
    return RedisSSLContext(**{key.removeprefix("ssl_"): value for key, value in tls.items()}).get()


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


def clustered(address: Address) -> Clustered:
    """The link to a cluster."""
    return Clustered(address, lambda: _cluster(address))


def _cluster(address: Address) -> ClusterClient:
    return ClusterClient(
        startup_nodes=[ClusterNode(host, port) for host, port in address.hosts],
        max_connections=address.max_connections,
        ssl=address.tls is not None,
        **_options(address),
    )


def watched(address: Address) -> Watched:
    """The link to the master that Sentinel names."""
    options = _options(address)
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

    context = None if address.tls is None else partial(tls_context, address.tls)

    async def opening(wire: asyncio.Protocol) -> None:
        await open_tcp(wire, *await discovery.discover_master(address.service), context)

    def announcements(heard: Callable[[], None]) -> Announcements:
        patience = min(PROMOTION, address.timeout / 2)  # and then the call itself takes its time
        return Announcements(sentinels, address.service, heard, patience)

    said = greeting(address)
    return Watched(
        address, lambda: Wire(opening, said), lambda: pool.make_connection, discovery, announcements
    )
