"""The form of each type hint: accepted, and then its values come back equal, or refused.

Nothing is guessed: what JSON cannot carry is refused with what would work in its place.
"""

from __future__ import annotations

import collections.abc as abc
import dataclasses
import functools
import operator
import types
import typing
from collections.abc import Callable
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from enum import Enum
from typing import Any
from uuid import UUID

import msgspec

from asyncmqd.domain.foreign_types import build, is_pydantic, is_textual
from asyncmqd.domain.hints.annotations import (
    bare,
    hints_of_fields,
    is_hashable,
    is_star,
    required_keys,
)
from asyncmqd.domain.hints.choices import enum, literal
from asyncmqd.domain.hints.form import ANY_KIND, Form, Keys, Uncarried, native, shown
from asyncmqd.domain.hints.models import model
from asyncmqd.domain.hints.parts import (
    read_dataclass,
    read_each,
    read_fixed,
    read_mapping,
    read_typed_dict,
)
from asyncmqd.domain.hints.unions import union

OPEN = Form(hint=Any, read=lambda value: value, kinds=ANY_KIND, plain=True)
_NULL = Form(
    hint=None,
    read=native(None),
    kinds=frozenset({"null"}),
    plain=True,
    exact=frozenset({types.NoneType}),
)

_TEXT, _ARRAY, _OBJECT = frozenset({"text"}), frozenset({"array"}), frozenset({"object"})
_PLAIN: dict[Any, frozenset[str]] = {
    bool: frozenset({"bool"}),
    int: frozenset({"int"}),
    float: frozenset({"int", "float"}),
    str: _TEXT,
}
_TEXTS: dict[Any, str | None] = {
    datetime: "datetime",
    date: "date",
    time: "time",
    timedelta: "timedelta",
    UUID: "UUID",
    Decimal: "Decimal",
    bytes: None,
    bytearray: None,
}
_COLLECTIONS: dict[Any, Any] = {
    abc.Sequence: list,
    abc.MutableSequence: list,
    abc.Collection: list,
    abc.Iterable: list,
    abc.Set: set,
    abc.MutableSet: set,
    abc.Mapping: dict,
    abc.MutableMapping: dict,
} | {kind: kind for kind in (list, set, frozenset, tuple, dict)}
_KEYS = {str, int, float, bytes, *_TEXTS} - {bytearray}

_INSTEAD = {
    "PurePath": "declare Path",
    "Pattern": "declare str",
    "complex": "declare tuple[float, float]",
    "Fraction": "declare Decimal, or tuple[int, int]",
    "deque": "declare list",
    "OrderedDict": "declare dict",
    "defaultdict": "declare dict",
    "Counter": "declare dict",
    "ChainMap": "declare dict",
    "range": "declare tuple[int, int]",
    "Iterator": "declare list",
    "Generator": "declare list",
    "AsyncIterator": "declare list",
    "AsyncGenerator": "declare list",
    "Callable": "pass a name that the task looks up",
    "type": "pass a name that the task looks up",
    "ZoneInfo": "declare str",
    "memoryview": "declare bytes",
}
_OTHERWISE = "declare JSON types, or a dataclass, a TypedDict or a pydantic model of them"


def form_of(hint: Any) -> Form:
    """The form of a hint.

    Raises Uncarried, and NameError where a class names in its own hints what is not there yet.
    """
    return _known(hint) if is_hashable(hint) else _Forms().of(hint)


@functools.lru_cache(2_048)
def _known(hint: Any) -> Form:
    return _Forms().of(hint)


def refused(hint: Any, kind: Any = None) -> Uncarried:
    """The error for a hint of that class."""
    name = getattr(kind or hint, "__name__", "")
    instead = _INSTEAD.get(name, _OTHERWISE)
    return Uncarried(f"expected a type that JSON can carry, got {shown(hint)}; {instead}")


class _Forms:
    """One walk through a hint; classes may contain themselves."""

    def __init__(self) -> None:
        self._under_way: dict[Any, Form] = {}
        self._with_fields = (
            (dataclasses.is_dataclass, self._dataclass),
            (lambda kind: hasattr(kind, "__attrs_attrs__"), self._attrs),
            (typing.is_typeddict, self._typed_dict),
            (lambda kind: issubclass(kind, msgspec.Struct), self._struct),
            (lambda kind: issubclass(kind, tuple) and hasattr(kind, "_fields"), self._named_tuple),
        )

    def of(self, hint: Any) -> Form:
        """The form of a hint, read by msgspec alone wherever it can."""
        if is_hashable(hint) and hint in self._under_way:
            return self._under_way[hint]
        form = self._of(bare(hint))
        if form.plain and form.hint is Any:
            return form
        if form.native and not _msgspec_reads(hint):
            form = msgspec.structs.replace(form, native=False)
        if form.native:
            form = msgspec.structs.replace(form, read=native(hint))
        return msgspec.structs.replace(form, hint=hint)

    def _of(self, hint: Any) -> Form:
        origin, args = typing.get_origin(hint), typing.get_args(hint)
        if hint is Any or hint is object or isinstance(hint, typing.TypeVar):
            return self._variable(hint)
        if hint is None or hint is types.NoneType:
            return _NULL
        if origin in {typing.Union, types.UnionType}:
            return union(hint, [self.of(arg) for arg in args])
        if origin is typing.Literal:
            return literal(hint, args)
        kind = origin or hint
        if not isinstance(kind, type):
            raise refused(hint)
        if kind in _COLLECTIONS:
            return self._collection(hint, kind, args)
        return self._class(hint, kind)

    def _variable(self, hint: Any) -> Form:
        if getattr(hint, "__constraints__", ()):
            return self.of(functools.reduce(operator.or_, hint.__constraints__))
        bound = getattr(hint, "__bound__", None)
        return OPEN if bound is None else self.of(bound)

    def _class(self, hint: Any, kind: Any) -> Form:
        if kind in _PLAIN or kind in _TEXTS:
            return Form(
                hint=hint,
                read=native(hint),
                kinds=_PLAIN.get(kind, _TEXT),
                plain=kind in _PLAIN,
                exact=frozenset({kind}),
                format=_TEXTS.get(kind),
            )
        if issubclass(kind, Enum):
            return enum(kind)
        if is_pydantic(kind):
            return model(hint, kind, self.of)
        for is_one, form in self._with_fields:
            if is_one(kind):
                return form(hint, kind)
        if is_textual(kind):
            return Form(hint=hint, read=native(hint), kinds=_TEXT, exact=frozenset({kind}))
        for base in (str, int, float):
            if issubclass(kind, base):
                return Form(hint=hint, read=functools.partial(build, kind), kinds=_PLAIN[base])
        raise refused(hint, kind)

    # ------------------------------------------------------------------ collections

    def _collection(self, hint: Any, kind: Any, args: tuple[Any, ...]) -> Form:
        made = _COLLECTIONS[kind]
        if made is dict:
            return self._mapping(hint, args)
        if made is tuple:
            return self._tuple(hint, args)
        element = self.of(args[0]) if args else OPEN
        return Form(
            hint=hint,
            read=functools.partial(read_each, made, element),
            kinds=_ARRAY,
            plain=made is list and element.plain,
            native=element.native and kind is not abc.Iterable,
            loose=element.loose or kind is not made,
        )

    def _tuple(self, hint: Any, args: tuple[Any, ...]) -> Form:
        if any(typing.get_origin(arg) is typing.Unpack or is_star(arg) for arg in args):
            raise Uncarried(f"{shown(hint)}: expected a fixed length or tuple[X, ...]")
        if (len(args) == 2 and args[1] is Ellipsis) or (not args and hint != tuple[()]):
            element = self.of(args[0]) if args else OPEN
            read: Callable[[Any], Any] = functools.partial(read_each, tuple, element)
            elements = [element]
        else:
            elements = [self.of(arg) for arg in args]
            read = functools.partial(read_fixed, tuple, elements)
        return Form(
            hint=hint,
            read=read,
            kinds=_ARRAY,
            native=all(each.native for each in elements),
            loose=any(each.loose for each in elements),
        )

    def _mapping(self, hint: Any, args: tuple[Any, ...]) -> Form:
        key, value = args or (Any, Any)
        keys, values = self.of(key), self.of(value)
        plain_key = keys.kinds == _TEXT and keys.plain
        if keys is not OPEN and not plain_key and not _is_key(bare(key)):
            raise Uncarried(
                f"{shown(hint)}: expected keys that are texts in JSON (str, int, UUID, date,"
                f" an enum...), got {keys.name}"
            )
        return Form(
            hint=hint,
            read=functools.partial(read_mapping, dict[key, Any], values),  # type: ignore[valid-type]
            kinds=_OBJECT,
            plain=(keys is OPEN or plain_key) and values.plain,
            native=keys.native and values.native,
            loose=values.loose,
        )

    # ------------------------------------------------------------------ classes of fields

    def _dataclass(self, hint: Any, kind: Any) -> Form:
        hints = hints_of_fields(hint, kind)
        for name, each in hints.items():
            if isinstance(each, dataclasses.InitVar):
                raise Uncarried(
                    f"{shown(hint)}.{name}: expected a field, got an InitVar, which no value keeps"
                )
        self._begin(hint)
        names = [each.name for each in dataclasses.fields(kind)]
        forms = {name: self._field(hint, name, hints[name]) for name in names}
        return self._object(hint, forms, functools.partial(read_dataclass, kind, forms))

    def _typed_dict(self, hint: Any, kind: Any) -> Form:
        self._begin(hint)
        hints = hints_of_fields(hint, kind)
        forms = {name: self._field(hint, name, each) for name, each in hints.items()}
        always = required_keys(kind, hints)
        form = self._object(hint, forms, functools.partial(read_typed_dict, always, forms), always)
        return msgspec.structs.replace(
            form,
            plain=all(each.plain for each in forms.values()),
            native=form.native and always == kind.__required_keys__,
        )

    def _struct(self, hint: Any, kind: Any) -> Form:
        self._begin(hint)
        fields = msgspec.structs.fields(hint)
        forms = {each.encode_name: self._field(hint, each.name, each.type) for each in fields}
        config = kind.__struct_config__
        always = frozenset(
            each.encode_name for each in fields if each.required or not config.omit_defaults
        )
        if config.tag is not None:
            forms[config.tag_field] = literal(None, (config.tag,))
            always |= {config.tag_field}
        form = self._object(hint, forms, native(hint), always)
        return _only_native(
            msgspec.structs.replace(form, kinds=_ARRAY if config.array_like else _OBJECT)
        )

    def _attrs(self, hint: Any, kind: Any) -> Form:
        hints = hints_of_fields(hint, kind)
        self._begin(hint)
        names = [each.name for each in kind.__attrs_attrs__]
        forms = {name: self._field(hint, name, hints.get(name, Any)) for name in names}
        return _only_native(self._object(hint, forms, native(hint)))

    def _named_tuple(self, hint: Any, kind: Any) -> Form:
        self._begin(hint)
        hints = hints_of_fields(hint, kind)
        forms = [self._field(hint, name, hints.get(name, Any)) for name in kind._fields]
        del self._under_way[hint]
        return Form(
            hint=hint,
            read=functools.partial(read_fixed, kind._make, forms),
            kinds=_ARRAY,
            native=all(each.native for each in forms),
            loose=any(each.loose for each in forms),
        )

    def _begin(self, hint: Any) -> None:
        """What a class is while its fields are looked at, for it may contain itself."""
        self._under_way[hint] = Form(
            hint=hint, read=lambda value: form_of(hint).read(value), kinds=_OBJECT | _ARRAY
        )

    def _field(self, owner: Any, name: str, hint: Any) -> Form:
        try:
            return self.of(hint)
        except Uncarried as error:
            raise Uncarried(f"{shown(owner)}.{name}: {error}") from None

    def _object(
        self,
        hint: Any,
        forms: dict[str, Form],
        read: Callable[[Any], Any],
        always: frozenset[str] | None = None,
    ) -> Form:
        del self._under_way[hint]
        return Form(
            hint=hint,
            read=read,
            kinds=_OBJECT,
            native=all(each.native for each in forms.values()),
            keys=keys_of(forms, always),
            loose=any(each.loose for each in forms.values()),
        )


def keys_of(forms: dict[str, Form], always: frozenset[str] | None = None) -> Keys:
    """The keys of an object with fields of these forms; None: each is always written."""
    return Keys(
        always=frozenset(forms) if always is None else always,
        possible=frozenset(forms),
        values={name: each.values for name, each in forms.items() if each.values is not None},
    )


def _is_key(hint: Any) -> bool:
    if isinstance(hint, type) and issubclass(hint, Enum):
        return all(type(each.value) in {str, int} for each in hint)
    return hint in _KEYS or typing.get_origin(hint) is typing.Literal


def _only_native(form: Form) -> Form:
    """For classes that only msgspec can build. Raises Uncarried where it cannot."""
    if problem := _msgspec_says(form.hint):
        raise Uncarried(
            f"{form.name}: expected fields that msgspec reads, or a dataclass: {problem}"
        )
    return msgspec.structs.replace(form, native=True)


def _msgspec_reads(hint: Any) -> bool:
    return _msgspec_says(hint) is None


def _msgspec_says(hint: Any) -> str | None:
    try:
        msgspec.json.Decoder(hint, dec_hook=build)
    except TypeError as error:
        return str(error)
    return None
