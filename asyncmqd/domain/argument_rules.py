"""What arguments say of a job: whose it is, which are alike, what it costs."""

from __future__ import annotations

import inspect
import sys
from collections.abc import Callable, Sequence
from typing import Any

from asyncmqd.domain.did_you_mean import did_you_mean
from asyncmqd.domain.task_functions import identity, is_async

# From 3.14 on, hints are evaluated when they are read: names that are defined below, or for type
# checkers only, are no names yet. The signature is read without them.
UNEVALUATED: dict[str, Any] = {}
if sys.version_info >= (3, 14):
    import annotationlib

    UNEVALUATED["annotation_format"] = annotationlib.Format.STRING

_ANY_NUMBER = {inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD}


class ArgumentRule:
    """An option of a task that is a parameter's name, or a function of those that it needs.

    Raises ValueError for a parameter that the task does not have.
    """

    def __init__(
        self, task: str, option: str, rule: str | Callable[..., Any], signature: inspect.Signature
    ) -> None:
        self._task = task
        self._option = option
        self._rule = rule
        self._signature = signature
        if isinstance(rule, str):
            self._refuse_unknown(rule, "a parameter of the function")
        elif is_async(rule):
            raise ValueError(
                f"task {task}: {option}: expected a plain function, which is called at each"
                f" enqueue, got the async one {identity(rule)[1]}"
            )
        self._names = None if isinstance(rule, str) else _names(rule, signature)
        for name in self._names or ():
            self._refuse_unknown(name, "a function of parameters of the task")

    def _refuse_unknown(self, name: str, expected: str) -> None:
        parameters = self._signature.parameters
        if name not in parameters:
            known = ", ".join(parameters) or "none"
            raise ValueError(
                f"task {self._task}: {self._option}: expected {expected} ({known}), got {name!r}"
                f"{did_you_mean(name, parameters)}"
            )

    @property
    def source(self) -> str:
        """What gives the value."""
        return f"parameter {self._rule!r}" if isinstance(self._rule, str) else "its function"

    def value(self, args: Sequence[Any], kwargs: dict[str, Any]) -> Any:
        """What it says of a call that fits; a parameter's default counts as its value.

        The errors of a function are told with whose it is.
        """
        if callable(self._rule) and self._names is None:
            return self._called(self._rule, args, kwargs)
        bound = self._signature.bind(*args, **kwargs)
        bound.apply_defaults()
        if isinstance(self._rule, str):
            return bound.arguments[self._rule]
        wanted = {name: bound.arguments[name] for name in self._names or ()}
        return self._called(self._rule, (), wanted)

    def _called(self, rule: Callable[..., Any], args: Sequence[Any], kwargs: dict[str, Any]) -> Any:
        try:
            return rule(*args, **kwargs)
        except Exception as error:
            error.add_note(
                f"raised by the function that task {self._task} has as its {self._option}"
            )
            raise


def _names(function: Callable[..., Any], task: inspect.Signature) -> list[str] | None:
    """Of the parameters that it gets; None if it is to be called like the task.

    So are one that takes any number, and built-in functions whose parameters have no names. What
    the task does not have, and has a default, is the function's own.
    """
    try:
        parameters = inspect.signature(function, **UNEVALUATED).parameters.values()
    except (TypeError, ValueError):
        return None
    if any(p.kind in _ANY_NUMBER or p.kind is p.POSITIONAL_ONLY for p in parameters):
        return None
    return [p.name for p in parameters if p.name in task.parameters or p.default is p.empty]
