"""Hints of few values: Literal and enums."""

from __future__ import annotations

import functools
from enum import Enum, Flag
from typing import Any

import msgspec

from asyncmqd.domain.codec import NotSerialisable, encode
from asyncmqd.domain.hints.form import KINDS, Form, Uncarried, native, shown


def literal(hint: Any, args: tuple[Any, ...]) -> Form:
    """Literal, or the tag of a struct."""
    try:
        table = {encode(each): each for each in args}
    except NotSerialisable as error:
        raise Uncarried(f"{shown(hint)}: expected values of JSON, got {error}") from None
    plain = not any(isinstance(each, Enum | bytes) for each in args)
    return _of_few(hint, table, plain=plain)


def enum(kind: type[Enum]) -> Form:
    """The form of an enum. Raises Uncarried for members that JSON cannot carry or tell apart."""
    if issubclass(kind, Flag):
        return Form(hint=kind, read=native(kind), kinds=frozenset({"int"}), exact=frozenset({kind}))
    try:
        table = {encode(each.value): each for each in kind}
    except NotSerialisable as error:
        raise Uncarried(f"{kind.__name__}: expected members of JSON types, got {error}") from None
    if len(table) < len(kind):
        raise Uncarried(f"{kind.__name__}: expected members that JSON tells apart")
    return _of_few(kind, table)


def _of_few(hint: Any, table: dict[bytes, Any], *, plain: bool = False) -> Form:
    return Form(
        hint=hint,
        read=functools.partial(_read_few, table, shown(hint)),
        kinds=frozenset(KINDS[type(msgspec.json.decode(each))] for each in table),
        plain=plain,
        exact=frozenset(map(type, table.values())),
        values=frozenset(table),
    )


def _read_few(table: dict[bytes, Any], name: str, value: Any) -> Any:
    try:
        return table[encode(value)]
    except KeyError:
        raise ValueError(f"Expected `{name}`, got {str(value)[:80]!r}") from None
