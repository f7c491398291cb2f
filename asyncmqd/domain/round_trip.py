"""Whether a value that came back from JSON is the one that was given."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from collections.abc import Set as AbstractSet
from datetime import datetime
from typing import Any

import msgspec


def same(back: Any, value: Any, *, loose: bool = False) -> bool:
    """Whether they are equal, also where `==` says no though nothing was lost.

    That is so for not-a-number, for moments of one zone in the hour that comes twice, and for
    classes that know no equality. `loose`: a list stands for a tuple too, as `Sequence` allows.
    """
    try:
        if back == value:
            return True
    except Exception:  # noqa: BLE001 - a class's own comparison, of arrays for example
        return False
    if loose and isinstance(value, tuple):
        value = list(value)
    if isinstance(back, datetime) and isinstance(value, datetime):
        return _same_moment(back, value)
    if isinstance(back, list | tuple) and isinstance(value, type(back)):
        return len(back) == len(value) and all(
            same(one, other, loose=loose) for one, other in zip(back, value, strict=True)
        )
    if isinstance(back, Mapping) and isinstance(value, Mapping):
        return back.keys() == value.keys() and all(
            same(back[key], value[key], loose=loose) for key in back
        )
    if type(back) is not type(value) or isinstance(back, AbstractSet):
        return False
    fields = fields_of(back)
    if fields is None:
        return bool(back != back and value != value)
    return same(fields, fields_of(value), loose=loose)


def _same_moment(back: datetime, value: datetime) -> bool:
    # Where a zone's offset depends on `fold`, moments of two zones are never equal (PEP 495).
    if back.tzinfo is None or value.tzinfo is None:
        return False
    return (back.utcoffset(), back.replace(tzinfo=None)) == (
        value.utcoffset(),
        value.replace(tzinfo=None),
    )


def fields_of(value: Any) -> dict[str, Any] | None:
    """What a value of a class of fields consists of; None for any other."""
    if dataclasses.is_dataclass(value):
        return {each.name: getattr(value, each.name, None) for each in dataclasses.fields(value)}
    if isinstance(value, msgspec.Struct):
        return {name: getattr(value, name, None) for name in value.__struct_fields__}
    names = getattr(type(value), "model_fields", None)  # pydantic, without importing it
    if names is None:
        return None
    private = getattr(value, "__pydantic_private__", None) or {}
    extra = getattr(value, "__pydantic_extra__", None) or {}
    return {name: getattr(value, name, None) for name in names} | extra | private
