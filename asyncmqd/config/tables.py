"""Tables of the TOML by the fields of structs: the domain tells each key once, and here is how.

A field's annotation has the kind of its values and, as text, its meaning.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from types import UnionType
from typing import Annotated, Any, NamedTuple, TypeVar, get_args, get_origin, get_type_hints

import msgspec
from pydantic_core import CoreSchema, PydanticCustomError, SchemaValidator, core_schema

from asyncmqd.config.values import Kind, of
from asyncmqd.domain import options

Table = type[msgspec.Struct]
Read = TypeVar("Read", bound=msgspec.Struct)


class Key(NamedTuple):
    """A key of a table, as pages tell it."""

    meaning: str
    kind: Kind | None  # None: an array or a table
    default: Any  # None if it has to be set, too
    required: bool


@cache
def keys_of(table: Table) -> dict[str, Key]:
    """The keys that a table may have, in their order."""
    hints = get_type_hints(table, include_extras=True)
    return {
        field.name: Key(
            next(each for each in get_args(hints[field.name]) if isinstance(each, str)),
            _kind(hints[field.name]),
            field.default
            if field.default_factory is msgspec.NODEFAULT
            else field.default_factory(),
            field.required,
        )
        for field in msgspec.structs.fields(table)
    }


def read(table: type[Read], data: Any) -> Read:
    """What data of a file make. Raises ValidationError."""
    made: Read = _reader(table).validate_python(data)
    return made


@cache
def _reader(table: Table) -> SchemaValidator:
    return SchemaValidator(_table(table))


def _table(struct: type[msgspec.Struct]) -> CoreSchema:
    hints = get_type_hints(struct, include_extras=True)
    fields = {
        field.name: core_schema.typed_dict_field(
            _schema(hints[field.name]), required=field.required
        )
        for field in msgspec.structs.fields(struct)
    }

    def make(value: Any, read: Callable[[Any], dict[str, Any]]) -> msgspec.Struct:
        return value if isinstance(value, struct) else struct(**read(value))

    return core_schema.no_info_wrap_validator_function(
        make,
        core_schema.typed_dict_schema(fields, extra_behavior="forbid"),
    )


def _schema(hint: Any) -> CoreSchema:
    kind = _kind(hint)
    if kind is not None:
        return _of_kind(kind)
    if get_origin(hint) is Annotated:
        return _schema(get_args(hint)[0])
    if get_origin(hint) is UnionType:  # it need not be there
        return _schema(get_args(hint)[0])
    if get_origin(hint) is tuple:
        return core_schema.tuple_schema([_schema(get_args(hint)[0])], variadic_item_index=0)
    if get_origin(hint) is dict:
        return core_schema.dict_schema(*map(_schema, get_args(hint)))
    return _table(hint)


def struct_of(hint: Any) -> type[msgspec.Struct]:
    """The struct of a hint for a table, which may be one that need not be there."""
    found: type[msgspec.Struct] = next(iter(get_args(hint)), hint)
    return found


def _of_kind(kind: Kind) -> CoreSchema:
    def check(value: Any) -> Any:
        try:
            return kind.check(value)
        except ValueError as error:
            raise PydanticCustomError("kind", "{problem}", {"problem": str(error)}) from None

    return core_schema.no_info_plain_validator_function(check)


def _kind(hint: Any) -> Kind | None:
    """What values a hint takes, None among them if its type has that."""
    for each in getattr(hint, "__metadata__", ()):
        if isinstance(each, Kind):
            return each
        if isinstance(each, options.Kind):
            return of(each, optional=type(None) in get_args(get_args(hint)[0]))
    return None
