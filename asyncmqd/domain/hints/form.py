"""What the JSON of a value looks like, and how the value is read from it."""

from __future__ import annotations

import functools
import re
import types
import typing
from collections.abc import Callable
from typing import Any

import msgspec

from asyncmqd.domain.codec import encode
from asyncmqd.domain.foreign_types import build

KINDS = {
    type(None): "null",
    bool: "bool",
    int: "int",
    float: "float",
    str: "text",
    list: "array",
    dict: "object",
}
ANY_KIND = frozenset(KINDS.values())

# No text has two of these formats.
FORMATS = {
    "datetime": re.compile(r"[-+]?\d{4,}-\d\d-\d\d[Tt ]\d.*"),
    "date": re.compile(r"[-+]?\d{4,}-\d\d-\d\d"),
    "time": re.compile(r"\d\d:\d\d.*"),
    "timedelta": re.compile(r"[-+]?[Pp].*"),
    "UUID": re.compile(r"[0-9A-Fa-f]{8}-(?:[0-9A-Fa-f]{4}-){3}[0-9A-Fa-f]{12}"),
    "Decimal": re.compile(r"[-+]?(?:[\d.]+(?:[Ee][-+]?\d+)?|s?NaN\d*|Infinity)"),
}


class Uncarried(TypeError):
    """A hint whose values JSON cannot carry: the message says why, and what would work."""


class Keys(msgspec.Struct, frozen=True):
    """The keys of an object as it is written."""

    always: frozenset[str]
    possible: frozenset[str] | None  # None: any
    values: dict[str, frozenset[bytes]]  # of the keys that have few values

    def fit(self, found: dict[str, Any]) -> bool:
        """Whether an object may have been written so."""
        names = found.keys()
        if not names >= self.always or (self.possible is not None and not names <= self.possible):
            return False
        return all(encode(found[key]) in few for key, few in self.values.items() if key in found)

    def apart(self, other: Keys) -> bool:
        """Whether no object may have been written by both."""
        for key in self.always & other.always & self.values.keys() & other.values.keys():
            if not self.values[key] & other.values[key]:
                return True
        return _has_other_keys(self, other) or _has_other_keys(other, self)


def _has_other_keys(one: Keys, other: Keys) -> bool:
    return other.possible is not None and not one.always <= other.possible


class Form(msgspec.Struct, frozen=True, kw_only=True):
    """What is known of a hint."""

    hint: Any
    read: Callable[[Any], Any]  # raises ValueError or TypeError
    kinds: frozenset[str]  # of JSON
    plain: bool = False  # the JSON itself is the value
    native: bool = True  # msgspec reads it, with all that is in it
    exact: frozenset[type] = frozenset()  # values of these very types come back equal
    format: str | None = None  # of its texts; None: any text
    values: frozenset[bytes] | None = None  # all JSON that there is of it, where it is little
    keys: Keys | None = None
    members: tuple[Form, ...] = ()  # of a union
    loose: bool = False  # a list stands for any sequence

    def may_be(self, value: Any) -> bool:
        """Whether this JSON may have been written for a value of this hint."""
        if KINDS.get(type(value)) not in self.kinds:
            return False
        if self.values is not None:
            return encode(value) in self.values
        if self.format is not None and isinstance(value, str):
            return FORMATS[self.format].fullmatch(value) is not None
        return self.keys is None or self.keys.fit(value)

    @property
    def name(self) -> str:
        """The hint as errors show it."""
        return shown(self.hint)


def shown(hint: Any) -> str:
    """A hint for an error message; a union reads the same on every Python."""
    if hint is None or hint is types.NoneType:
        return "None"
    if isinstance(hint, type) and not hasattr(hint, "__origin__"):
        return hint.__name__
    if typing.get_origin(hint) in {typing.Union, types.UnionType}:
        return " | ".join(shown(each) for each in typing.get_args(hint))
    return str(hint).replace("typing.", "")[:200]


def native(hint: Any) -> Callable[[Any], Any]:
    """Read by msgspec alone."""
    return functools.partial(msgspec.convert, type=hint, dec_hook=build, str_keys=True)
