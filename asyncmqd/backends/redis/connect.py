"""From an address to the link that it asks for.

redis-py is imported by who needs it: a producer on one server does without.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Any

from asyncmqd.backends.redis import dial
from asyncmqd.backends.redis.address import Address
from asyncmqd.backends.redis.calls import Link
from asyncmqd.backends.redis.scripts import Command
from asyncmqd.backends.redis.single_server import Single
from asyncmqd.backends.redis.wire import Opening, Wire

if TYPE_CHECKING:
    from ssl import SSLContext

    from redis.asyncio.connection import AbstractConnection


def link_to(address: Address) -> Link:
    """The link that the address asks for."""
    if address.scheme in {"redis+cluster", "redis+sentinel"}:
        from asyncmqd.backends.redis import redis_py

        clustered = address.scheme == "redis+cluster"
        return redis_py.clustered(address) if clustered else redis_py.watched(address)
    opening, login = _opening(address), greeting(address)
    return Single(address, lambda: Wire(opening, login), lambda: _subscribing(address))


def _subscribing(address: Address) -> Callable[[], AbstractConnection]:
    from asyncmqd.backends.redis import redis_py

    return partial(redis_py.connection, address)


def greeting(address: Address) -> list[Command]:
    """What a connection says first."""
    login = [address.login[key] for key in ("username", "password") if key in address.login]
    commands: list[Command] = [("AUTH", *login)] if login else []
    if address.db:
        commands.append(("SELECT", address.db))
    if address.tls is not None and not commands:
        # By TLS 1.3 a server refuses a client's certificate after the client has its connection: a
        # call that is sent by then might have been done, for all that the client knows.
        commands.append(("PING",))
    return commands


def _opening(address: Address) -> Opening:
    if address.scheme == "unix":
        return lambda wire: open_unix(wire, address.path)
    host, port = address.hosts[0]
    if address.tls is None:
        return lambda wire: open_tcp(wire, host, port)
    from asyncmqd.backends.redis import redis_py

    context = partial(redis_py.tls_context, address.tls)
    return lambda wire: open_tcp(wire, host, port, context)


async def open_unix(wire: asyncio.Protocol, path: str) -> None:
    """Connect a protocol by a unix socket. Raises OSError."""
    line = await dial.to_path(path)
    await asyncio.get_running_loop().create_unix_connection(lambda: wire, sock=line)


async def open_tcp(
    wire: asyncio.Protocol, host: str, port: int, context: Callable[[], SSLContext] | None = None
) -> None:
    """Connect a protocol by TCP, or TLS. Raises OSError, and UnicodeError for an odd name."""
    tls: dict[str, Any] = {}
    if context is not None:
        tls = {"ssl": context(), "server_hostname": host}
    line = await dial.to_host(host, port)
    await asyncio.get_running_loop().create_connection(lambda: wire, sock=line, **tls)
