"""pydantic's models and types: read and written by pydantic, as one piece."""

from __future__ import annotations

import functools
import inspect
import typing
from collections.abc import Callable
from enum import Enum
from typing import Any

from asyncmqd.domain.foreign_types import adapter, build, is_secret
from asyncmqd.domain.hints.form import ANY_KIND, Form, Keys, Uncarried, shown


def model(hint: Any, kind: Any, of: Callable[[Any], Form]) -> Form:
    """The form of a model, or of another class that pydantic knows. Raises Uncarried."""
    if (secret := _secret_in(hint, set())) is not None:
        raise Uncarried(
            f"{secret}would be stored as asterisks, and openly otherwise; pass a name by which the"
            " task finds the secret"
        )
    fields = getattr(kind, "model_fields", None)
    if fields is None or kind.__pydantic_root_model__:
        try:
            adapter(hint)
        except NameError:
            raise
        except Exception as error:  # noqa: BLE001 - whatever pydantic, or a package it lacks, says
            why = " ".join(str(error).split())[:200]
            raise Uncarried(f"{shown(hint)}: pydantic refuses it: {why}") from None
        return Form(hint=hint, read=functools.partial(build, hint), kinds=ANY_KIND - {"null"})
    return Form(
        hint=hint,
        read=functools.partial(build, hint),
        kinds=frozenset({"object"}),
        exact=frozenset({kind}),  # it was read back when it was written
        keys=_keys(kind, fields, of),
    )


def _keys(kind: Any, fields: dict[str, Any], of: Callable[[Any], Form]) -> Keys | None:
    if kind.__pydantic_decorators__.model_serializers:
        return None
    few = {}
    for name, field in fields.items():
        if typing.get_origin(field.annotation) is typing.Literal or (
            inspect.isclass(field.annotation) and issubclass(field.annotation, Enum)
        ):
            few[name] = of(field.annotation).values
    names = frozenset(name for name, field in fields.items() if not field.exclude)
    return Keys(
        always=names,
        possible=None if kind.model_config.get("extra") == "allow" else names,
        values={name: values for name, values in few.items() if values is not None},
    )


def _secret_in(hint: Any, seen: set[Any]) -> str | None:
    """Where in a hint a secret of pydantic's stands, as the beginning of a sentence."""
    kind = typing.get_origin(hint) or hint
    if is_secret(kind):
        return f"{shown(hint)} "
    for arg in typing.get_args(hint):
        if (found := _secret_in(arg, seen)) is not None:
            return found
    fields = getattr(kind, "model_fields", None)
    if not isinstance(fields, dict) or kind in seen:
        return None
    seen.add(kind)
    written = {
        name
        for each in kind.__pydantic_decorators__.field_serializers.values()
        for name in each.info.fields
    }
    for name, field in fields.items():
        if name not in written and (found := _secret_in(field.annotation, seen)) is not None:
            return f"{shown(kind)}.{name}: {found}"
    return None
