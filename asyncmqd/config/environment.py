"""What the environment sets: ASYNCMQD_* variables and systemd credentials, as layers."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from difflib import get_close_matches
from pathlib import Path
from typing import Any

from pydantic import create_model
from pydantic_settings import EnvSettingsSource
from pydantic_settings.exceptions import SettingsError

from asyncmqd.config.errors import dotted
from asyncmqd.config.files import read_text
from asyncmqd.config.layers import Layer
from asyncmqd.config.models import Settings
from asyncmqd.config.nesting_depth import MAX_DEPTH, too_deep
from asyncmqd.config.tables import Key, keys_of
from asyncmqd.config.values import shown

PREFIX = "ASYNCMQD_"
_CONFIG = "ASYNCMQD_CONFIG"  # names the file to read, so it is no key of it
_CREDENTIAL = "backend_url"


def read_credential(order: int, environ: Mapping[str, str]) -> Iterator[Layer]:
    """The store's URL from systemd's credentials, which no other process can see."""
    folder = environ.get("CREDENTIALS_DIRECTORY")
    if not folder:
        return
    path = Path(folder) / _CREDENTIAL
    try:
        path.stat()
    except FileNotFoundError:
        return
    except OSError:
        pass  # the layer says that it cannot be read: a daemon without it has another store
    layer = Layer(order, str(path))
    text = read_text(layer, path, "backend")
    if text is not None:
        layer.data = {"backend": text.strip()}
    yield layer


def read_variables(
    order: int, environ: Mapping[str, str], queues: Mapping[str, Any]
) -> Iterator[Layer]:
    """One layer for each ASYNCMQD_ variable, so that an error can name it; empty ones are not set.

    A variable for a whole table comes before those for keys in it. `queues` are the configured
    ones: a nested name has to mean one of them, because a misspelt one would add a queue.
    """
    names = [name for name, value in environ.items() if name.startswith(PREFIX) and value]
    known = set(queues)
    for name in sorted(names):
        if name == _CONFIG:
            continue
        layer = _read_variable(order, name, environ[name], known)
        if isinstance(added := layer.data.get("queues"), dict):
            known |= added.keys()
        yield layer
        order += 1


def _read_variable(order: int, name: str, value: str, queues: set[str]) -> Layer:
    layer = Layer(order, f"ENV:{name}")
    path = name.removeprefix(PREFIX).lower().split("__")
    key = dotted(tuple(path))
    if path[0] not in Settings.__struct_fields__:
        return layer.refuse(key, _unknown_variable(path), partial=False)
    if path[0] == "queues" and len(path) > 1:
        known = _queue_spelt(path[1], queues)
        if known is None:
            return layer.refuse(key, _unknown_queue(path[1], queues), partial=False)
        path[1] = known
    if len(path) > MAX_DEPTH or too_deep(value):
        problem = f"expected at most {MAX_DEPTH} levels of nesting, got more"
        return layer.refuse(dotted(tuple(path[:3])), problem)
    try:
        layer.data = _Variable("__".join(path), value)()
    except (SettingsError, ValueError, RecursionError):
        return layer.refuse(key, f"""expected JSON like ["a"] or {{"a": 1}}, got {shown(value)}""")
    if not layer.data:
        problem = f"expected {PREFIX}{path[0].upper()}, which has no keys, got {shown(name)}"
        return layer.refuse(key, problem, partial=False)
    return layer


def _as_variable(key: Key) -> Any:
    """What pydantic-settings has to know of a key: whether it is written as JSON, or in parts."""
    if key.kind is not None:
        return str
    return tuple[str, ...] if isinstance(key.default, tuple) else dict[str, Any]


_FIELDS: dict[str, Any] = {
    name: (_as_variable(key), ...) for name, key in keys_of(Settings).items()
}
_AS_VARIABLES = create_model("_AS_VARIABLES", **_FIELDS)


class _Variable(EnvSettingsSource):
    """pydantic-settings' reading of a single variable.

    It is given one at a time because its result does not tell which variable set what.
    """

    def __init__(self, name: str, value: str) -> None:
        self._only = {name: value}
        # The source looks at fields only, so that this need not be a BaseSettings, which would read
        # this process's environment whenever one is made.
        super().__init__(_AS_VARIABLES, env_prefix="", env_nested_delimiter="__")

    def _load_env_vars(self) -> Mapping[str, str | None]:
        return self._only

    def __call__(self) -> dict[str, Any]:
        return {key: _plain(value) for key, value in super().__call__().items()}


def _plain(value: Any) -> Any:
    """Numbers, booleans and null as such: variables are text, but the models take no text for 5."""
    if isinstance(value, dict):
        return {key: _plain(child) for key, child in value.items()}
    if not isinstance(value, str):
        return value
    try:
        scalar = json.loads(value)
    except (ValueError, RecursionError):
        return value
    return value if isinstance(scalar, dict | list | str) else scalar


def _queue_spelt(name: str, queues: set[str]) -> str | None:
    """The queue that a variable means. Names of variables cannot hold a dash, so _ may be one."""
    if name in queues:
        return name
    return next((queue for queue in sorted(queues) if queue.replace("-", "_") == name), None)


def _unknown_queue(name: str, queues: set[str]) -> str:
    near = get_close_matches(name, sorted(queues), 1)
    hint = f" (did you mean {near[0].upper().replace('-', '_')}?)" if near else ""
    return f"expected a queue that a file or {PREFIX}QUEUES defines{hint}, got {shown(name)}"


def _unknown_variable(path: list[str]) -> str:
    name = PREFIX + "__".join(path).upper()
    near = get_close_matches(path[0], [*Settings.__struct_fields__, "config"], 1)
    hint = ""
    if near:
        hint = f" (did you mean {PREFIX}{'__'.join([near[0], *path[1:]]).upper()}?)"
    return f"expected a known variable{hint}, got {name}"
