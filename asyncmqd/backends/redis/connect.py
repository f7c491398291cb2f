"""From an address to connections that send what they are given once, and never again.

redis-py's own retries are off: a claim that is sent twice orphans jobs, and a slow script would run
as often as it is retried. Whoever gets a StoreError asks again, since every verb is idempotent.
"""

from __future__ import annotations

import abc
import asyncio
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import hiredis
from redis.asyncio.cluster import ClusterNode, RedisCluster
from redis.asyncio.connection import (
    AbstractConnection,
    Connection,
    SSLConnection,
    UnixDomainSocketConnection,
)
from redis.asyncio.retry import Retry
from redis.asyncio.sentinel import (
    Sentinel,
    SentinelConnectionPool,
    SentinelManagedConnection,
    SentinelManagedSSLConnection,
)
from redis.backoff import NoBackoff
from redis.exceptions import (
    AuthenticationError,
    AuthorizationError,
    ClusterDownError,
    NoPermissionError,
    NoScriptError,
    RedisClusterException,
    RedisError,
    ResponseError,
)
from redis.exceptions import ConnectionError as LostConnection

from asyncmqd.backends.base import StoreError, StoreRefused
from asyncmqd.backends.redis import scripts
from asyncmqd.backends.redis.address import Address
from asyncmqd.backends.redis.scripts import WAIT, Command, Late, made, teach

_pack: Callable[[Command], bytes] = hiredis.pack_command  # type: ignore[assignment]
COMMAND_TIMEOUT = 5.0  # seconds for one round trip, connecting included
SENTINEL_TIMEOUT = 0.5
_PIECE = 64 * 1024  # bytes that are packed before they are sent
FAULTS = (RedisError, RedisClusterException, OSError)  # of which TimeoutError is one
_REFUSALS = (AuthenticationError, AuthorizationError, NoPermissionError)


def to_store_error(address: Address, error: Exception) -> StoreError:
    """What the contract calls an error of redis-py, with its cause; raise it `from` that.

    Servers and proxies repeat what they do not understand, a login among it: no secret stands in
    the error, and a cause that has one is left out.
    """
    if str(error).startswith("LAYOUT "):
        return _other_layout(address.url, str(error).split()[1])
    # What goes wrong while it logs in comes wrapped in another error.
    refused = isinstance(error, _REFUSALS) or isinstance(error.__cause__, _REFUSALS)
    refused = refused or str(error).startswith("WRONGTYPE")
    kind = StoreRefused if refused else StoreError
    found = kind(f"{address.url}: {address.hide(str(error)) or 'no answer in time'}")
    if all(address.hide(str(each)) == str(each) for each in _chain(error)):
        found.__cause__ = error
    return found


def _chain(error: BaseException | None) -> Iterator[BaseException]:
    while error is not None:
        yield error
        error = error.__cause__ or error.__context__


def _other_layout(url: str, found: str) -> StoreRefused:
    return StoreRefused(
        f"{url}: expected layout {scripts.LAYOUT}, got {found}: the store was migrated meanwhile"
        " by another release, which is to be used from now on"
    )


class Link(abc.ABC):
    """A bounded set of connections to a store. It connects at its first use."""

    clustered = False  # whether the keys of two queues may live on two nodes

    def __init__(self, address: Address) -> None:
        self._address = address
        self._free = asyncio.Semaphore(address.max_connections)

    async def run(self, *commands: Command | Late) -> list[Any]:
        """Send commands in one write; the reply to each. Raises StoreError if one of them fails.

        A script that a server does not have, because it is new or was told to forget, is sent in
        full; the other commands are not repeated.
        """
        try:
            async with self._free, asyncio.timeout(COMMAND_TIMEOUT):
                replies = await self._send(commands)
                await self._send_unknown(commands, replies)
        except FAULTS as error:
            told = self.error(error)
            raise told from told.__cause__
        for reply in replies:
            if isinstance(reply, Exception):
                told = self.error(reply)
                raise told from told.__cause__
        return replies

    async def _send_unknown(self, commands: Sequence[Command | Late], replies: list[Any]) -> None:
        unknown = [at for at, reply in enumerate(replies) if isinstance(reply, NoScriptError)]
        if unknown:
            # Replicas confirmed what came before those scripts: wait for them anew.
            unknown += [at for at, command in enumerate(commands) if made(command)[0] == WAIT]
            again = await self._send([teach(made(commands[at])) for at in unknown])
            for at, reply in zip(unknown, again, strict=True):
                replies[at] = reply

    def error(self, error: Exception) -> StoreError:
        """What the contract calls this error."""
        return to_store_error(self._address, error)

    @abc.abstractmethod
    async def _send(self, commands: Sequence[Command | Late]) -> list[Any]:
        """One reply or exception for each command."""

    @abc.abstractmethod
    async def info(self, section: str) -> list[bytes]:
        """The answer of each master to INFO."""

    @abc.abstractmethod
    async def masters(self) -> dict[str, Callable[[], AbstractConnection]]:
        """How to make a connection of one's own to each master, by the master's name."""

    @abc.abstractmethod
    async def distrust(self) -> None:
        """Another connection to the store turned out to be dead: use no old one without need."""

    @abc.abstractmethod
    async def close(self) -> None:
        """Close all connections; the link may be used again."""


class Single(Link):
    """One server, or the master that Sentinel names."""

    def __init__(
        self,
        address: Address,
        connect: Callable[[], AbstractConnection],
        sentinel: Sentinel | None = None,
    ) -> None:
        super().__init__(address)
        self._connect = connect
        self._sentinel = sentinel
        self._idle: list[AbstractConnection] = []

    async def _send(self, commands: Sequence[Command | Late]) -> list[Any]:
        # Not redis-py's pipeline: it costs three times the CPU of the round trip itself.
        connection = self._idle.pop() if self._idle else self._connect()
        try:
            await _freshen(connection)
            for packed in _packed(commands):
                await connection.send_packed_command(packed, check_health=False)
            replies = [await _reply(connection) for _ in commands]
        except BaseException as error:
            # A reply to what was cut short must never be read as the reply to something else.
            await connection.disconnect(nowait=True)
            if isinstance(error, LostConnection):
                await self._drop_idle()  # they lead to the same dead or demoted server
            raise
        self._idle.append(connection)
        return replies

    async def info(self, section: str) -> list[bytes]:
        return await self.run(("INFO", section))

    async def masters(self) -> dict[str, Callable[[], AbstractConnection]]:
        return {"": self._connect}

    async def distrust(self) -> None:
        await self._drop_idle()

    async def close(self) -> None:
        await self._drop_idle()
        if self._sentinel is not None:
            await self._sentinel.aclose()

    async def _drop_idle(self) -> None:
        while self._idle:
            await self._idle.pop().disconnect(nowait=True)


def _packed(commands: Sequence[Command | Late]) -> Iterator[bytes]:
    """As they are sent: few in one piece, many in several, so that the server begins with the first
    while the others are being packed.
    """
    pieces, size = [], 0
    for command in commands:
        pieces.append(_pack(made(command)))
        size += len(pieces[-1])
        if size >= _PIECE:
            yield b"".join(pieces)
            pieces, size = [], 0
    if pieces:
        yield b"".join(pieces)


async def _freshen(connection: AbstractConnection) -> None:
    """Connect, also when the server has closed the connection meanwhile."""
    if connection.is_connected and await connection.can_read():
        await connection.disconnect(nowait=True)
    if not connection.is_connected:
        await connect(connection)


async def connect(connection: AbstractConnection) -> None:
    """Connect and log in."""
    await connection.connect()  # type: ignore[no-untyped-call]


async def _reply(connection: AbstractConnection) -> Any:
    try:
        return await connection.read_response()
    except ResponseError as error:
        return error


class Clustered(Link):
    """A cluster: redis-py finds the node of each key."""

    clustered = True

    def __init__(self, address: Address, connect: Callable[[], RedisCluster]) -> None:
        super().__init__(address)
        self._connect = connect
        self._client: RedisCluster | None = None

    async def _cluster(self) -> RedisCluster:
        if self._client is None:
            self._client = self._connect()
        return await self._client.initialize()

    async def _send(self, commands: Sequence[Command | Late]) -> list[Any]:
        pipeline = (await self._cluster()).pipeline()
        for command in commands:
            pipeline.execute_command(*made(command))
        replies = await pipeline.execute(raise_on_error=False)
        if any(isinstance(each, LostConnection | OSError | ClusterDownError) for each in replies):
            await self.close()  # learn anew who the masters are
        return replies

    async def info(self, section: str) -> list[bytes]:
        try:
            async with asyncio.timeout(COMMAND_TIMEOUT):
                client = await self._cluster()
                nodes = client.get_primaries()
                return [await _raw_info(node, section) for node in nodes]
        except FAULTS as error:
            await self.close()  # it may have asked one who is no master any more
            told = self.error(error)
            raise told from told.__cause__

    async def masters(self) -> dict[str, Callable[[], AbstractConnection]]:
        nodes = (await self._cluster()).get_primaries()
        return {node.name: _maker(node) for node in nodes}

    async def distrust(self) -> None:
        await self.close()  # and learn anew who the masters are

    async def close(self) -> None:
        client, self._client = self._client, None
        if client is not None:
            await client.aclose()


async def _raw_info(node: ClusterNode, section: str) -> bytes:
    connection = _maker(node)()
    try:
        await connection.send_command("INFO", section)
        return bytes(await connection.read_response())
    finally:
        await connection.disconnect(nowait=True)


def _maker(node: ClusterNode) -> Callable[[], AbstractConnection]:
    return lambda: node.connection_class(**node.connection_kwargs)


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
        "socket_connect_timeout": COMMAND_TIMEOUT,
        **address.login,
        **(address.tls or {}),
    }
    if address.scheme != "redis+cluster":
        options["db"] = address.db
    if address.scheme != "unix":
        options["socket_keepalive"] = True
    return options


def _cluster(address: Address, options: dict[str, Any]) -> RedisCluster:
    return RedisCluster(
        startup_nodes=[ClusterNode(host, port) for host, port in address.hosts],
        max_connections=address.max_connections,
        ssl=address.tls is not None,
        **options,
    )


def _sentinel(address: Address, options: dict[str, Any]) -> Single:
    # A short time for each sentinel, so that a silent one leaves time to ask the next.
    to_sentinel = {
        **options,
        "username": None,
        "password": None,
        **address.sentinel_login,
        "db": 0,
        "ssl": address.tls is not None,
        "socket_timeout": SENTINEL_TIMEOUT,
        "socket_connect_timeout": SENTINEL_TIMEOUT,
    }
    sentinel = Sentinel(address.hosts, sentinel_kwargs=to_sentinel)  # type: ignore[no-untyped-call]
    kind = SentinelManagedConnection if address.tls is None else SentinelManagedSSLConnection
    pool = SentinelConnectionPool(  # type: ignore[no-untyped-call]
        address.service, sentinel, connection_class=kind, **options
    )
    return Single(address, pool.make_connection, sentinel)
