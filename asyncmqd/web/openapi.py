"""The document of /api/v1, made from the verbs themselves."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import msgspec

import asyncmqd
from asyncmqd.admin.verbs import VERBS
from asyncmqd.web.api import EVENTS, PREFIX

_REF = "#/components/schemas/{name}"
DAEMON: dict[str, tuple[str, bool]] = {
    "ping": ("Whether the daemon answers.", False),
    "status": ("What the daemon is doing.", False),
    "config": ("The configuration that is in force: keys that are not as usual.", False),
    "plan": ("What a reload would change.", False),
    "reload": ("Reload the configuration.", True),
}
"""What the daemon itself answers: what it is about, and whether it changes something."""
_REFUSALS = {
    "400": "The arguments are wrong.",
    "401": "There is no token, or one that nobody knows.",
    "403": "The token may only read, or the host is not one of allowed_hosts.",
    "404": "There is no such thing.",
    "405": "The method is another one.",
    "409": "It cannot be done; the error says why.",
    "500": "An error of the daemon; its log has it.",
    "503": "The store does not answer.",
}


def document(prefix: str) -> dict[str, Any]:
    """The whole document; `prefix` is what stands before all paths."""
    types = [each for verb in VERBS.values() for each in (verb.takes, verb.gives)]
    schemas, components = msgspec.json.schema_components(types, ref_template=_REF)
    taken = dict(zip(VERBS, schemas[::2], strict=True))
    given = dict(zip(VERBS, schemas[1::2], strict=True))
    paths = {
        f"{PREFIX}{name}": _path(name, about, operates, {}, {}, components)
        for name, (about, operates) in DAEMON.items()
    }
    paths |= {
        f"{PREFIX}{name}": _path(
            name, verb.about, verb.operates, taken[name], given[name], components
        )
        for name, verb in VERBS.items()
    }
    paths[f"{PREFIX}queues/{{queue}}/history"] = {"get": _by_path(paths[f"{PREFIX}history"]["get"])}
    paths[f"{PREFIX}{EVENTS}"] = {"get": _EVENTS_PATH}
    components["Refusal"] = {
        "type": "object",
        "properties": {"ok": {"const": False}, "error": {"type": "string"}},
        "required": ["ok", "error"],
    }
    return {
        "openapi": "3.1.0",
        "info": {"title": "asyncmqd", "version": asyncmqd.__version__},
        "servers": [{"url": prefix or "/"}],
        "security": [{"token": []}],
        "paths": paths,
        "components": {
            "schemas": components,
            "securitySchemes": {"token": {"type": "http", "scheme": "bearer"}},
        },
    }


def _by_path(history: Mapping[str, Any]) -> dict[str, Any]:
    """The same with the queue in the path."""
    queue = {"name": "queue", "in": "path", "required": True, "schema": {"type": "string"}}
    others = [each for each in history["parameters"] if each["name"] != "queue"]
    return {**history, "operationId": "history_of_queue", "parameters": [queue, *others]}


def _path(
    name: str,
    about: str,
    operates: bool,
    takes: Mapping[str, Any],
    gives: Mapping[str, Any],
    components: Mapping[str, Any],
) -> dict[str, Any]:
    operation: dict[str, Any] = {
        "operationId": name,
        "summary": about,
        "description": f"For tokens of the role {'operate' if operates else 'read'}.",
        "responses": {"200": _answer("Done.", {"ok": {"const": True}, "result": gives})}
        | {status: _refusal(text) for status, text in _REFUSALS.items()},
    }
    if not operates:
        operation["parameters"] = [*_parameters(takes, components)]
        return {"get": operation}
    if takes:
        content = {"application/json": {"schema": takes}}
        operation["requestBody"] = {"required": True, "content": content}
    if name == "enqueue":
        operation["parameters"] = [
            {"name": "Idempotency-Key", "in": "header", "schema": {"type": "string"}}
        ]
    return {"post": operation}


def _parameters(
    takes: Mapping[str, Any], components: Mapping[str, Any]
) -> Iterable[dict[str, Any]]:
    if not takes:
        return
    schema = components[takes["$ref"].rpartition("/")[2]]
    for name, each in schema["properties"].items():
        required = name in schema.get("required", ())
        yield {"name": name, "in": "query", "required": required, "schema": each}


def _answer(about: str, properties: Mapping[str, Any]) -> dict[str, Any]:
    schema = {"type": "object", "properties": properties, "required": [*properties]}
    return {"description": about, "content": {"application/json": {"schema": schema}}}


def _refusal(about: str) -> dict[str, Any]:
    schema = {"$ref": _REF.format(name="Refusal")}
    return {"description": about, "content": {"application/json": {"schema": schema}}}


def _of_query(name: str, about: str, place: str = "query") -> dict[str, Any]:
    text = {"type": "string"}
    return {"name": name, "in": place, "required": False, "description": about, "schema": text}


_EVENTS_PATH: dict[str, Any] = {
    "operationId": EVENTS,
    "summary": "What happens in all daemons, as server-sent events.",
    "description": "For tokens of the role read. It goes on until one side ends it.",
    "parameters": [
        _of_query("queue", "Only events of this queue."),
        _of_query("event", "Only events whose names begin so; may be given again."),
        _of_query("after", "Go on behind the event of this position."),
        _of_query("Last-Event-ID", "The same, as browsers say it.", "header"),
    ],
    "responses": {
        "200": {"description": "Events.", "content": {"text/event-stream": {}}},
        **{status: _refusal(text) for status, text in _REFUSALS.items()},
    },
}
