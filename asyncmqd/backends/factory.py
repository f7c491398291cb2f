"""From a URL to a store. Each store's module is imported only when its URL is used."""

from __future__ import annotations

from asyncmqd.backends.base import BaseBackend
from asyncmqd.domain.codec import DEFAULT_PAYLOAD_LIMIT
from asyncmqd.domain.url_redaction import redacted

_REDIS = {"redis", "rediss", "unix", "redis+sentinel", "redis+cluster"}


def open_backend(url: str, payload_limit: int = DEFAULT_PAYLOAD_LIMIT) -> BaseBackend:
    """The store that `url` names, for payloads of so many bytes. Nothing is contacted yet.

    Raises ValueError.
    """
    store = _named(url)
    store.payload_limit = payload_limit
    return store


def _named(url: str) -> BaseBackend:
    scheme = url.partition("://")[0]
    if scheme == "memory":
        from asyncmqd.backends.memory import InMemoryBackend

        return InMemoryBackend(url)
    if scheme == "sqlite":
        from asyncmqd.backends.sqlite import SQLiteBackend

        return SQLiteBackend(url)
    if scheme in _REDIS:
        from asyncmqd.backends.redis import RedisBackend

        return RedisBackend(url)
    shown = redacted(url) if "://" in url else "text without ://"
    raise ValueError(
        "backend: expected memory://, sqlite:///path, redis://, rediss://, unix://,"
        f" redis+sentinel:// or redis+cluster://, got {shown!r}"
    )
