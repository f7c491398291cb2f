"""The hints of one function: resolved one by one, judged where the task is declared.

A name that is not there yet (defined below, or for type checkers only) is looked up again at the
first use. If it is not there then either, only that hint is dropped, with a warning.
"""

from __future__ import annotations

import collections.abc
import inspect
import sys
import types
import typing
import warnings
from collections.abc import Callable
from functools import cached_property
from typing import Any

from asyncmqd.domain.hints.form import Form, Uncarried
from asyncmqd.domain.hints.walk import form_of
from asyncmqd.domain.task_functions import called

RESULT = "return"

_AWAITED = {
    collections.abc.Coroutine,
    collections.abc.Awaitable,
    collections.abc.Generator,
}
_NO_RESULT = (typing.NoReturn, typing.Never)


class Declared:
    """What a task's function declares of its parameters and its result.

    Raises TypeError for a hint whose values JSON cannot carry, unless the parameter may be left
    out: then it is a value for it that is refused.
    """

    def __init__(self, function: Callable[..., Any], task: str, needed: set[str]) -> None:
        self._function = called(function)
        self._task = task
        self._waiting = _annotations(self._function)
        self._forms: dict[str, Form] = {}
        self.refused: dict[str, str] = {}
        for name in list(self._waiting):
            self._settle(name)
        for name in self.refused:
            if name in needed or name == RESULT:
                raise TypeError(self.refused[name])

    @cached_property
    def forms(self) -> dict[str, Form]:
        """The form of each parameter that has a hint, and of the result."""
        for name in list(self._waiting):
            error = self._settle(name)
            if error is not None:
                self._drop(name, error)
        return self._forms

    def _settle(self, name: str) -> Exception | None:
        """Judge one hint; the error if it cannot be read now."""
        try:
            hint = _resolved(self._waiting[name], self._function)
            form = form_of(_returned(hint) if name == RESULT else hint)
        except Uncarried as error:
            self.refused[name] = f"{self._task}: {_place(name)}: {error}"
        except Exception as error:  # noqa: BLE001 - a hint is any code of the application
            return error
        else:
            self._forms[name] = form
        del self._waiting[name]
        return None

    def _drop(self, name: str, error: Exception) -> None:
        del self._waiting[name]
        code = getattr(inspect.unwrap(self._function), "__code__", None)
        warnings.warn_explicit(
            f"{self._task}: {_place(name)}: its hint cannot be read ({error}), so that values stay"
            " plain JSON: import at run time what it names",
            RuntimeWarning,
            getattr(code, "co_filename", self._task),
            getattr(code, "co_firstlineno", 1),
        )


def _place(name: str) -> str:
    return "the result" if name == RESULT else f"parameter {name!r}"


def _annotations(function: Any) -> dict[str, Any]:
    if sys.version_info >= (3, 14):  # evaluated when read, and names may not be there yet
        import annotationlib

        form = annotationlib.Format.FORWARDREF
        return dict(annotationlib.get_annotations(function, format=form))
    return dict(getattr(function, "__annotations__", None) or {})


def _resolved(annotation: Any, function: Any) -> Any:
    if isinstance(annotation, type) and not typing.get_origin(annotation):
        return annotation
    names = getattr(inspect.unwrap(function), "__globals__", {})
    holder = types.SimpleNamespace(__annotations__={RESULT: annotation})
    return typing.get_type_hints(holder, names, include_extras=True)[RESULT]


def _returned(hint: Any) -> Any:
    """What is stored: of a plain function that returns an awaitable, what that gives."""
    while typing.get_origin(hint) in _AWAITED and typing.get_args(hint):
        hint = typing.get_args(hint)[-1]
    return None if hint in _NO_RESULT else hint
