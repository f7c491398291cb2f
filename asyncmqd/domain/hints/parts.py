"""Values read part by part, where msgspec cannot read the whole."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

from asyncmqd.domain.hints.form import KINDS, Form, native


def read_each(made: Callable[[Any], Any], element: Form, value: Any) -> Any:
    """An array of any length."""
    return made([_at(f"[{i}]", element, each) for i, each in enumerate(_checked(value, list))])


def read_fixed(made: Callable[[Any], Any], elements: list[Form], value: Any) -> Any:
    """An array of so many elements."""
    if len(_checked(value, list)) != len(elements):
        raise ValueError(f"Expected `array` of length {len(elements)}, got {len(value)}")
    parts = zip(elements, value, strict=True)
    return made([_at(f"[{i}]", form, each) for i, (form, each) in enumerate(parts)])


def read_mapping(keys: Any, values: Form, value: Any) -> Any:
    """An object with any keys."""
    return {
        key: _at(f"[{key!r}]", values, each)
        for key, each in native(keys)(_checked(value, dict)).items()
    }


def _read_fields(forms: dict[str, Form], value: Any) -> dict[str, Any]:
    return {
        name: _at(f".{name}", form, value[name])
        for name, form in forms.items()
        if name in _checked(value, dict)
    }


def read_dataclass(kind: Any, forms: dict[str, Form], value: Any) -> Any:
    """An object with the fields of a dataclass, by its `__init__`."""
    found = _read_fields(forms, value)
    given = {each.name for each in dataclasses.fields(kind) if each.init}
    made = kind(**{name: each for name, each in found.items() if name in given})
    for name in found.keys() - given:
        object.__setattr__(made, name, found[name])
    return made


def read_typed_dict(always: frozenset[str], forms: dict[str, Form], value: Any) -> Any:
    """An object with the keys of a TypedDict."""
    found = _read_fields(forms, value)
    if missing := always - found.keys():
        raise ValueError(f"Object missing required field `{min(missing)}`")
    return found


def _checked(value: Any, kind: type) -> Any:
    if not isinstance(value, kind):
        names: dict[Any, str] = {list: "array", dict: "object"}
        raise ValueError(f"Expected `{names[kind]}`, got `{KINDS.get(type(value))}`")
    return value


def _at(place: str, form: Form, value: Any) -> Any:
    try:
        return form.read(value)
    except (ValueError, TypeError) as error:
        raise ValueError(f"{error} - at {place}") from None
