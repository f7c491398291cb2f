"""What is done by connections and clients of redis-py: Sentinel, Cluster, TLS, and subscribing."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable, Hashable, Mapping
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

from asyncmqd.backends.redis import dial
from asyncmqd.backends.redis.address import Address
from asyncmqd.backends.redis.blocking_clients import SENTINEL_TIMEOUT, no_passphrase
from asyncmqd.backends.redis.cluster import ClusterClient, Clustered
from asyncmqd.backends.redis.connect import greeting, open_tcp
from asyncmqd.backends.redis.sentinel import PROMOTION, Announcements, Discovery
from asyncmqd.backends.redis.single_server import Watched
from asyncmqd.backends.redis.wire import Wire


class Dialled(Connection):
    """Connects by the same sockets as our own connections."""

    _by: Mapping[str, Any]

    async def _connect(self) -> None:
        by = self._tls()
        async with asyncio.timeout(self.socket_connect_timeout):
            by["sock"] = await dial.to_host(self.host, self.port)
        self._by = by
        await super()._connect()  # type: ignore[no-untyped-call]

    def _connection_arguments(self) -> Mapping[str, Any]:
        return self._by

    def _tls(self) -> dict[str, Any]:
        return {}


class DialledTLS(Dialled, SSLConnection):
    """The same by TLS."""

    def _tls(self) -> dict[str, Any]:
        return {"ssl": _loaded(self.ssl_context), "server_hostname": self.host}


class _OfMaster(Dialled, SentinelManagedConnection):
    """The same to the master that Sentinel names."""


class _OfMasterTLS(DialledTLS, SentinelManagedSSLConnection):
    """The same by TLS."""


class _DialledUnix(UnixDomainSocketConnection):
    async def _connect(self) -> None:
        async with asyncio.timeout(self.socket_connect_timeout):
            line = await dial.to_path(self.path)
        self._reader, self._writer = await asyncio.open_unix_connection(sock=line)


def connection(address: Address) -> AbstractConnection:
    """One to the one server of the address, to subscribe by."""
    options = _options(address)
    if address.scheme == "unix":
        return _DialledUnix(path=address.path, **options)
    host, port = address.hosts[0]
    kind = Dialled if address.tls is None else DialledTLS
    return kind(host=host, port=port, **options)


def tls_context(tls: dict[str, Any]) -> SSLContext:
    """What the address says of TLS, with the files that it names. Raises OSError."""
    names = {key.removeprefix("ssl_"): value for key, value in tls.items()}
    return _loaded(RedisSSLContext(**names))


_contexts: dict[Hashable, tuple[list[tuple[int, ...]], SSLContext]] = {}
"""What was read, by what an address says of it, with the marks of the files at that time."""


def _loaded(told: RedisSSLContext) -> SSLContext:
    """Read the files, if one of them has changed: this holds up the loop for 40 ms or more."""
    files = told.ca_certs, told.certfile, told.keyfile
    key = (*files, told.cert_reqs, told.check_hostname, told.min_version)
    marks = [_mark(path) for path in files if path is not None]
    known = _contexts.get(key)
    if known is None or known[0] != marks:
        told.password = no_passphrase  # type: ignore[assignment]
        known = _contexts[key] = marks, told.get()
    return known[1]


def _mark(path: str) -> tuple[int, ...]:
    """It is another one when the file is. Raises an OSError that names the file."""
    found = os.stat(path)
    return found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns


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
        Dialled if address.tls is None else DialledTLS,
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
    kind = _OfMaster if address.tls is None else _OfMasterTLS
    pool = SentinelConnectionPool(  # type: ignore[no-untyped-call]
        address.service, discovery, connection_class=kind, **options
    )
    plain = Dialled if address.tls is None else DialledTLS
    discovery.connect_by(plain)
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
