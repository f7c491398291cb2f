"""What Python itself says of a hint: what it names, and which fields its class has."""

from __future__ import annotations

import typing
from typing import Any

_WRAPPERS = {typing.Required, typing.NotRequired, typing.Final, typing.ClassVar}


def bare(hint: Any) -> Any:
    """The hint without names and notes around it."""
    while True:
        origin = typing.get_origin(hint)
        if origin is typing.Annotated:
            hint = hint.__origin__
        elif origin in _WRAPPERS or getattr(origin, "__qualname__", "") == "ReadOnly":
            (hint,) = typing.get_args(hint)
        elif isinstance(hint, typing.NewType):
            hint = hint.__supertype__
        elif hint is typing.LiteralString:
            return str
        elif type(hint).__name__ == "TypeAliasType":
            hint = hint.__value__
        elif hint in _WRAPPERS:
            return Any
        else:
            return hint


def is_hashable(hint: Any) -> bool:
    """Whether it can be looked up; one that is Annotated with a dict or a list cannot."""
    try:
        hash(hint)
    except TypeError:
        return False
    return True


def is_star(hint: Any) -> bool:
    """Whether it stands for any number of types: `*Ts`, `*tuple[int, ...]`."""
    return bool(getattr(hint, "__unpacked__", False)) or isinstance(hint, typing.TypeVarTuple)


def hints_of_fields(hint: Any, kind: Any) -> dict[str, Any]:
    """The hints of a class's fields, with what a generic one was given for its variables."""
    hints = typing.get_type_hints(kind, include_extras=True)
    names = getattr(kind, "__parameters__", ())
    given = dict(zip(names, typing.get_args(hint), strict=False))
    return {name: _filled(each, given) for name, each in hints.items()} if given else hints


def required_keys(kind: Any, hints: dict[str, Any]) -> frozenset[str]:
    """The keys that a TypedDict always has.

    Where annotations are texts, Python itself does not see the notes in them.
    """
    origins = {name: typing.get_origin(each) for name, each in hints.items()}
    left_out = {name for name, origin in origins.items() if origin is typing.NotRequired}
    named = {name for name, origin in origins.items() if origin is typing.Required}
    return frozenset(kind.__required_keys__ - left_out | named)


def _filled(hint: Any, given: dict[Any, Any]) -> Any:
    if isinstance(hint, typing.TypeVar):
        return given.get(hint, hint)
    wanted = () if isinstance(hint, type) else getattr(hint, "__parameters__", ())
    return hint[tuple(given.get(each, each) for each in wanted)] if wanted else hint
