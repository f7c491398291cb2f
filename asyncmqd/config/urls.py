"""Store URLs: which ones can be meant, and how to show them without their secrets.

The stores themselves are a layer above; here a URL is only text.
"""

from __future__ import annotations

import re
from urllib.parse import urlsplit

SCHEMES = (
    "memory",
    "sqlite",
    "redis",
    "rediss",
    "unix",
    "redis+sentinel",
    "redis+cluster",
)
FORMS = (
    "memory://, sqlite:///path, redis://, rediss://, unix://, redis+sentinel:// or redis+cluster://"
)


def check_backend(url: str) -> str:
    """The URL itself. Raises ValueError, without any secret in it, unless it can name a store."""
    scheme, separator, rest = url.partition("://")
    if not separator:
        raise ValueError(f"expected {FORMS}, got text without ://")
    if scheme not in SCHEMES:
        known = re.fullmatch(r"[a-zA-Z0-9+.-]{1,20}", scheme)
        raise ValueError(f"expected {FORMS}, got {scheme + '://' if known else 'another scheme'}")
    if scheme == "sqlite":
        _check_path(rest, "sqlite:///var/lib/asyncmqd/jobs.db")
    elif scheme == "unix":
        _check_path(rest, "unix:///run/redis/redis.sock")
    elif scheme != "memory":
        _check_server(scheme, url)
    return url


def _check_path(rest: str, example: str) -> None:
    # A socket's URL may carry a user and a password before its path.
    path = rest.rpartition("@")[2].partition("?")[0]
    if not path.startswith("/") or path.endswith("/"):
        raise ValueError(f"expected an absolute path like {example}, got {path[:80]!r}")


def _check_server(scheme: str, url: str) -> None:
    """What every Redis URL has to be. Options are for the store to check.

    Nothing of the URL is repeated: where a password holds a /, all of it may be a part of it.
    """
    try:
        parts = urlsplit(url)
        hosts = parts.netloc.rpartition("@")[2].split(",")
        _ = [urlsplit(f"//{host}").port for host in hosts]
    except ValueError:
        raise _unclear() from None
    if "#" in url or "@" in parts.path or not url.isprintable():
        raise _unclear()
    if len(hosts) > 1 and "+" not in scheme:
        raise ValueError(f"expected one host, got {len(hosts)}")
    path = parts.path.strip("/")
    if scheme == "redis+cluster" and path:
        raise ValueError("expected no database, because a cluster has only one, got a path")
    if scheme == "redis+sentinel":
        service, _, path = path.partition("/")
        if not service:
            raise ValueError("expected the master's name like redis+sentinel://host/name, got none")
    if path and not path.isdecimal():
        raise ValueError("expected a database number like redis://localhost/0, got another path")


def _unclear() -> ValueError:
    return ValueError(
        "expected a host and a port like redis://localhost:6379"
        " (in a password / ? # are %2F %3F %23), got another form"
    )
