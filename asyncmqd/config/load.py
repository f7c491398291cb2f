"""From files and environment to `Settings`, or to all that is wrong with them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from difflib import get_close_matches
from itertools import chain, islice
from pathlib import Path as FilePath
from typing import Annotated, Any, NamedTuple

import msgspec
from pydantic_core import ErrorDetails, ValidationError

from asyncmqd.config.control_socket_path import default_control_socket
from asyncmqd.config.errors import ConfigError, ConfigErrors, Path, Place, dotted
from asyncmqd.config.file_permissions import directory_problem
from asyncmqd.config.files import read_files
from asyncmqd.config.http import Http, read_tokens
from asyncmqd.config.layers import Layer, merged
from asyncmqd.config.models import Settings
from asyncmqd.config.otel import Otel
from asyncmqd.config.rules import contradictions, omissions
from asyncmqd.config.tables import Table, keys_of, read
from asyncmqd.config.values import shown
from asyncmqd.config.webhooks import Webhook, read_secret
from asyncmqd.domain.queue_options import KeyOptions, QueueOptions
from asyncmqd.domain.schedule import Repeatable

MOST_PROBLEMS = 1_000
_SHAPES = {"tuple_type": "an array", "dict_type": "a table"}


def load(path: FilePath, environ: Mapping[str, str]) -> Settings:
    """The configuration that a file, its drop-ins and the environment make together.

    The environment wins over credentials, these over drop-ins (later names over earlier ones),
    these over the file; a queue's own keys win over [defaults]. Only files are read, and nothing
    is created, connected to or imported. Raises ConfigErrors with every problem there is.
    """
    layers = _layers(path, environ)
    written = merged(layers)
    partial = any(layer.partial for layer in layers)
    socket = default_control_socket(environ, path.stem)
    sources = _Sources([(each.source, _text(each)) for each in layers], socket)
    findings: list[ErrorDetails] = []
    others: list[Iterator[tuple[Path, str]]] = []
    settings = _found_sound.get(sources)
    if settings is None:
        settings, findings = _validate(_complete(written, socket))
        others.append(contradictions(written))
        if not partial:
            others.append(omissions(written))
    if settings is not None:
        others += [_open_to_all(settings), _bad_tokens(settings), _bad_secrets(settings, environ)]
    found = chain(
        (error for layer in layers for error in layer.errors),
        _located(findings, layers, written, partial=partial),
        (_locate(layers, path, problem) for path, problem in chain.from_iterable(others)),
    )
    errors = list(islice(found, MOST_PROBLEMS))
    if errors or settings is None:
        raise ConfigErrors([*errors, *_beyond(found, len(layers), str(path))])
    _found_sound.keep(sources, settings)
    return settings


class _OtelAlone(msgspec.Struct, frozen=True):
    otel: Annotated[Otel | None, "As in `Settings`."] = None


def load_otel(path: FilePath) -> Otel | None:
    """`[otel]` of a file and its drop-ins, for a program that needs nothing else of them.

    Raises ConfigErrors with every problem of that table.
    """
    layers = list(read_files(path))
    table = {key: value for key, value in merged(layers).items() if key == "otel"}
    if not table:
        return None
    try:
        otel = read(_OtelAlone, table).otel
    except ValidationError as error:
        findings = error.errors(include_url=False)
        raise ConfigErrors(_located(findings, layers, table, partial=False)) from None
    if wrong := [_locate(layers, *each) for each in contradictions(table)]:
        raise ConfigErrors(wrong)
    return otel


def _beyond(found: Iterator[ConfigError], order: int, source: str) -> Iterator[ConfigError]:
    """That there are more: nobody reads a hundred thousand, and to place each takes time."""
    if next(found, None) is not None:
        problem = f"expected no problems, got more than the {MOST_PROBLEMS} that are listed"
        yield ConfigError(Place(order, 1, source), "toml", problem)


class _Sources(NamedTuple):
    """All that settings are made of."""

    texts: list[tuple[str, str]]
    control_socket: FilePath


class _Sound:
    """The sources that were last found to be sound, and their settings.

    Ten thousand schedules take a second to check; a reload that finds the same again need not.
    """

    def __init__(self) -> None:
        self._last: tuple[_Sources, Settings] | None = None

    def get(self, sources: _Sources) -> Settings | None:
        """The settings that these sources made."""
        return self._last[1] if self._last is not None and self._last[0] == sources else None

    def keep(self, sources: _Sources, settings: Settings) -> None:
        """Remember them."""
        self._last = sources, settings


_found_sound = _Sound()


def _text(layer: Layer) -> str:
    """What a source says, so that equal texts mean the same. (1 and True are equal, as values.)"""
    return repr(layer.data) if layer.document is None else layer.document.text


def _open_to_all(settings: Settings) -> Iterator[tuple[Path, str]]:
    for index, directory in enumerate(settings.python_path):
        if problem := directory_problem(directory, sticky=False):
            yield ("python_path", index), problem


def _bad_tokens(settings: Settings) -> Iterator[tuple[Path, str]]:
    if settings.http.token_file is not None:
        try:
            read_tokens(settings.http.token_file)
        except ValueError as error:
            yield ("http", "token_file"), f"{settings.http.token_file}: {error}"


def _bad_secrets(settings: Settings, environ: Mapping[str, str]) -> Iterator[tuple[Path, str]]:
    for index, webhook in enumerate(settings.webhooks):
        if webhook.is_credential and "CREDENTIALS_DIRECTORY" not in environ:
            continue  # a person checks what only the unit is given
        try:
            read_secret(webhook.secret_file, environ)
        except ValueError as error:
            yield ("webhooks", index, "secret_file"), str(error)


def _layers(path: FilePath, environ: Mapping[str, str]) -> list[Layer]:
    layers = list(read_files(path, guarded=True))
    layers += _environment(len(layers), environ, merged(layers).get("queues"))
    return layers


def _environment(order: int, environ: Mapping[str, str], queues: Any) -> Iterator[Layer]:
    if not any(name.startswith("ASYNCMQD_") or name == "CREDENTIALS_DIRECTORY" for name in environ):
        return  # a start without them does not pay for importing pydantic-settings
    from asyncmqd.config.environment import read_credential, read_variables

    yield from read_credential(order, environ)
    yield from read_variables(order + 1, environ, queues if isinstance(queues, dict) else {})


def _complete(written: dict[str, Any], control_socket: FilePath) -> dict[str, Any]:
    """What was written, with the defaults that depend on it: built-in < [defaults] < queue."""
    data = {"control_socket": control_socket, "queues": {}} | written
    defaults, queues = data.get("defaults"), data["queues"]
    if isinstance(defaults, dict) and isinstance(queues, dict):
        data["queues"] = {
            name: defaults | queue if isinstance(queue, dict) else queue
            for name, queue in queues.items()
        }
    return data


def _validate(data: dict[str, Any]) -> tuple[Settings | None, list[ErrorDetails]]:
    try:
        return read(Settings, data), []
    except ValidationError as error:
        return None, error.errors(include_url=False)


def _located(
    findings: list[ErrorDetails], layers: list[Layer], written: dict[str, Any], *, partial: bool
) -> Iterator[ConfigError]:
    for finding in findings:
        path: Path = finding["loc"]
        if path[-1:] == ("[key]",):
            path = path[:-1]
        missing = finding["type"] == "missing"
        if (missing and partial) or _inherited(path, written):
            continue
        # A missing key is the fault of the table that lacks it, whatever a lower layer's had.
        yield _locate(layers, path, _problem(finding), at=path[:-1] if missing else path)


def _inherited(path: Path, written: dict[str, Any]) -> bool:
    """Whether the value comes from [defaults], where it is reported already."""
    if len(path) < 3 or path[0] != "queues":
        return False
    defaults = written.get("defaults")
    if not isinstance(defaults, dict) or path[2] not in defaults:
        return False
    return path[2] not in written["queues"][path[1]]


def _locate(layers: list[Layer], path: Path, problem: str, at: Path | None = None) -> ConfigError:
    """The problem with its place: where the highest layer that sets the key wrote it."""
    at = path if at is None else at
    while at:
        for layer in reversed(layers):
            if layer.has(at):
                return ConfigError(layer.place(at), dotted(path), problem)
        at = at[:-1]
    return ConfigError(layers[0].place(), dotted(path), problem)


def _problem(finding: ErrorDetails) -> str:
    match finding["type"]:
        case "kind":
            return finding["msg"]
        case "missing":
            return "expected it to be set, got nothing"
        case "extra_forbidden":
            return _unknown_key(finding["loc"])
        case shape:
            return f"expected {_SHAPES.get(shape, finding['msg'])}, got {shown(finding['input'])}"


def _unknown_key(path: Path) -> str:
    table, name = keys_of(_table(path[:-1])), str(path[-1])
    if name in keys_of(Settings):
        hint = f" ({name} belongs above the first [table])"
    elif name in keys_of(QueueOptions):
        hint = f" ({name} belongs in [defaults] or [queues.NAME])"
    elif name in keys_of(Http):
        hint = f" ({name} belongs in [http])"
    elif near := get_close_matches(name, table, 1):
        hint = f" (did you mean {near[0]}?)"
    else:
        hint = ""
    return f"expected a known key{hint}, got {shown(name)}"


def _table(path: Path) -> Table:
    """What the table at `path` is read into."""
    if "repeatables" in path[-2:-1]:
        return Repeatable
    if path == ("otel",):
        return Otel
    if path[:1] == ("http",):
        return Http
    if path[:1] == ("webhooks",):
        return Webhook
    if "keys" in path[-2:-1] and path[0] != path[-2]:
        return KeyOptions
    return QueueOptions if path else Settings
