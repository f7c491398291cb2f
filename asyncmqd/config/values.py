"""The kinds of values that keys take: what is accepted, how it is described, how it is shown."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import GetCoreSchemaHandler, SecretStr
from pydantic_core import CoreSchema, PydanticCustomError, core_schema

from asyncmqd.config.urls import FORMS, check_backend
from asyncmqd.domain import schedule
from asyncmqd.domain.codec import NotSerialisable, encode
from asyncmqd.domain.job import MAX_DELAY, QUEUE_NAME
from asyncmqd.domain.urls import redacted

_LONGEST_SHOWN = 60  # characters
_DOTTED = re.compile(r"[^\W\d]\w*(\.[^\W\d]\w*)*")
_NO_TIME = re.compile(r"\s*0+(\.0+)?\s*(ms|s|m|h|d)?\s*")
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

    def __get_pydantic_core_schema__(self, _: Any, __: GetCoreSchemaHandler) -> CoreSchema:
        return core_schema.no_info_plain_validator_function(self._validate)

    def _validate(self, value: Any) -> Any:
        try:
            return self.check(value)
        except ValueError as error:
            raise PydanticCustomError("kind", "{problem}", {"problem": str(error)}) from None


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


def _number(value: Any) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise ValueError
    return value


def _text(value: Any) -> str:
    if not isinstance(value, str):
        raise ValueError
    return value


def whole(low: int, high: int, unit: str = "", *, optional: bool = False) -> Kind:
    """A whole number from `low` to `high`."""

    def read(value: Any) -> int:
        if not isinstance(_number(value), int) or not low <= value <= high:
            raise ValueError
        return int(value)

    return Kind(f"a whole number from {low} to {high}", read, unit, optional)


def number(low: float, high: float, unit: str = "", *, optional: bool = False) -> Kind:
    """A number from `low` to `high`, whole or not."""

    def read(value: Any) -> float:
        if not low <= _number(value) <= high:  # false for NaN
            raise ValueError
        return float(value)

    return Kind(f"a number from {low} to {high}", read, unit, optional)


def period(low: float = 0.0, *, optional: bool = False) -> Kind:
    """Seconds, as a number or as text like "5m": at least `low`, at most ten years."""

    def read(value: Any) -> float:
        if isinstance(value, str):
            value = 0.0 if _NO_TIME.fullmatch(value) else schedule.seconds(value)
        if not low <= _number(value) <= MAX_DELAY:
            raise ValueError
        return float(value)

    least = f" of at least {low:g}" if low else ""
    expected = f"seconds{least} (a number or text like '5m', at most ten years)"
    # Whatever `seconds` says of a text, this kind's own words name the limits too.
    return Kind(expected, _without_message(read), "seconds", optional)


def _without_message(read: Callable[[Any], Any]) -> Callable[[Any], Any]:
    def quiet(value: Any) -> Any:
        try:
            return read(value)
        except (ValueError, OverflowError):
            raise ValueError from None

    return quiet


def choice(*names: str) -> Kind:
    """One of some words."""

    def read(value: Any) -> str:
        if _text(value) not in names:
            raise ValueError
        return str(value)

    listed = ", ".join(repr(name) for name in names[:-1])
    return Kind(f"{listed} or {names[-1]!r}", read)


def matching(pattern: re.Pattern[str], expected: str, *, optional: bool = False) -> Kind:
    """Text that a pattern matches from end to end."""

    def read(value: Any) -> str:
        if not pattern.fullmatch(_text(value)):
            raise ValueError
        return str(value)

    return Kind(expected, read, "", optional)


def _absolute(value: Any) -> Path:
    text = _text(value)
    if not text.startswith("/") or "\0" in text:
        raise ValueError
    return Path(text)


def _socket_path(value: Any) -> Path:
    path = _absolute(str(value) if isinstance(value, Path) else value)
    if len(str(path).encode()) > _SOCKET_PATH_LIMIT:
        raise ValueError(
            f"expected a path of at most {_SOCKET_PATH_LIMIT} bytes,"
            f" got {len(str(path).encode())} bytes"
        )
    return path


def _json_array(value: Any) -> list[Any]:
    if not isinstance(value, list):
        raise ValueError
    return list(_carried_by_json(value, "args"))


def _json_table(value: Any) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise ValueError
    return dict(_carried_by_json(value, "kwargs"))


def _carried_by_json(value: Any, what: str) -> Any:
    try:
        encode(value, what)
    except NotSerialisable as error:
        reason = str(error)
        raise ValueError(f"expected values that JSON can carry, got {reason}") from None
    return value


def _secret_url(value: Any) -> SecretStr:
    if isinstance(value, SecretStr):
        return value
    return SecretStr(check_backend(_text(value)))


MODULE = matching(_DOTTED, "a dotted module name like 'myapp.tasks'")
SCANNER = matching(
    re.compile(rf"{_DOTTED.pattern}:{_DOTTED.pattern}"),
    "module:function like 'myapp.scanners:inbox'",
)
QUEUE = matching(
    QUEUE_NAME, "a queue name of a-z, 0-9, _ and -, which starts with a letter or a digit"
)
NAME = matching(re.compile(r"\S(.{0,198}\S)?"), "a name of 1 to 200 characters")
OPTIONAL_NAME = matching(re.compile(r"(\S(.{0,198}\S)?)?"), "a name of up to 200 characters")
CRON = Kind(
    "a cron expression like '0 3 * * *'",
    lambda value: schedule.check_cron(_text(value)),
    optional=True,
)
TIMEZONE = Kind(
    "a time zone like 'Europe/Lisbon'", lambda value: schedule.check_timezone(_text(value))
)
BACKEND = Kind(f"text: {FORMS}", _secret_url)
DIRECTORY = Kind("an absolute directory like '/srv/myapp'", _absolute)
SOCKET = Kind("an absolute path like '/run/asyncmqd/control.sock'", _socket_path)
JSON_ARRAY = Kind("an array of arguments", _json_array)
JSON_TABLE = Kind("a table of arguments by name", _json_table)
