"""Sessions of browsers: a signed cookie, what each form has to bring along, and slowed logins.

The key of the signatures is made anew with each process, so a restart ends all sessions. A session
also ends with the line of its token in the token file.
"""

from __future__ import annotations

import base64
import hmac
import os
import re
from hashlib import sha256
from urllib.parse import urlsplit

from asyncmqd.domain import clock
from asyncmqd.web.authorization import ANYBODY, Access, Caller
from asyncmqd.web.server import Request

COOKIE = "asyncmqd"
LASTS = 12 * 3600.0  # seconds that a session lasts
_STRANGER = re.compile(r"login\.[0-9a-f]{32}")
ATTEMPTS = 10  # logins that may fail at once, over all clients ...
ATTEMPT_EVERY = 1.0  # ... and seconds after which another one may


class Attempts:
    """Whether another login may be tried. All clients share it: behind a proxy they look alike."""

    def __init__(self) -> None:
        self._full_at = 0.0  # the monotonic time at which all attempts are there again

    def wait(self) -> float:
        """Seconds until one may be tried; 0: now."""
        latest = clock.monotonic() + (ATTEMPTS - 1) * ATTEMPT_EVERY
        return max(0.0, self._full_at - latest)

    def failed(self) -> None:
        """One was tried in vain."""
        self._full_at = max(self._full_at, clock.monotonic()) + ATTEMPT_EVERY


class Sessions:
    """Knows browsers by a cookie."""

    def __init__(self, access: Access, prefix: str) -> None:
        self._access = access
        self._path = f"{prefix}/"
        self._secret = os.urandom(32)
        self.attempts = Attempts()

    # ------------------------------------------------------------------ who it is

    def caller(self, request: Request) -> Caller | None:
        """Who asks by a cookie; None: nobody that is known."""
        if self._access.is_open:
            return ANYBODY
        until, _, rest = cookie_of(request).partition(".")
        name, _, signature = rest.partition(".")
        if not until.isascii() or not until.isdecimal() or float(until) < clock.wall():
            return None
        for token in self._access.tokens():
            signed = self._sign("session", until, name, token.digest)
            if name == _encoded(token.name) and hmac.compare_digest(signed, signature):
                return Caller(token.name, token.role)
        return None

    def begin(self, secret: str) -> str | None:
        """The cookie of whoever has this token; None: nobody has it."""
        token = self._access.token_of(secret)
        if token is None:
            self.attempts.failed()
            return None
        until = str(int(clock.wall() + LASTS))
        name = _encoded(token.name)
        return f"{until}.{name}.{self._sign('session', until, name, token.digest)}"

    @staticmethod
    def stranger(request: Request) -> str:
        """The cookie of a browser that has not logged in: its form is known by it.

        A second tab does not get another one, which would make the form of the first unknown.
        """
        cookie = cookie_of(request)
        return cookie if _STRANGER.fullmatch(cookie) else f"login.{os.urandom(16).hex()}"

    def header(self, request: Request, cookie: str) -> tuple[str, str]:
        """What has the browser keep a cookie; an empty one is dropped."""
        parts = [
            f"{_cookie_name(request)}={cookie}",
            f"Path={self._path}",
            "HttpOnly",
            "SameSite=Lax",
        ]
        if request.headers.get("x-forwarded-proto", "").lower() == "https":
            parts.append("Secure")  # only its own cookie can suffer from whoever says so
        if not cookie:
            parts.append("Max-Age=0")
        return "Set-Cookie", "; ".join(parts)

    # ------------------------------------------------------------------ forms

    def form_token(self, cookie: str) -> str:
        """What the forms of a browser with this cookie carry."""
        return self._sign("form", cookie)

    def problem_with_origin(self, request: Request) -> str:
        """Why a form is not of a page of this host; empty: it is."""
        if not (origin := request.headers.get("origin", "")):
            return "expected the header Origin, got none"
        if not self._is_ours(request, origin):
            return f"expected a form of this host, got one of {origin[:200]!r}"
        return ""

    def problem_with_form(self, request: Request, given: str) -> str:
        """Why a form is not one of ours; empty: it is."""
        if problem := self.problem_with_origin(request):
            return problem
        cookie = cookie_of(request)
        if not cookie or not hmac.compare_digest(
            self.form_token(cookie), given.encode("ascii", "replace").decode()
        ):
            return "expected the token of the form, got none or another one: load the page again"
        return ""

    def _is_ours(self, request: Request, origin: str) -> bool:
        try:
            parts = urlsplit(origin)
            host = parts.hostname or ""
        except ValueError:
            return False
        if parts.scheme not in {"http", "https"} or not host:
            return False
        asked = {request.headers.get("host", "").lower()}
        if self._access.is_proxied(request):
            asked.add(request.headers.get("x-forwarded-host", "").lower())
        return parts.netloc.lower() in asked or self._access.allows(host)

    def _sign(self, *parts: str) -> str:
        text = "\n".join(parts).encode()
        return hmac.new(self._secret, text, sha256).hexdigest()


def cookie_of(request: Request) -> str:
    """The value of our cookie; empty: there is none. Those of others may be malformed."""
    wanted = _cookie_name(request)
    for each in request.headers.get("cookie", "").split(";"):
        name, _, value = each.strip().partition("=")
        if name == wanted and value.isascii():
            return value
    return ""


def _cookie_name(request: Request) -> str:
    """Browsers send a cookie to all ports of a host, where other daemons may listen."""
    port = request.headers.get("host", "").rpartition(":")[2]
    return f"{COOKIE}-{port}" if port.isascii() and port.isdecimal() else COOKIE


def _encoded(name: str) -> str:
    return base64.urlsafe_b64encode(name.encode()).decode().rstrip("=")
