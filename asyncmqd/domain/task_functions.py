"""What can be a task: a function, or what is called like one and was given a name."""

from __future__ import annotations

import functools
import inspect
import sys
from collections.abc import Callable
from types import CodeType
from typing import Any, NamedTuple, Protocol


class Origin(NamedTuple):
    """The body of the module whose import registers a task."""

    module: str
    body: CodeType

    @classmethod
    def here(cls) -> Origin | None:
        """That of the caller; None in a thread that imports nothing."""
        frame = sys._getframe(1)  # noqa: SLF001 - the documented way to the caller
        while frame.f_code.co_name != "<module>":
            if frame.f_back is None:
                return None
            frame = frame.f_back
        return cls(frame.f_globals.get("__name__", ""), frame.f_code)


def checked_target(target: Any) -> Callable[..., Any]:
    """What is to be called. Raises TypeError for what no worker could call, with what would do."""
    if isinstance(target, staticmethod):
        target = target.__func__
    what = getattr(target, "__qualname__", None) or repr(target)[:100]
    if isinstance(target, classmethod) or inspect.ismethod(target) or _is_method(target):
        raise TypeError(
            f"@task: expected a function, got the method {what}, whose object no worker would"
            " have: register a function that gets or makes the object and calls the method"
        )
    if isinstance(target, str):
        raise TypeError(
            f"@task: expected a function, got {target!r}: a name is given as name=,"
            " a queue as queue="
        )
    if not callable(target) or inspect.isclass(target):
        raise TypeError(f"@task: expected a function, got {what}")
    runs = called(target)
    if inspect.isgeneratorfunction(runs) or inspect.isasyncgenfunction(runs):
        raise TypeError(
            f"@task: expected a function with a result, got the generator {what}, which nobody"
            " would iterate over: collect what it yields in a function"
        )
    function: Callable[..., Any] = target
    return function


def task_name(target: Any, name: str | None) -> str:
    """The name given, or else `module.function`.

    Raises TypeError or ValueError for what is no name, and if there is none.
    """
    if name is None:
        if not isinstance(getattr(target, "__qualname__", None), str):
            kind = type(target).__name__
            raise TypeError(f"name: expected name= for a {kind}, which has no name of its own")
        return f"{target.__module__}.{target.__qualname__}"
    if not isinstance(name, str):
        raise TypeError(f"name: expected text, got {type(name).__name__}")
    if not name or not name.isprintable():
        raise ValueError(f"name: expected printable characters, got {name!r}")
    return name


def called(target: Any) -> Any:
    """The function that runs when it is called, with its hints: of an object its `__call__`."""
    while isinstance(target, functools.partial):
        target = target.func
    known = inspect.isroutine(target) or isinstance(getattr(target, "__qualname__", None), str)
    return target if known else type(target).__call__


def is_async(function: Callable[..., Any]) -> bool:
    """Whether a call gives a coroutine, as far as can be told without calling."""
    return inspect.iscoroutinefunction(function) or inspect.iscoroutinefunction(called(function))


def identity(function: Callable[..., Any]) -> tuple[str, str]:
    """By which a function is known again after its module was imported again."""
    kind = type(function)
    module = getattr(function, "__module__", None) or kind.__module__
    return module, getattr(function, "__qualname__", None) or kind.__qualname__


class Declared(Protocol):
    """A function that an application registered."""

    @property
    def function(self) -> Callable[..., Any]: ...  # noqa: D102
    @property
    def origin(self) -> Origin | None: ...  # noqa: D102


def is_same(known: Declared, other: Declared) -> bool:
    """Whether it is the same function, or the same one by name after its module was imported again.

    In one run of a module's body two functions of one name are two, as those of a factory are.
    """
    if known.function is other.function:
        return True
    anew = known.origin is not other.origin and (
        known.origin is None or other.origin is None or known.origin.body is not other.origin.body
    )
    return anew and identity(known.function) == identity(other.function)


def _is_method(target: Any) -> bool:
    """Whether it is a function in the body of a class that wants an object first."""
    if not inspect.isfunction(target):
        return False
    parent = target.__qualname__.rpartition(".")[0]
    if not parent or parent.endswith("<locals>"):
        return False
    code = target.__code__
    return code.co_argcount > 0 and code.co_varnames[0] in {"self", "cls"}
