"""Values of classes that msgspec does not know: subclasses of what it knows, numpy's, pydantic's.

pydantic is imported where a value or a hint is of one of its classes, and so is imported already.
"""

from __future__ import annotations

import functools
import math
import sys
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from typing import Any
from uuid import UUID

import msgspec

from asyncmqd.domain.round_trip import fields_of, same

_NUMPY_KINDS = "biufU"  # booleans, numbers, texts


_NETWORK = (
    f"IPv{version}{kind}" for version in (4, 6) for kind in ("Address", "Interface", "Network")
)
_TEXTUAL = {"pathlib": ("Path", "PosixPath"), "ipaddress": tuple(_NETWORK)}


class Unwritable(TypeError):
    """A value that JSON cannot carry: the message says what, without its place."""


def is_pydantic(kind: Any) -> bool:
    """Whether pydantic validates and writes values of this class."""
    return hasattr(kind, "__get_pydantic_core_schema__")


def is_textual(kind: Any) -> bool:
    """Whether values of this very class are written as their text, and made of it again.

    Who has one has imported its module.
    """
    return any(
        kind is getattr(sys.modules.get(module), name, None)
        for module, names in _TEXTUAL.items()
        for name in names
    )


def is_secret(kind: Any) -> bool:
    """Whether values of this class are written as asterisks."""
    return is_pydantic(kind) and hasattr(kind, "get_secret_value")


def written(value: Any) -> Any:
    """What is written for a value that msgspec does not know. Raises Unwritable."""
    kind = type(value)
    if is_pydantic(kind):
        return _write_model(value)
    base = None if kind is bool else _base(value)  # a key that is True; as a value msgspec has it
    if base is None:
        if is_textual(kind):
            return str(value)
        raise Unwritable(f"a value of type {kind.__name__} cannot be carried by JSON")
    if isinstance(base, float) and not math.isfinite(base):
        raise Unwritable(f"expected a finite number, got {value!r}")
    if not same(base, value):
        raise Unwritable(f"a value of type {kind.__name__} is more than the {base!r} of JSON")
    return base


def _base(value: Any) -> Any:
    """The value in the class that it is a subclass of; None if there is none."""
    try:
        for kind, plain in _BASES.items():
            if isinstance(value, kind):
                return plain(value)
        if type(value).__module__ == "numpy" and value.dtype.kind in _NUMPY_KINDS:
            item = value.item() if value.shape == () else None
            return item if isinstance(item, bool | int | float | str) else None
    except (AttributeError, TypeError, ValueError):
        pass
    return None


def _moment(value: datetime) -> datetime:
    return datetime.combine(_day(value), _clock(value.timetz()))


def _day(value: date) -> date:
    return date(value.year, value.month, value.day)


def _clock(value: time) -> time:
    return time(
        value.hour, value.minute, value.second, value.microsecond, value.tzinfo, fold=value.fold
    )


_BASES: dict[type, Any] = {
    str: str.__str__,
    int: int.__int__,
    float: float.__float__,
    bytes: lambda value: bytes(memoryview(value)),
    datetime: _moment,
    date: _day,
    time: _clock,
    timedelta: lambda value: timedelta(value.days, value.seconds, value.microseconds),
    Decimal: Decimal,
    UUID: lambda value: UUID(int=value.int),
}


def build(hint: Any, value: Any) -> Any:
    """A value of a class that msgspec does not know, from JSON.

    Raises ValueError or TypeError. There are no others: `hints` refuses their classes.
    """
    if is_pydantic(hint):
        return adapter(hint).validate_json(_plain.encode(value), by_alias=True, by_name=True)
    if is_textual(hint):
        return hint(msgspec.convert(value, str))
    base = next(base for base in (str, int, float) if issubclass(hint, base))
    return hint(msgspec.convert(value, base))


# ---------------------------------------------------------------------- pydantic

_plain = msgspec.json.Encoder()


@functools.lru_cache(512)
def adapter(kind: Any) -> Any:
    """pydantic's own reader and writer of a class. Raises what pydantic says of a class."""
    from pydantic import TypeAdapter  # imported already, where there is such a class

    return TypeAdapter(kind)


def _write_model(value: Any) -> msgspec.Raw:
    # By names: aliases may differ for reading and writing. Read back here, for serialisers,
    # excluded fields, validators and secrets may make another value of it.
    kind: Any = type(value)
    name = kind.__name__
    try:
        tree = adapter(kind).dump_python(
            value, mode="json", by_alias=False, round_trip=True, warnings=False
        )
        data = _plain.encode(tree)
        back = build(kind, msgspec.Raw(data))
    except (ValueError, TypeError) as error:
        why = " ".join(str(error).split())[:300]
        raise Unwritable(f"a value of type {name} does not come back from JSON: {why}") from None
    if not same(back, value):
        raise Unwritable(
            f"a value of type {name} does not come back equal from JSON{_why(back, value)}"
        )
    return msgspec.Raw(data)


def _why(back: Any, value: Any) -> str:
    if is_secret(type(value)):
        return ": it would be stored as asterisks"
    before, after = fields_of(value) or {}, fields_of(back) or {}
    for name, one in before.items():
        if is_secret(type(one)):
            return f": its field {name!r} would be stored as asterisks"
        if name not in after or not same(after[name], one):
            return f": its field {name!r} is another afterwards"
    return ""
