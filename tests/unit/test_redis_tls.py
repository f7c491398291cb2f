"""rediss:// against a proxy that speaks TLS, since the servers of the wheels do not.

The certificate in `tls/` is for tests, for the name localhost and 127.0.0.1.
"""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from asyncmqd.backends.base import Held, StoreError
from asyncmqd.backends.redis import RedisBackend
from asyncmqd.domain.job import NewJob
from tests.servers import USUAL, RedisServer

CERTIFICATE = Path(__file__).parent / "tls" / "localhost.pem"
KEY = CERTIFICATE.with_suffix(".key")


async def _pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    try:
        while data := await reader.read(65_536):
            writer.write(data)
            await writer.drain()
    except OSError:
        pass  # the other side is gone: so is this one
    finally:
        writer.close()


@pytest.fixture
async def url(tmp_path: Path) -> AsyncIterator[str]:
    """The address of the proxy."""
    async for address in _proxied(tmp_path, ssl.TLSVersion.MAXIMUM_SUPPORTED):
        yield address


@pytest.fixture
async def old_url(tmp_path: Path) -> AsyncIterator[str]:
    """The same, of one that speaks TLS 1.2 at most."""
    async for address in _proxied(tmp_path, ssl.TLSVersion.TLSv1_2):
        yield address


async def _proxied(tmp_path: Path, newest: ssl.TLSVersion) -> AsyncIterator[str]:
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.maximum_version = newest
    context.load_cert_chain(CERTIFICATE, KEY)
    with RedisServer(USUAL, tmp_path) as server:

        async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            inner, outer = await asyncio.open_unix_connection(server.socket)
            await asyncio.gather(_pump(reader, outer), _pump(inner, writer))

        proxy = await asyncio.start_server(serve, "127.0.0.1", 0, ssl=context)
        async with proxy:
            yield f"rediss://127.0.0.1:{proxy.sockets[0].getsockname()[1]}"


@pytest.mark.parametrize("option", [f"ssl_ca_certs={CERTIFICATE}", "ssl_cert_reqs=none"])
async def test_jobs_over_tls(url: str, option: str):
    store = RedisBackend(f"{url}?{option}")
    await store.wait(["mail"], 0.0)
    assert await store.claim("mail", 1, 60, "w") == []
    await store.add("mail", [NewJob(id="a", payload=b"{}")])
    assert await store.wait(["mail"], 20) == {"mail"}
    [claim] = await store.claim("mail", 1, 60, "w")
    held = [Held("mail", "a", claim.token)]
    assert await asyncio.to_thread(store.extender(), held, 60) == [True]
    await store.close()


async def test_a_server_that_speaks_no_new_tls_is_refused(old_url: str):
    store = RedisBackend(f"{old_url}?ssl_cert_reqs=none&ssl_min_version=1.3")
    with pytest.raises(StoreError, match="cannot connect"):
        await store.connect()
    await store.close()
    store = RedisBackend(f"{old_url}?ssl_cert_reqs=none")
    await store.connect()
    await store.close()


async def test_an_unknown_certificate_is_not_trusted(url: str):
    store = RedisBackend(url)
    with pytest.raises(StoreError, match=r"(?i)certificate.verify.failed"):
        await store.connect()
    with pytest.raises(StoreError):
        await asyncio.to_thread(store.extender(), [Held("mail", "a", 1)], 60)
    await store.close()
