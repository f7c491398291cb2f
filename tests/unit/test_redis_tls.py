"""rediss:// against a proxy that speaks TLS, since the servers of the wheels do not.

The certificate in `tls/` is for tests, for the name localhost and 127.0.0.1.
"""

from __future__ import annotations

import asyncio
import shutil
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from asyncmqd.backends.base import Held, StoreError, StoreUncertain
from asyncmqd.backends.redis import RedisBackend
from asyncmqd.backends.redis.address import parse
from asyncmqd.backends.redis.redis_py import tls_context
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


def _context() -> ssl.SSLContext:
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH, cafile=str(CERTIFICATE))
    context.load_cert_chain(CERTIFICATE, KEY)
    return context


async def _proxied(tmp_path: Path, newest: ssl.TLSVersion) -> AsyncIterator[str]:
    context = _context()
    context.maximum_version = newest
    async with _before_a_server(tmp_path, context) as address:
        yield address


@asynccontextmanager
async def _before_a_server(tmp_path: Path, context: ssl.SSLContext) -> AsyncIterator[str]:
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


async def test_a_client_certificate_is_shown_and_one_that_is_missing_is_told(tmp_path: Path):
    context = _context()
    context.verify_mode = ssl.CERT_REQUIRED
    async with _before_a_server(tmp_path, context) as url:
        with pytest.raises(StoreError):
            await RedisBackend(f"{url}?ssl_ca_certs={CERTIFICATE}").connect()
        mine = f"ssl_certfile={CERTIFICATE}&ssl_keyfile={KEY}"
        await test_jobs_over_tls(url, f"ssl_ca_certs={CERTIFICATE}&{mine}")


async def test_what_a_server_that_wants_another_certificate_never_got_is_not_in_doubt(
    tmp_path: Path,
):
    """By TLS 1.3 the client has its connection before the server looks at the certificate."""
    context = _context()
    async with _before_a_server(tmp_path, context) as url:
        store = RedisBackend(f"{url}?ssl_ca_certs={CERTIFICATE}")
        await store.connect()
        context.verify_mode = ssl.CERT_REQUIRED
        store._link.distrust()  # the next call has a new connection
        with pytest.raises(StoreError) as told:
            await store.add("mail", [NewJob(id="a", payload=b"{}")])
        assert not isinstance(told.value, StoreUncertain)
        context.verify_mode = ssl.CERT_NONE
        await store.add("mail", [NewJob(id="a", payload=b"{}")])
        await store.close()


def test_certificates_are_read_again_only_when_they_have_changed(tmp_path: Path):
    own = shutil.copy(CERTIFICATE, tmp_path)

    def read() -> ssl.SSLContext:
        tls = parse(f"rediss://localhost?ssl_ca_certs={own}").tls
        assert tls is not None
        return tls_context(tls)

    first = read()
    assert read() is first
    Path(own).unlink()
    with pytest.raises(FileNotFoundError, match=r"localhost\.pem"):
        read()
    shutil.copy(CERTIFICATE, own)
    second = read()
    assert second is not first
    assert read() is second


async def test_a_key_with_a_passphrase_is_refused_and_nobody_is_asked_for_it():
    key = KEY.with_name("encrypted.key")
    mine = f"ssl_certfile={CERTIFICATE}&ssl_keyfile={key}"
    store = RedisBackend(f"rediss://127.0.0.1:1?{mine}")
    with pytest.raises(StoreError, match="expected a key without a passphrase"):
        await store.connect()
    with pytest.raises(StoreError, match="expected a key without a passphrase"):
        await store.wait(["mail"], 0)
    await store.close()


async def test_who_renews_leases_is_asked_for_no_passphrase_either(url: str):
    mine = f"ssl_certfile={CERTIFICATE}&ssl_keyfile={KEY.with_name('encrypted.key')}"
    store = RedisBackend(f"{url}?{mine}")
    with pytest.raises(StoreError, match="expected a key without a passphrase"):
        await asyncio.to_thread(store.extender(), [Held("mail", "a", 1)], 60)
