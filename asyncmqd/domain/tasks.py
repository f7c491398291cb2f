"""The task registry: the allow-list of what can run, and how its arguments are typed.

Names in a payload are looked up here and nowhere else; nothing is ever imported because a payload
says so.
"""

from __future__ import annotations

import inspect
import sys
import types
import typing
from collections.abc import Callable, Iterator, Sequence
from functools import cached_property
from typing import Any

import msgspec

from asyncmqd.domain.codec import convert
from asyncmqd.domain.keywords import ExecutorKind
from asyncmqd.domain.options import (
    DEFAULT_PRIORITY,
    DEFAULT_QUEUE,
    OF_TASK,
    TASK,
    keep_checked,
)
from asyncmqd.domain.retry import Backoff, BadArguments
from asyncmqd.domain.targets import Origin, called, identity, is_async, is_same

# From 3.14 on, hints are evaluated when they are read: names that are defined below, or for type
# checkers only, are no names yet. The signature is read without them.
_UNEVALUATED: dict[str, Any] = {}
if sys.version_info >= (3, 14):
    import annotationlib

    _UNEVALUATED["annotation_format"] = annotationlib.Format.STRING


class TaskOptions(msgspec.Struct, frozen=True, kw_only=True):
    """What a task declares about its jobs. None means that the queue's configuration decides."""

    queue: str = DEFAULT_QUEUE
    retries: int | None = None  # runs after the first
    timeout: float | None = None  # seconds for one run; 0 means no limit
    ttl: float | None = None  # seconds after which a job is not started any more; 0: never
    priority: int = DEFAULT_PRIORITY  # 0 to 255, lower first
    backoff: Backoff | None = None
    retry_on: tuple[type[BaseException], ...] = (BaseException,)
    dont_retry_on: tuple[type[BaseException], ...] = ()
    executor: ExecutorKind | None = None  # plain functions: where they run

    def __post_init__(self) -> None:
        keep_checked(self, OF_TASK)


class TaskDef:
    """A registered function with its options and its compiled argument types."""

    def __init__(
        self,
        function: Callable[..., Any],
        name: str,
        options: TaskOptions,
        origin: Origin | None = None,
    ) -> None:
        self.function = function
        self.name = str(TASK.check(name))
        self.options = options
        self.origin = origin
        self.is_async = is_async(function)
        self._signature = inspect.signature(function, **_UNEVALUATED)
        self._positional, self._least = _positional(self._signature)

    @property
    def module(self) -> str:
        """The module to import for this task to be registered."""
        # A decorator's or a partial's own module is another one.
        own = getattr(self.function, "__qualname__", None) is not None
        if self.origin is not None and not (own and self.origin.module == "__main__"):
            return self.origin.module
        return self.function.__module__

    @cached_property
    def _all_hints(self) -> dict[str, Any]:
        # Resolved late, for hints may name what is defined below the task.
        try:
            return typing.get_type_hints(called(self.function), include_extras=True)
        except NameError:  # a hint under TYPE_CHECKING: values stay plain JSON
            return {}

    @cached_property
    def hints(self) -> dict[str, Any]:
        """Type hints by parameter."""
        return {name: hint for name, hint in self._all_hints.items() if name != "return"}

    @property
    def returns(self) -> Any:
        """The type hint of the result, or None."""
        return self._all_hints.get("return")

    def check_call(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        """Raise TypeError now, at the producer, if the function cannot be called like this."""
        if self._is_plain(args, kwargs):
            return
        try:
            self._signature.bind(*args, **kwargs)
        except TypeError as error:
            raise TypeError(f"{self.name}: {error}") from None

    def typed(self, args: list[Any], kwargs: dict[str, Any]) -> tuple[list[Any], dict[str, Any]]:
        """Arguments from JSON as the function's hints declare them.

        Raises BadArguments, naming the argument, if they do not fit.
        """
        if not args and not kwargs and not self._least:
            return args, kwargs
        if self._is_plain(args, kwargs):
            return [
                self._typed_one(name, value) if name in self.hints else value
                for name, value in zip(self._positional, args, strict=False)
            ], kwargs
        try:
            bound = self._signature.bind(*args, **kwargs)
        except TypeError as error:
            raise BadArguments(f"{self.name}: {error}") from None
        for name, value in bound.arguments.items():
            if name in self.hints:
                bound.arguments[name] = self._typed_one(name, value)
        return list(bound.args), bound.kwargs

    def _is_plain(self, args: Sequence[Any], kwargs: dict[str, Any]) -> bool:
        """Whether the call is by position alone and fits; binding a signature costs 5 us."""
        return not kwargs and self._least <= len(args) <= len(self._positional)

    def _typed_one(self, name: str, value: Any) -> Any:
        hint = self.hints[name]
        kind = self._signature.parameters[name].kind
        if kind is inspect.Parameter.VAR_POSITIONAL:
            hint = types.GenericAlias(tuple, (hint, ...))
        elif kind is inspect.Parameter.VAR_KEYWORD:
            hint = types.GenericAlias(dict, (str, hint))
        try:
            return convert(value, hint)
        except NotImplementedError:
            return value  # a hint that describes no JSON, such as a protocol: leave it to the task
        except (ValueError, TypeError) as error:
            if isinstance(error, TypeError) and "not supported" in str(error):
                return value
            raise BadArguments(f"{self.name}: argument {name!r}: {error}") from None


def is_awaitable(value: Any) -> bool:
    """Whether it is to be awaited; `inspect.isawaitable` costs ten times as much."""
    return hasattr(type(value), "__await__")


def _positional(signature: inspect.Signature) -> tuple[list[str], int]:
    """The parameters that may be given by position, and how many of them must be."""
    kinds = {inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD}
    given = [p for p in signature.parameters.values() if p.kind in kinds]
    others = [p for p in signature.parameters.values() if p.kind is inspect.Parameter.KEYWORD_ONLY]
    least = sum(p.default is inspect.Parameter.empty for p in given)
    if any(p.default is inspect.Parameter.empty for p in others):
        least = len(given) + 1  # never by position alone
    return [p.name for p in given], least


class Registry:
    """Tasks by name. A name is registered once; its module may be imported again (reload)."""

    def __init__(self) -> None:
        self._tasks: dict[str, TaskDef] = {}

    def add(self, task: TaskDef) -> None:
        """Register. Raises ValueError if the name stands for another function already."""
        known = self._tasks.get(task.name)
        if known is not None and not is_same(known, task):
            raise ValueError(
                f"task {task.name}: expected a name of its own (name=), got one that"
                f" {'.'.join(identity(known.function))} has"
            )
        self._tasks[task.name] = task

    def get(self, name: str) -> TaskDef | None:
        """The task of that name, if this process knows it."""
        return self._tasks.get(name)

    def names(self) -> list[str]:
        """All registered names, sorted."""
        return sorted(self._tasks)

    def __iter__(self) -> Iterator[TaskDef]:
        return iter(self._tasks.values())

    def __len__(self) -> int:
        return len(self._tasks)


REGISTRY = Registry()
"""The tasks of this process: filled by `@task` as application modules are imported."""
