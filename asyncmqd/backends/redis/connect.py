"""From an address to the link that it asks for.

redis-py is imported by who needs it: a producer on one server does without.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING

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
    return [*commands, ("SELECT", address.db)] if address.db else commands


def _opening(address: Address) -> Opening:
    if address.scheme == "unix":
        return lambda wire: asyncio.get_running_loop().create_unix_connection(
            lambda: wire, address.path
        )
    host, port = address.hosts[0]
    if address.tls is None:
        return lambda wire: open_tcp(wire, host, port)
    from asyncmqd.backends.redis import redis_py

    context = partial(redis_py.tls_context, address.tls)
    return lambda wire: open_tcp(wire, host, port, context)


async def open_tcp(
    wire: asyncio.Protocol, host: str, port: int, context: Callable[[], SSLContext] | None = None
) -> None:
    """Connect a protocol by TCP, or TLS. Raises OSError."""
    loop = asyncio.get_running_loop()
    await loop.create_connection(lambda: wire, host, port, ssl=context() if context else None)
