"""The kinds of values that keys take: what is accepted, how it is described, how it is shown."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from asyncmqd.config.urls import FORMS, check_backend
from asyncmqd.domain import options
from asyncmqd.domain.url_redaction import redacted

_LONGEST_SHOWN = 60  # characters
_DOTTED = re.compile(r"[^\W\d]\w*(\.[^\W\d]\w*)*")
_SOCKET_PATH_LIMIT = 107  # bytes: sun_path of a Unix socket, with its final NUL


@dataclass(frozen=True)
class Kind:
    """A kind of value, for use in `Annotated`.

    `expected` completes "expected ..."; `read` returns the value to keep and raises ValueError for
    any other, with a message of its own if that begins with "expected". None passes if `optional`:
    it cannot be written in TOML, but the environment says it as null.
    """

    expected: str
    read: Callable[[Any], Any]
    unit: str = ""
    optional: bool = False

    def check(self, value: Any) -> Any:
        """The value to keep. Raises ValueError "expected X, got Y"."""
        if value is None and self.optional:
            return None
        try:
            return self.read(value)
        except ValueError as error:
            own = str(error)
        if own.startswith("expected ") and len(own) < 5 * _LONGEST_SHOWN:
            raise ValueError(redacted(own))
        raise ValueError(f"expected {self.expected}, got {shown(value)}")


class Secret:
    """A text that shows itself nowhere; no dataclass, which msgspec would write like any other."""

    __slots__ = ("text",)

    def __init__(self, text: str) -> None:
        self.text = text

    def __repr__(self) -> str:
        return "Secret('***')"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Secret) and self.text == other.text

    def __hash__(self) -> int:
        return hash(self.text)


def shown(value: Any) -> str:
    """The value as an error shows it: short, in TOML's words, without passwords."""
    if value is None:
        return "null"
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, int):
        return str(value) if value.bit_length() <= 64 else "a number of more than 64 bits"
    if isinstance(value, float):
        return repr(value)
    if isinstance(value, str):
        text = redacted(value)
        return repr(text if len(text) <= _LONGEST_SHOWN else text[:_LONGEST_SHOWN] + "...")
    if isinstance(value, Mapping):
        return "a table"
    if isinstance(value, list | tuple):
        return "an array"
    return "a date or time"


def _text(value: Any) -> str:
    if not isinstance(value, str):
        raise ValueError
    return value


def of(kind: options.Kind, *, optional: bool = False) -> Kind:
    """A kind of the domain, for a key."""
    return Kind(kind.expected, kind.read, kind.unit, optional)


def whole(low: int, high: int, unit: str = "", *, optional: bool = False) -> Kind:
    """A whole number from `low` to `high`."""
    return of(options.whole(low, high, unit), optional=optional)


def number(low: float, high: float, unit: str = "", *, optional: bool = False) -> Kind:
    """A number from `low` to `high`, whole or not."""
    return of(options.number(low, high, unit), optional=optional)


def period(low: float = 0.0, *, optional: bool = False) -> Kind:
    """Seconds, as a number or as text like "5m": at least `low`, at most ten years."""
    return of(options.period(low), optional=optional)


def choice(*names: str) -> Kind:
    """One of some words."""
    return of(options.choice(*names))


def _matching(pattern: re.Pattern[str], expected: str) -> Kind:
    return of(options.matching(pattern, expected))


def absolute(value: Any) -> Path:
    """An absolute path."""
    text = _text(value)
    if not text.startswith("/") or "\0" in text:
        raise ValueError
    return Path(text)


def _socket_path(value: Any) -> Path:
    path = absolute(str(value) if isinstance(value, Path) else value)
    if len(str(path).encode()) > _SOCKET_PATH_LIMIT:
        raise ValueError(
            f"expected a path of at most {_SOCKET_PATH_LIMIT} bytes,"
            f" got {len(str(path).encode())} bytes"
        )
    return path


def _secret_url(value: Any) -> Secret:
    return Secret(check_backend(_text(value)))


MODULE = _matching(_DOTTED, "a dotted module name like 'myapp.tasks'")
QUEUE = of(options.QUEUE.kind)
BACKEND = Kind(f"text: {FORMS}", _secret_url)
DIRECTORY = Kind("an absolute directory like '/srv/myapp'", absolute)
SOCKET = Kind("an absolute path like '/run/asyncmqd/control.sock'", _socket_path)
