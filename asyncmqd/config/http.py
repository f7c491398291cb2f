"""The keys of [http], and the file of its tokens."""

from __future__ import annotations

import os
import re
import stat
from ipaddress import ip_address, ip_network
from pathlib import Path
from typing import Annotated, Any, Literal, NamedTuple

import msgspec

from asyncmqd.config.file_permissions import file_problem
from asyncmqd.config.values import SOCKET, Kind, of, shown
from asyncmqd.domain import options

_LOCAL_NAMES = {"localhost", "localhost."}
_HOST = re.compile(r"[A-Za-z0-9._-]+|\[[0-9A-Fa-f:.]+\]")
_PREFIX = re.compile(r"(/[A-Za-z0-9._~-]+)+")
_NAME = re.compile(r"[!-~]{1,64}")
_HASH = re.compile(r"[0-9a-f]{64}")
_TOKENS_LIMIT = 1024 * 1024  # bytes of the file
_EXPECTED = "expected a name, a role (read or operate) and a SHA-256 in 64 hexadecimal digits"

Role = Literal["read", "operate"]


class Address(NamedTuple):
    """Where to listen: a host with a port, or the path of a Unix socket."""

    host: str = ""
    port: int = 0
    path: Path | None = None

    @property
    def is_local(self) -> bool:
        """Whether only this host can reach it."""
        if self.path is not None or self.host in _LOCAL_NAMES:
            return True
        try:
            return ip_address(self.host).is_loopback
        except ValueError:
            return False


def address_of(text: str) -> Address:
    """The address that `listen` names. Raises ValueError."""
    if text.startswith("unix:"):
        return Address(path=SOCKET.read(text.removeprefix("unix:")))
    host, _, port = text.rpartition(":")
    if not _HOST.fullmatch(host) or not port.isdecimal() or not 0 < int(port) < 65_536:
        raise ValueError
    return Address(host.strip("[]"), int(port))


def _listen(value: Any) -> str:
    if not isinstance(value, str):
        raise ValueError
    address_of(value)
    return value


def _matched(pattern: re.Pattern[str]) -> Any:
    def read(value: Any) -> str:
        if not isinstance(value, str) or not pattern.fullmatch(value):
            raise ValueError
        return value

    return read


def _network(value: Any) -> str:
    if not isinstance(value, str):
        raise ValueError
    ip_network(value)
    return value


def _absolute(value: Any) -> Path:
    if not isinstance(value, str) or not value.startswith("/") or "\0" in value:
        raise ValueError
    return Path(value)


_LISTEN = Kind("'host:port' or 'unix:/path'", _listen, optional=True)
_PREFIXES = Kind(
    "a path like '/queues', without a slash at its end", _matched(_PREFIX), optional=True
)
_PROXY = Kind("an address or a network like '10.0.0.0/8'", _network)
_HOSTS = Kind("a host name like 'queues.example.org'", _matched(_HOST))
_FILE = Kind("an absolute path like '/etc/asyncmq/tokens'", _absolute, optional=True)


class Http(msgspec.Struct, frozen=True, kw_only=True):
    """Whether and how the daemon answers over HTTP."""

    listen: Annotated[
        str | None, _LISTEN, "Where to listen: `host:port` or `unix:/path`. Unset: nowhere."
    ] = None
    prefix: Annotated[
        str | None, _PREFIXES, "The path below which everything is, behind a proxy."
    ] = None
    token_file: Annotated[
        Path | None,
        _FILE,
        "Lines of name, role (`read` or `operate`) and the SHA-256 of a token.",
    ] = None
    hide_arguments: Annotated[
        bool,
        of(options.flag()),
        "Whether what applications wrote into jobs is left out: arguments, errors, keys...",
    ] = False
    allowed_hosts: Annotated[
        tuple[Annotated[str, _HOSTS], ...],
        "Names in the `Host` header that are answered, beside that of `listen` and `localhost`.",
    ] = ()
    trusted_proxies: Annotated[
        tuple[Annotated[str, _PROXY], ...],
        "Addresses whose `X-Forwarded-For` says who asks.",
    ] = ()


class Token(NamedTuple):
    """One line of a token file."""

    name: str
    role: Role
    digest: str  # the SHA-256 of the token, in hexadecimal digits


def read_tokens(path: Path) -> list[Token]:
    """The tokens of a file. Raises ValueError "expected X, got Y", which shows no digest."""
    try:
        # Not waiting for the other end of what may be a pipe.
        with os.fdopen(os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK), "rb") as stream:
            found = os.fstat(stream.fileno())
            problem = file_problem(found) or _kind_problem(found)
            text = "" if problem else stream.read(_TOKENS_LIMIT).decode("utf-8", "replace")
    except OSError as error:
        raise ValueError(f"expected a file that can be read, got {error.strerror}") from None
    if problem:
        raise ValueError(problem)
    lines = [(number, line.split()) for number, line in enumerate(text.splitlines(), 1)]
    tokens = [
        _token(number, words) for number, words in lines if words and not words[0].startswith("#")
    ]
    if not tokens:  # nobody could get in, which nobody means
        raise ValueError(f"{_EXPECTED}, got no line")
    return tokens


def _kind_problem(found: os.stat_result) -> str | None:
    return None if stat.S_ISREG(found.st_mode) else "expected a file, got something else"


def _token(number: int, words: list[str]) -> Token:
    if len(words) != 3:
        raise ValueError(f"{_EXPECTED}, got {len(words)} words in line {number}")
    name, role, digest = words
    if not _NAME.fullmatch(name):
        raise ValueError(f"{_EXPECTED}, got the name {shown(name)} in line {number}")
    if role not in {"read", "operate"}:
        raise ValueError(f"{_EXPECTED}, got the role {shown(role)} in line {number}")
    if not _HASH.fullmatch(digest.lower()):
        raise ValueError(f"{_EXPECTED}, got {len(digest)} other characters in line {number}")
    return Token(name, "operate" if role == "operate" else "read", digest.lower())
