"""What is at which path."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any, Protocol
from urllib.parse import parse_qs, unquote

import msgspec

from asyncmqd.config.http import Http
from asyncmqd.domain.history import KEPT
from asyncmqd.domain.options import whole
from asyncmqd.observe.exposition import CONTENT_TYPE
from asyncmqd.web.access import Access
from asyncmqd.web.server import Request, Response


class Source(Protocol):
    """Who knows the answers."""

    def is_well(self) -> bool:
        """Whether the process makes progress."""

    async def readiness(self) -> tuple[bool, str]:
        """Whether it does its work, and the worst that is wrong, if anything is."""

    async def metrics(self) -> bytes:
        """The metrics as text."""

    async def history(self, queue: str, hours: int) -> Any:
        """The last hours of a queue, as JSON values. Raises NotThere and CannotDo."""

    async def command(self, name: str, by: str) -> Any:
        """What the control socket answers to a command, as JSON values. Raises CannotDo.

        `by` is the name of the one who asks.
        """


class CannotDo(Exception):
    """The daemon will not do it; the message says why."""


class NotThere(CannotDo):
    """Nobody knows what is asked for."""


API = "/api/v1/"
_HISTORY = re.compile("queues/([^/]+)/history")
HOURS = whole(1, KEPT // 60)
_READS = frozenset({"ping", "status", "plan"})
_OPERATES = frozenset({"reload"})


class Pages:
    """Answers requests. `tell` hears of each that is refused: the reason, and the address."""

    def __init__(self, http: Http, source: Source, tell: Callable[[str, str], None]) -> None:
        self._access = Access(http)
        self._prefix = http.prefix or ""
        self._source = source
        self._tell = tell

    async def answer(self, request: Request) -> Response:
        """The response."""
        if not self._access.knows_host(request):
            host = request.headers.get("host", "")
            return self._refuse(request, 403, f"expected a host of allowed_hosts, got {host!r}")
        if not request.path.startswith(self._prefix):
            return _text(404, f"expected a path below {self._prefix}")
        path = request.path.removeprefix(self._prefix)
        if path.startswith(API):
            return await self._api(request, path.removeprefix(API))
        if request.method not in {"GET", "HEAD"}:
            return _text(405, "expected GET", ("Allow", "GET, HEAD"))
        match path:
            case "/healthz":
                return _text(200, "ok") if self._source.is_well() else _text(503, "no progress")
            case "/readyz":
                return await self._readyz(request)
            case "/metrics":
                return await self._metrics(request)
        return _text(404, f"expected /healthz, /readyz, /metrics or {API}...")

    async def _api(self, request: Request, command: str) -> Response:
        """The commands of the control socket: those that only read by GET, the others by POST."""
        history = _HISTORY.fullmatch(command)
        if history is None and command not in _READS | _OPERATES:
            known = ", ".join(sorted({*_READS, *_OPERATES, "queues/NAME/history"}))
            return _json(404, error=f"expected one of {known}")
        caller = self._access.caller(request)
        if caller is None:
            return self._unknown(request)
        if command in _OPERATES and not caller.operates:
            reason = f"{command}: expected a token of the role operate"
            return self._refuse(request, 403, reason)
        expected = {"POST"} if command in _OPERATES else {"GET", "HEAD"}
        if request.method not in expected:
            return _text(405, f"expected {min(expected)}", ("Allow", ", ".join(sorted(expected))))
        try:
            if history is not None:
                queue, hours = unquote(history[1]), _hours(request.query)
                return _json(200, result=await self._source.history(queue, hours))
            return _json(200, result=await self._source.command(command, caller.name))
        except ValueError as error:
            return _json(400, error=str(error))
        except CannotDo as refusal:
            return _json(404 if isinstance(refusal, NotThere) else 409, error=str(refusal))

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

    def _unknown(self, request: Request) -> Response:
        reason = "expected the header Authorization: Bearer TOKEN"
        if self._access.problem:
            reason = f"token_file: {self._access.problem}"
        return self._refuse(request, 401, reason, ("WWW-Authenticate", "Bearer"))

    def _refuse(
        self, request: Request, status: int, reason: str, *headers: tuple[str, str]
    ) -> Response:
        self._tell(reason, self._access.client(request))
        return _text(status, reason, *headers)


def _hours(query: str) -> int:
    """`hours=N` of a query. Raises ValueError."""
    [text] = parse_qs(query).get("hours", ["1"])[-1:]
    try:
        return int(HOURS.check(int(text) if text.isdecimal() else text))
    except ValueError as error:
        raise ValueError(f"hours: {error}") from None


def _json(status: int, *, result: Any = None, error: str = "") -> Response:
    """An answer in the form that the control socket has."""
    reply = {"ok": True, "result": result} if not error else {"ok": False, "error": error}
    return Response(status, msgspec.json.encode(reply) + b"\n", "application/json")


def _text(status: int, text: str, *headers: tuple[str, str]) -> Response:
    return Response(status, f"{text}\n".encode(errors="backslashreplace"), headers=headers)
