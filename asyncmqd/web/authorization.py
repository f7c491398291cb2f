"""Who asks over HTTP, and what they may see."""

from __future__ import annotations

import contextlib
import hmac
import os
from hashlib import sha256
from ipaddress import ip_address, ip_network
from typing import NamedTuple

from asyncmqd.config.http import Address, Http, Role, Token, address_of, read_tokens
from asyncmqd.web.server import Request

_SCHEME = "bearer "


class Caller(NamedTuple):
    """Who asks."""

    name: str  # of the token
    role: Role

    @property
    def operates(self) -> bool:
        """Whether that one may change anything."""
        return self.role == "operate"


ANYBODY = Caller("", "read")
"""Whoever reaches an address that asks for no token: nobody operates there."""


class Access:
    """Judges requests by the keys of [http]. The token file is read anew whenever it changes.

    Without one, whoever reaches the address may read. A file that cannot be used lets nobody in.
    """

    def __init__(self, http: Http) -> None:
        self._file = http.token_file
        self._tokens: list[Token] = []
        self._stamp: tuple[int, ...] | None = None  # of the file that was read
        self._proxies = [ip_network(each) for each in http.trusted_proxies]
        self._named = {each.lower() for each in http.allowed_hosts}
        self._hosts = _hosts(http)
        self.problem = ""  # why the token file cannot be used

    @property
    def is_open(self) -> bool:
        """Whether nobody needs a token to read."""
        return self._file is None

    def caller(self, request: Request) -> Caller | None:
        """Who asks, and what that one may do; None: nothing."""
        if self._file is None:
            return ANYBODY
        given = request.headers.get("authorization", "")
        if not given.lower().startswith(_SCHEME):
            return None
        found = self.token_of(given[len(_SCHEME) :])
        return Caller(found.name, found.role) if found else None

    def token_of(self, secret: str) -> Token | None:
        """The line of the token file for a token; None: there is none."""
        digest = sha256(secret.strip().encode("latin-1", "replace")).hexdigest()
        found = [each for each in self.tokens() if hmac.compare_digest(each.digest, digest)]
        return found[0] if found else None

    def tokens(self) -> list[Token]:
        """What the token file has now."""
        if self._file is not None:
            self._read_again()
        return self._tokens

    def problem_with(self, request: Request) -> str:
        """Why `caller` knows nobody, in words that help who asks."""
        if self.problem:
            return f"token_file: {self.problem}"
        given = request.headers.get("authorization", "")
        if not given:
            return "expected the header Authorization: Bearer TOKEN, got none"
        if not given.lower().startswith(_SCHEME):
            return f"expected the header Authorization: Bearer TOKEN, got {given.split()[0]!r}"
        return "expected a token of token_file, got another one"

    def _read_again(self) -> None:
        assert self._file is not None
        stamp: tuple[int, ...] = ()
        with contextlib.suppress(OSError):
            found = os.stat(self._file)
            stamp = (found.st_mtime_ns, found.st_size, found.st_ino, found.st_mode)
        if stamp == self._stamp:
            return
        self._stamp, self._tokens, self.problem = stamp, [], ""
        try:
            self._tokens = read_tokens(self._file)
        except ValueError as error:
            self.problem = str(error)

    def knows_host(self, request: Request) -> bool:
        """Whether the name that was asked for is one of ours.

        A page of another site can have its own name lead to this address, and read what a browser
        on this host then gets.
        """
        if self._hosts is None:
            return True
        asked = [request.headers.get("host", "")]
        if self._named and self.is_proxied(request):  # the proxy may have put its own name there
            asked.append(request.headers.get("x-forwarded-host", "") or asked[0])
        return all(_host_of(each) in self._hosts for each in asked)

    def allows(self, host: str) -> bool:
        """Whether it is one of `allowed_hosts`."""
        return host.lower() in self._named

    def is_proxied(self, request: Request) -> bool:
        """Whether a proxy asks that is trusted."""
        return self._is_proxy(request.peer)

    def client(self, request: Request) -> str:
        """The address of the one who asks, for people: past the proxies that are trusted."""
        address = request.peer
        for hop in reversed(request.headers.get("x-forwarded-for", "").split(",")):
            if not self._is_proxy(address) or not hop.strip():
                break
            address = hop.strip()
        return address or "a Unix socket"

    def _is_proxy(self, address: str) -> bool:
        try:
            known = ip_address(address)
        except ValueError:
            return False
        return any(known in network for network in self._proxies)


def _hosts(http: Http) -> frozenset[str] | None:
    """The names that are answered; None: all of them."""
    address = address_of(http.listen or "")
    named = {each.lower() for each in http.allowed_hosts}
    if not named and not _is_guarded(address):
        return None
    return frozenset({*named, address.host.lower(), "localhost", "127.0.0.1", "::1"})


def _is_guarded(address: Address) -> bool:
    """Whether nobody else's page leads there: beyond this host a token is asked for."""
    return address.path is None and address.is_local


def _host_of(header: str) -> str:
    """The name in a Host header, without the port."""
    if header.startswith("["):
        return header[1:].partition("]")[0].lower()
    return header.partition(":")[0].lower()
