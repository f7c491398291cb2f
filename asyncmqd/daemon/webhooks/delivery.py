"""One request of a webhook: signed, to an address that was looked at, and to no other.

The form is that of Standard Webhooks, for which receivers have libraries.
"""

from __future__ import annotations

import asyncio
import base64
import contextlib
import hmac
import socket
from collections.abc import Iterable
from functools import cache
from hashlib import sha256
from ipaddress import IPv4Address, IPv6Address, ip_address, ip_network
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import h11

import asyncmqd
from asyncmqd.domain import clock
from asyncmqd.domain.retry import Reject

if TYPE_CHECKING:
    import ssl

LIMIT = 10.0  # seconds for a whole request
NEXT = 2.0  # seconds after which the next address of a name is tried: the first may never answer
_READ = 16 * 1024
_GONE = 410  # the receiver wants no more
_NAT64, _SIX_TO_FOUR = ip_network("64:ff9b::/96"), ip_network("2002::/16")


class NotDelivered(Exception):
    """The receiver did not take it; another attempt may help."""


async def deliver(
    url: str, id: str, body: bytes, secret: bytes, *, allow_private: bool = False
) -> None:
    """Send one request. Raises NotDelivered, or Reject where nothing will help."""
    parts = urlsplit(url)
    host, is_https = parts.hostname or "", parts.scheme == "https"
    port = parts.port or (443 if is_https else 80)
    target = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    headers = [("Host", parts.netloc), *signed(id, round(clock.wall()), body, secret)]
    try:
        async with asyncio.timeout(LIMIT):
            addresses = await _resolve(host, port)
            check_addresses(addresses, allow_private)
            context = _tls() if is_https else None
            status = await _ask(addresses, port, context, host, target, headers, body)
    except TimeoutError:
        raise NotDelivered(f"{host}: no answer within {LIMIT:g} s") from None
    except (OSError, EOFError, h11.ProtocolError) as error:
        raise NotDelivered(f"{host}: {type(error).__name__}: {error}") from None
    if status == _GONE:
        raise Reject(f"{host}: status 410: the receiver wants no more")
    if not 200 <= status < 300:
        redirect = ": redirects are not followed" if 300 <= status < 400 else ""
        raise NotDelivered(f"{host}: expected status 200 to 299, got {status}{redirect}")


def signed(id: str, timestamp: int, body: bytes, secret: bytes) -> list[tuple[str, str]]:
    """The headers of a request. The signature covers id, time and body."""
    digest = hmac.new(secret, f"{id}.{timestamp}.".encode() + body, sha256).digest()
    return [
        ("Content-Type", "application/json"),
        ("Content-Length", str(len(body))),
        ("User-Agent", f"asyncmqd/{asyncmqd.__version__}"),
        ("Connection", "close"),
        ("Webhook-Id", id),
        ("Webhook-Timestamp", str(timestamp)),
        ("Webhook-Signature", f"v1,{base64.b64encode(digest).decode()}"),
    ]


def check_addresses(addresses: Iterable[str], allow_private: bool) -> None:
    """Raises Reject for a name that leads, also among others, to an address that is not public."""
    private = [each for each in addresses if not is_public(each)]
    if private and not allow_private:
        raise Reject(f"expected a public address, got {private[0]}: see allow_private")


def is_public(address: str) -> bool:
    """Whether an address is one of the Internet, also the IPv4 address inside of an IPv6 one."""
    found = ip_address(address.partition("%")[0])
    inner = _inner(found) if isinstance(found, IPv6Address) else None
    found = found if inner is None else inner
    return found.is_global and not found.is_multicast


def _inner(found: IPv6Address) -> IPv4Address | None:
    if found.ipv4_mapped is not None:
        return found.ipv4_mapped
    if found in _NAT64:
        return IPv4Address(int(found) & 0xFFFF_FFFF)
    if found in _SIX_TO_FOUR:
        return IPv4Address(int(found) >> 80 & 0xFFFF_FFFF)
    return None


async def _resolve(host: str, port: int) -> list[str]:
    loop = asyncio.get_running_loop()
    found = await loop.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return list(dict.fromkeys(str(address[0]) for *_, address in found))


@cache
def _tls() -> ssl.SSLContext:
    import ssl

    return ssl.create_default_context()


async def _ask(
    addresses: list[str],
    port: int,
    context: ssl.SSLContext | None,
    host: str,
    target: str,
    headers: list[tuple[str, str]],
    body: bytes,
) -> int:
    """The status. It connects to an address, so that no second look-up can lead elsewhere."""
    reader, writer = await _connect(addresses, port, context, host)
    try:
        connection = h11.Connection(h11.CLIENT)
        request = h11.Request(method="POST", target=target, headers=headers)
        for part in (request, h11.Data(data=body), h11.EndOfMessage()):
            writer.write(connection.send(part) or b"")
        await writer.drain()
        while True:
            event = connection.next_event()
            if isinstance(event, h11.Response):
                return int(event.status_code)
            if event is h11.NEED_DATA:
                connection.receive_data(await reader.read(_READ))
            elif not isinstance(event, h11.InformationalResponse):
                raise EOFError("it hung up")
    finally:
        writer.close()


async def _connect(
    addresses: list[str], port: int, context: ssl.SSLContext | None, host: str
) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    *first, last = addresses
    named = host if context else None
    for address in first:
        with contextlib.suppress(OSError):  # also that it took too long
            async with asyncio.timeout(NEXT):
                return await asyncio.open_connection(
                    address, port, ssl=context, server_hostname=named
                )
    return await asyncio.open_connection(last, port, ssl=context, server_hostname=named)
