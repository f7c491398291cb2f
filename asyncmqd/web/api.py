"""/api/v1: the commands of the control socket and the verbs of the store, as JSON."""

from __future__ import annotations

import json
import re
from typing import Any, Protocol
from urllib.parse import parse_qsl

import msgspec

from asyncmqd.admin.arguments import shown
from asyncmqd.web.server import Request, Response

PREFIX = "/api/v1/"
DOCUMENT = "openapi.json"
EVENTS = "events"
_OF_APPLICATIONS = ("args", "kwargs", "result", "progress", "log")  # of jobs
_OF_SCHEDULES = ("args", "kwargs", "former")
_HISTORY = re.compile("queues/([^/&]+)/history")


class CannotDo(Exception):
    """The daemon will not do it; the message says why. `status` is that of the answer."""

    def __init__(self, message: str, status: int = 409) -> None:
        super().__init__(message)
        self.status = status


class Source(Protocol):
    """Who carries out commands."""

    def operates(self, name: str) -> bool | None:
        """Whether the command changes something; None: there is none of this name."""

    def names(self) -> list[str]:
        """All commands."""

    def document(self) -> dict[str, Any]:
        """What the commands take and give, as OpenAPI 3.1."""

    async def command(self, name: str, arguments: dict[str, Any], *, typed: bool, by: str) -> Any:
        """The answer, as JSON values. Raises CannotDo.

        Without `typed` all values are text. `by` is the name of the one who asks.
        """


def routed(request: Request, command: str) -> tuple[Request, str]:
    """The request and its command; `queues/NAME/history` is another way to write one."""
    found = _HISTORY.fullmatch(command)
    if found is None:
        return request, command
    return request._replace(query=f"{request.query}&queue={found[1]}".lstrip("&")), "history"


def arguments_of(request: Request) -> tuple[dict[str, Any], bool]:
    """The arguments, and whether they have types. Raises CannotDo."""
    if request.method in {"GET", "HEAD"}:
        try:
            pairs = parse_qsl(request.query, keep_blank_values=True, errors="strict")
        except ValueError as error:
            raise CannotDo(f"the query: {error}", 400) from None
        return dict(pairs), False
    try:
        found = msgspec.json.decode(request.body) if request.body.strip() else {}
    except (ValueError, RecursionError):
        raise CannotDo(
            f"the body: expected a JSON object, got {_flaw(request.body)}", 400
        ) from None
    if not isinstance(found, dict):
        raise CannotDo(f"the body: expected a JSON object, got {shown(found)}", 400)
    if key := request.headers.get("idempotency-key"):
        found.setdefault("idempotency_key", key)
    return found, True


def _flaw(body: bytes) -> str:
    """What is wrong with text that is no JSON, and where."""
    try:
        json.loads(body)
    except json.JSONDecodeError as error:
        return f"{error.msg} at line {error.lineno}, column {error.colno}"
    except UnicodeDecodeError as error:
        return f"what is no UTF-8 at byte {error.start}"
    except RecursionError:
        return "too many levels"
    return "what JSON does not know"


def hidden(name: str, found: Any) -> Any:
    """An answer without what is of the application: arguments, results, keys."""
    match name:
        case "job":
            return found | dict.fromkeys(_OF_APPLICATIONS)
        case "jobs":
            return found | {"jobs": [hidden("job", each) for each in found["jobs"]]}
        case "schedules":
            return [each | dict.fromkeys(_OF_SCHEDULES) for each in found]
        case "queue":
            schedules = hidden("schedules", found["schedules"])
            return _without_keys(found) | {"schedules": schedules}
        case "status":
            queues = {name: _without_keys(each) for name, each in found["queues"].items()}
            return found | {"queues": queues}
        case "config":
            queues = {name: _with_keys_hidden(each) for name, each in found["queues"].items()}
            return found | {"queues": queues}
    return found


def _with_keys_hidden(table: dict[str, Any]) -> dict[str, Any]:
    shown = table | dict.fromkeys({"keys"} & table.keys(), "hidden")
    if schedules := table.get("repeatables"):
        keyed = {"key": "hidden"}
        shown["repeatables"] = [each | keyed if each.get("key") else each for each in schedules]
    return shown


def _without_keys(queue: dict[str, Any]) -> dict[str, Any]:
    limits = queue.get("limits")
    return queue | {"limits": limits and limits | {"keys": {}}}


def answer(
    status: int, *, result: Any = None, error: str = "", headers: tuple[tuple[str, str], ...] = ()
) -> Response:
    """An answer in the form that the control socket has."""
    reply = {"ok": True, "result": result} if not error else {"ok": False, "error": error}
    body = msgspec.json.encode(reply) + b"\n"
    return Response(status, body, "application/json", headers)
