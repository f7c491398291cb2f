"""The arguments of a verb, read from JSON values or from the text of a query."""

from __future__ import annotations

import enum
import types
import typing
from typing import Any, TypeVar

import msgspec

from asyncmqd.admin.errors import WrongArguments
from asyncmqd.domain.did_you_mean import did_you_mean

Arguments = TypeVar("Arguments", bound=msgspec.Struct)

_LONGEST_SHOWN = 60  # characters
_WORDS = {
    type(None): "null",
    bool: "true or false",
    int: "a whole number",
    float: "a number",
    str: "text",
    list: "an array",
    dict: "an object",
}


def read_arguments(
    takes: type[Arguments], values: dict[str, Any], *, typed: bool = True
) -> Arguments:
    """What a verb takes; without `typed` all values are text. Raises WrongArguments."""
    fields = {field.name: field for field in msgspec.structs.fields(takes)}
    for name in values:
        if name not in fields:
            known = ", ".join(fields) or "no argument"
            raise WrongArguments(f"expected {known}, got {shown(name)}{did_you_mean(name, fields)}")
    for name, field in fields.items():
        if name in values:
            _check(name, field.type, values[name], typed=typed)
        elif field.required:
            raise WrongArguments(f"{name}: expected {described(field.type)}, got nothing")
    return msgspec.convert(values, takes, strict=typed)


def _check(place: str, hint: Any, value: Any, *, typed: bool) -> None:
    try:
        msgspec.convert(value, hint, strict=typed)
    except msgspec.ValidationError:
        if isinstance(value, list) and typing.get_origin(hint) is list:
            for index, each in enumerate(value):
                _check(f"{place}[{index}]", typing.get_args(hint)[0], each, typed=typed)
        expected = described(hint)
        raise WrongArguments(f"{place}: expected {expected}, got {shown(value)}") from None


def described(hint: Any) -> str:
    """A type, as people name its JSON."""
    origin, parts = typing.get_origin(hint), typing.get_args(hint)
    if origin is typing.Annotated:
        limits = next(each for each in parts[1:] if isinstance(each, msgspec.Meta))
        return f"{described(parts[0])} from {limits.ge} to {limits.le}"
    if origin in {typing.Union, types.UnionType}:
        return " or ".join(described(each) for each in parts)
    if isinstance(hint, type) and issubclass(hint, enum.Enum):
        return f"one of {', '.join(each.value for each in hint)}"
    if origin is list and parts != (Any,):
        return f"an array with {described(parts[0])} in each place"
    return _WORDS[origin or hint]


def shown(value: Any) -> str:
    """A JSON value, short."""
    if isinstance(value, list | dict):
        return _WORDS[type(value)]
    text = repr(value) if isinstance(value, str) else msgspec.json.encode(value).decode()
    return text if len(text) <= _LONGEST_SHOWN else f"{text[:_LONGEST_SHOWN]}..."
