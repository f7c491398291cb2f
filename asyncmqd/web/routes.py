"""What is at which path."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import TYPE_CHECKING, Protocol

import msgspec

from asyncmqd.config.http import Http
from asyncmqd.observe.prometheus_text import CONTENT_TYPE
from asyncmqd.web import api
from asyncmqd.web.api import CannotDo
from asyncmqd.web.authorization import Access
from asyncmqd.web.dashboard import visit
from asyncmqd.web.server import Request, Response, Stream
from asyncmqd.web.sessions import Sessions

if TYPE_CHECKING:
    from asyncmqd.web.dashboard.site import Site

NEEDS = "the dashboard needs Jinja: pip install 'asyncmqd[web]', then restart the daemon"

_OF_MACHINES = frozenset({"/healthz", "/readyz", "/metrics"})


class Source(visit.Source, Protocol):
    """Who knows the answers."""

    def is_well(self) -> bool:
        """Whether the process makes progress."""

    async def readiness(self) -> tuple[bool, str]:
        """Whether it does its work, and the worst that is wrong, if anything is."""

    async def metrics(self) -> bytes:
        """The metrics as text."""

    def events(self, request: Request, may_go_on: Callable[[], bool]) -> Stream:
        """A stream of events. Raises CannotDo."""


class Routes:
    """Answers requests. `tell` hears of each that is refused: the reason, and the address."""

    def __init__(self, http: Http, source: Source, tell: Callable[[str, str], None]) -> None:
        self._http = http
        self._access = Access(http)
        self._prefix = http.prefix or ""
        self._source = source
        self._tell = tell
        self._sessions = Sessions(self._access, self._prefix)
        self._site: Site | None = None
        self._making_site = asyncio.Lock()

    async def answer(self, request: Request) -> Response | Stream:
        """The response."""
        path = request.path.removeprefix(self._prefix)
        is_below = request.path == self._prefix or request.path.startswith(f"{self._prefix}/")
        is_api = is_below and path.startswith(api.PREFIX)
        if not self._access.knows_host(request):
            host = request.headers.get("host", "")
            reason = f"expected a host of allowed_hosts, got {host!r}"
            return self._refuse(request, 403, reason, as_json=is_api)
        if not is_below:
            return _text(404, f"expected a path below {self._prefix}")
        if is_api:
            return await self._api(request, path.removeprefix(api.PREFIX))
        if path not in _OF_MACHINES:
            return await self._dashboard(request, path)
        if request.method not in {"GET", "HEAD"}:
            return _text(405, "expected GET", ("Allow", "GET, HEAD"))
        match path:
            case "/healthz":
                return _text(200, "ok") if self._source.is_well() else _text(503, "no progress")
            case "/readyz":
                return await self._readyz(request)
        return await self._metrics(request)

    async def _dashboard(self, request: Request, path: str) -> Response | Stream:
        """A page for people. What makes it is imported when somebody asks first."""
        try:
            async with self._making_site:  # all who ask first wait for one
                if self._site is None:
                    self._site = await asyncio.to_thread(self._make_site)
        except ModuleNotFoundError as error:
            if error.name not in {"jinja2", "markupsafe"}:
                raise
            return _text(501, NEEDS)
        return await self._site.answer(request, path or "/")

    def _make_site(self) -> Site:
        from asyncmqd.web.dashboard.site import Site

        return Site(self._access, self._sessions, self._http, self._source, self._tell)

    async def _api(self, request: Request, command: str) -> Response | Stream:
        """What only reads by GET, the rest by POST, with a token of the role operate."""
        if command == api.EVENTS:
            return self._events(request)
        request, command = api.routed(request, command)
        caller = self._access.caller(request)
        if caller is None:
            return self._unknown(request, as_json=True)
        operates = False if command == api.DOCUMENT else self._source.operates(command)
        if operates is None:
            names = ", ".join([*self._source.names(), api.EVENTS, api.DOCUMENT])
            return api.answer(404, error=f"expected one of {names}")
        if operates and not caller.operates:
            reason = f"{command}: expected a token of the role operate"
            return self._refuse(request, 403, reason, as_json=True)
        expected = ("POST",) if operates else ("GET", "HEAD")
        if request.method not in expected:
            allow = (("Allow", ", ".join(expected)),)
            return api.answer(405, error=f"{command}: expected {expected[0]}", headers=allow)
        if command == api.DOCUMENT:
            document = msgspec.json.encode(self._source.document())
            return Response(200, document, "application/json")
        try:
            arguments, typed = api.arguments_of(request)
            name = caller.name
            result = await self._source.command(command, arguments, typed=typed, by=name)
        except CannotDo as refusal:
            return api.answer(refusal.status, error=str(refusal))
        return api.answer(200, result=result)

    def _events(self, request: Request) -> Response | Stream:
        """Also for the session of a browser, which sends no token with a stream."""

        def may_read() -> bool:
            return bool(self._access.caller(request) or self._sessions.caller(request))

        if not may_read():
            return self._unknown(request, as_json=True)
        if request.method not in {"GET", "HEAD"}:
            allow = (("Allow", "GET, HEAD"),)
            return api.answer(405, error=f"{api.EVENTS}: expected GET", headers=allow)
        try:
            return self._source.events(request, may_read)
        except CannotDo as refusal:
            return api.answer(refusal.status, error=str(refusal))

    async def _readyz(self, request: Request) -> Response:
        ready, cause = await self._source.readiness()
        said = cause or "ready"
        # Whoever may not read is told no names, but may see whether to send work here.
        if self._access.caller(request) is None:
            said = "ready" if ready else "not ready"
        return _text(200 if ready else 503, said)

    async def _metrics(self, request: Request) -> Response:
        if self._access.caller(request) is None:
            return self._unknown(request)
        return Response(200, await self._source.metrics(), CONTENT_TYPE)

    def _unknown(self, request: Request, *, as_json: bool = False) -> Response:
        reason = self._access.problem_with(request)
        bearer = ("WWW-Authenticate", "Bearer")
        return self._refuse(request, 401, reason, bearer, as_json=as_json)

    def _refuse(
        self,
        request: Request,
        status: int,
        reason: str,
        *headers: tuple[str, str],
        as_json: bool = False,
    ) -> Response:
        self._tell(reason, self._access.client(request))
        if as_json:
            return api.answer(status, error=reason, headers=headers)
        return _text(status, reason, *headers)


def _text(status: int, text: str, *headers: tuple[str, str]) -> Response:
    return Response(status, f"{text}\n".encode(errors="backslashreplace"), headers=headers)
