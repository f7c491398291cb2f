"""What a Redis URL says."""

from __future__ import annotations

import os
import re
from ssl import TLSVersion
from typing import Any
from urllib.parse import SplitResult, parse_qsl, unquote, urlsplit

import msgspec

from asyncmqd.backends import call_timeouts
from asyncmqd.backends.redis.redaction import without_login

DEFAULT_PORT = 6379
SENTINEL_PORT = 26379
DEFAULT_PREFIX = "asyncmq"
MAX_CONNECTIONS = 10
_PATH = 107  # bytes that the kernel takes as the path of a unix socket
_LABEL = 63  # characters between two dots of a host's name
TIMEOUT = 5.0  # seconds that a call may take, waiting for a connection and connecting included

_PREFIX = re.compile(r"[A-Za-z0-9_.:-]{1,64}")  # no braces: they would move the cluster's hash tag
_TLS_OPTIONS = (
    "ssl_ca_certs",
    "ssl_certfile",
    "ssl_keyfile",
    "ssl_cert_reqs",
    "ssl_check_hostname",
    "ssl_min_version",
)
_TLS_VERSIONS = {"1.2": TLSVersion.TLSv1_2, "1.3": TLSVersion.TLSv1_3}
_OPTIONS = {
    "redis": ("min_replicas",),
    "rediss": ("min_replicas", *_TLS_OPTIONS),
    "unix": ("db", "min_replicas"),
    "redis+sentinel": (
        "min_replicas",
        "ssl",
        "sentinel_username",
        "sentinel_password",
        *_TLS_OPTIONS,
    ),
    "redis+cluster": ("ssl", *_TLS_OPTIONS),
}


class Address(msgspec.Struct, frozen=True, kw_only=True):
    """Where a store is and how to log in. `login` and `sentinel_login` are secrets."""

    url: str  # without secrets
    scheme: str
    hosts: tuple[tuple[str, int], ...] = ()
    path: str = ""  # of the unix socket
    service: str = ""  # the master's name, for Sentinel
    db: int = 0
    login: dict[str, str]
    sentinel_login: dict[str, str]
    tls: dict[str, Any] | None = None  # arguments for an SSL connection; None: no TLS
    prefix: str = DEFAULT_PREFIX
    max_connections: int = MAX_CONNECTIONS
    timeout: float = TIMEOUT
    min_replicas: int = 0  # that must have a job before its enqueue returns
    allow_eviction: bool = False  # whether to work with a server that may delete jobs

    def __repr__(self) -> str:
        return f"Address({self.url!r})"

    def hide(self, text: str) -> str:
        """The text without what it repeats of a login."""
        logins = (self.login, self.sentinel_login)
        passwords, users = (
            [login[key] for login in logins if key in login] for key in ("password", "username")
        )
        return without_login(text, passwords, users)


def parse(url: str) -> Address:
    """Read a URL. Raises ValueError, without the password, that says what is wrong with it.

    `redis://[user:password@]host[:port][/db]`, `rediss://` the same over TLS,
    `unix://[user:password@]/path/of/socket[?db=1]`,
    `redis+sentinel://[user:password@]host[:port],.../service[/db]` and
    `redis+cluster://[user:password@]host[:port],...`. Options of all: `prefix` of all keys
    (`asyncmq`), `max_connections` (10), `timeout` (5): the seconds that a call may take,
    `allow_eviction` (`false`): whether to use a server that may delete jobs when its memory is
    full. Of all but Cluster:
    `min_replicas` (0) that must have a job before its enqueue returns. With TLS: `ssl_ca_certs`,
    `ssl_certfile`, `ssl_keyfile`, `ssl_cert_reqs` (`required`), `ssl_check_hostname` (`true`),
    `ssl_min_version` (`1.2`; or `1.3`);
    Sentinel and Cluster need `ssl=true` for it. Sentinel: `sentinel_username`, `sentinel_password`.
    """
    parts = _split(url)
    if parts.scheme not in _OPTIONS:
        raise ValueError(f"backend: expected one of {', '.join(_OPTIONS)}, got {parts.scheme!r}")
    shown = _without_secrets(parts)
    options = _options(parts, shown)
    sentinel = parts.scheme == "redis+sentinel"
    path = unquote(parts.path)
    service, _, db = path.strip("/").partition("/") if sentinel else ("", "", path.strip("/"))
    if sentinel and not service:
        raise ValueError(f"{shown}: expected /service, the name of the master, got none")
    if parts.scheme == "redis+cluster" and db:
        raise ValueError(f"{shown}: expected no database, a cluster has but one")
    unix = parts.scheme == "unix"
    return Address(
        url=shown,
        scheme=parts.scheme,
        hosts=() if unix else _hosts(parts, shown, SENTINEL_PORT if sentinel else DEFAULT_PORT),
        path=_socket_path(shown, path) if unix else "",
        service=service,
        db=_number(shown, "db", options.get("db", "0") if unix else db or "0", 0),
        login=_login(parts),
        sentinel_login={
            key: options[f"sentinel_{key}"]
            for key in ("username", "password")
            if f"sentinel_{key}" in options
        },
        tls=_tls(parts, shown, options),
        prefix=_prefix(shown, options.get("prefix", DEFAULT_PREFIX)),
        max_connections=_number(
            shown, "max_connections", options.get("max_connections", str(MAX_CONNECTIONS)), 1
        ),
        timeout=call_timeouts.seconds(shown, options.get("timeout", str(TIMEOUT))),
        min_replicas=_number(shown, "min_replicas", options.get("min_replicas", "0"), 0),
        allow_eviction=_flag(shown, "allow_eviction", options.get("allow_eviction", "false")),
    )


def _split(url: str) -> SplitResult:
    """The URL's parts, once it is certain which of them may be shown.

    Where a password holds a character that ends it, any other part may be a piece of it: then
    nothing of the URL is repeated.
    """
    try:
        parts = urlsplit(url)
    except ValueError:  # its message repeats the password
        raise _ambiguous() from None
    host = parts.netloc.rpartition("@")[2]
    path_is_plain = parts.scheme == "unix" and not parts.netloc  # /run/redis@1.sock
    if "#" in url or not url.isprintable() or ("@" in parts.path and not path_is_plain):
        raise _ambiguous()
    if parts.scheme == "unix" and host:
        raise _ambiguous()
    return parts


def _ambiguous() -> ValueError:
    return ValueError(
        "backend: expected a URL whose user and password have / ? # [ ] written as"
        " %2F %3F %23 %5B %5D, got another form"
    )


def _without_secrets(parts: SplitResult) -> str:
    user, at, hosts = parts.netloc.rpartition("@")
    query = "&".join(
        f"{key}=***" if "sentinel_" in key else f"{key}={value}"
        for key, value in _pairs(parts)
        if key in _known_options(parts.scheme)
    )
    login = "***" if user else ""
    return f"{parts.scheme}://{login}{at}{hosts}{parts.path}{'?' + query if query else ''}"


def _pairs(parts: SplitResult) -> list[tuple[str, str]]:
    # A plus is a plus, as it is in the password before the host: this is no form of a web page.
    return parse_qsl(parts.query.replace("+", "%2B"), keep_blank_values=True)


def _known_options(scheme: str) -> tuple[str, ...]:
    return ("prefix", "max_connections", "timeout", "allow_eviction", *_OPTIONS[scheme])


def _options(parts: SplitResult, shown: str) -> dict[str, str]:
    known = _known_options(parts.scheme)
    options = dict(_pairs(parts))
    for name in options:
        if name not in known and "@" in parts.query:  # the rest of a password, it may be
            raise _ambiguous()
        if name not in known:
            raise ValueError(f"{shown}: expected an option of {', '.join(known)}, got {name!r}")
    return options


def _login(parts: SplitResult) -> dict[str, str]:
    user, _, password = parts.netloc.rpartition("@")[0].partition(":")
    login = {"username": unquote(user), "password": unquote(password)}
    return {key: value for key, value in login.items() if value}


def _hosts(parts: SplitResult, shown: str, default: int) -> tuple[tuple[str, int], ...]:
    found = [_host(each, shown, default) for each in parts.netloc.rpartition("@")[2].split(",")]
    if len(found) > 1 and "+" not in parts.scheme:
        raise ValueError(f"{shown}: expected one host, got {len(found)}")
    return tuple(found)


def _host(text: str, shown: str, default: int) -> tuple[str, int]:
    one = urlsplit(f"//{text}")  # it knows [::1]:6379
    try:
        host, port = one.hostname or "localhost", one.port or default
        if any(not label or len(label) > _LABEL for label in host.removesuffix(".").split(".")):
            raise ValueError
    except ValueError:
        raise ValueError(f"{shown}: expected host:port, got {text!r}") from None
    return host, port


def _socket_path(shown: str, path: str) -> str:
    """One that the kernel takes. Raises ValueError."""
    if not path.strip("/") or "\0" in path:
        raise ValueError(f"{shown}: expected the path of a unix socket, got {path!r}")
    if (size := len(os.fsencode(path))) > _PATH:
        raise ValueError(
            f"{shown}: expected the path of a unix socket to have at most {_PATH} bytes, got {size}"
        )
    return path


def _tls(parts: SplitResult, shown: str, options: dict[str, str]) -> dict[str, Any] | None:
    given: dict[str, Any] = {key: value for key, value in options.items() if key in _TLS_OPTIONS}
    if parts.scheme != "rediss" and not _flag(shown, "ssl", options.get("ssl", "false")):
        if given:
            raise ValueError(f"{shown}: expected ssl=true with {', '.join(given)}")
        return None
    given["ssl_check_hostname"] = _flag(
        shown, "ssl_check_hostname", options.get("ssl_check_hostname", "true")
    )
    if given.setdefault("ssl_cert_reqs", "required") not in {"required", "optional", "none"}:
        raise ValueError(f"{shown}: ssl_cert_reqs: expected required, optional or none")
    if "ssl_keyfile" in given and "ssl_certfile" not in given:
        raise ValueError(f"{shown}: expected ssl_certfile with ssl_keyfile")
    if given["ssl_cert_reqs"] == "none":
        given["ssl_check_hostname"] = False  # OpenSSL refuses the one without the other
    if (version := given.get("ssl_min_version")) is not None:
        if version not in _TLS_VERSIONS:
            raise ValueError(f"{shown}: ssl_min_version: expected 1.2 or 1.3, got {version!r}")
        given["ssl_min_version"] = _TLS_VERSIONS[version]
    return given


def _flag(shown: str, name: str, text: str) -> bool:
    if text not in {"true", "false"}:
        raise ValueError(f"{shown}: {name}: expected true or false, got {text!r}")
    return text == "true"


def _number(shown: str, name: str, text: str, least: int) -> int:
    if not text.isascii() or not text.isdigit() or int(text) < least:
        raise ValueError(f"{shown}: {name}: expected a number of {least} or more, got {text!r}")
    return int(text)


def _prefix(shown: str, text: str) -> str:
    if not _PREFIX.fullmatch(text):
        raise ValueError(f"{shown}: prefix: expected letters, digits and _.:-, got {text!r}")
    return text
