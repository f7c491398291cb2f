"""The task registry: the allow-list of what can run, and how its arguments are typed.

Names in a payload are looked up here and nowhere else; nothing is ever imported because a payload
says so.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import cached_property
from typing import Any

import msgspec

from asyncmqd.domain.argument_rules import UNEVALUATED, ArgumentRule
from asyncmqd.domain.did_you_mean import did_you_mean
from asyncmqd.domain.hints.form import Form
from asyncmqd.domain.hints.function_hints import RESULT, Declared
from asyncmqd.domain.hints.producer_check import WATCH, ask, is_sure
from asyncmqd.domain.options import (
    ALONE,
    DEFAULT_PRIORITY,
    DEFAULT_QUEUE,
    OF_TASK,
    TASK,
    keep_checked,
)
from asyncmqd.domain.retry import Backoff, BadArguments
from asyncmqd.domain.task_functions import Origin, identity, is_async, is_same
from asyncmqd.domain.typed_keywords import (
    CostRule,
    ExecutorKind,
    KeyRule,
    OnConflict,
    UniqueRule,
    UniqueWhile,
)


class TaskOptions(msgspec.Struct, frozen=True, kw_only=True):
    """What a task declares about its jobs. None means that the queue's configuration decides."""

    queue: str = DEFAULT_QUEUE
    retries: int | None = None  # runs after the first
    timeout: float | None = None  # seconds for one run; 0 means no limit
    ttl: float | None = None  # seconds after which a job is not started any more; 0: never
    priority: int = DEFAULT_PRIORITY  # 0 to 255, lower first
    # Tokens that a start of its jobs takes of every rate limit: a number, the name of a parameter,
    # or a function of the arguments that returns it.
    cost: CostRule = 1
    backoff: Backoff | None = None
    retry_on: tuple[type[BaseException], ...] = (BaseException,)
    dont_retry_on: tuple[type[BaseException], ...] = ()
    executor: ExecutorKind | None = None  # process: in a child; thread: or in the loop
    # Which of its jobs are alike, so that one at most is live: True (those of the same arguments),
    # the name of a parameter, or a function of the arguments that returns text.
    unique: UniqueRule | None = None
    unique_while: UniqueWhile = "live"  # how long a job holds its name: or until it is claimed
    unique_for: float = 0.0  # seconds after the enqueue for which the name stays taken
    on_conflict: OnConflict = "existing"  # what an enqueue does whose name is held
    push_for: float | None = None  # seconds after the first enqueue; None: ten delays
    # Whose its jobs are: the name of a parameter, or a function of the arguments that returns text.
    key: KeyRule | None = None

    def __post_init__(self) -> None:
        keep_checked(self, OF_TASK)


UNKNOWN = TaskOptions()
"""What is taken for declared of a task that this process does not know."""


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
        self._signature = inspect.signature(function, **UNEVALUATED)
        self._positional, self._least = _positional(self._signature)
        parameters = self._signature.parameters.values()
        self._named = {p.name for p in parameters if p.kind in _BY_NAME}
        self._rest = next((p.name for p in parameters if p.kind is p.VAR_POSITIONAL), "")
        self._more = next((p.name for p in parameters if p.kind is p.VAR_KEYWORD), "")
        declared = {each: getattr(options, each) for each in ("unique", "key", "cost")}
        self.rules = {
            option: ArgumentRule(name, option, rule, self._signature)
            for option, rule in declared.items()
            if isinstance(rule, str) or callable(rule)
        }
        _refuse_alone(self.name, options)
        self._declared = Declared(function, self.name, _needed(self._signature))

    @property
    def module(self) -> str:
        """The module to import for this task to be registered."""
        # A decorator's or a partial's own module is another one.
        own = getattr(self.function, "__qualname__", None) is not None
        if self.origin is not None and not (own and self.origin.module == "__main__"):
            return self.origin.module
        return self.function.__module__

    @property
    def hints(self) -> dict[str, Any]:
        """Type hints by parameter."""
        forms = self._declared.forms
        return {name: form.hint for name, form in forms.items() if name != RESULT}

    @property
    def result(self) -> Form | None:
        """How the result is read from JSON; None without a type hint."""
        return self._declared.forms.get(RESULT)

    @cached_property
    def _asked(self) -> bool:
        """Whether any parameter's values may not come back as they went."""
        forms = self._declared.forms
        return bool(self._declared.refused) or any(
            not form.plain for name, form in forms.items() if name != RESULT
        )

    def check_call(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        """Raise TypeError now, at the producer, if the function cannot be called like this.

        NotSerialisable, which is one, for an argument that would not come back equal from JSON.
        """
        if not self._is_plain(args, kwargs):
            try:
                self._signature.bind(*args, **kwargs)
            except TypeError as error:
                raise TypeError(f"{self.name}: {error}") from None
        if self._asked or WATCH.on:
            self._check_values(args, kwargs)

    def bound(self, args: Sequence[Any], kwargs: dict[str, Any]) -> dict[str, Any]:
        """The arguments of a call that fits, by parameter; without those that are left out."""
        return self._signature.bind(*args, **kwargs).arguments

    def check_options(
        self, args: Sequence[Any], kwargs: dict[str, Any], options: Iterable[str]
    ) -> None:
        """Raise TypeError for an option of the job that may be meant as a parameter."""
        if alike := self._named.intersection(options):
            given = {name for name, _, _ in self._by_parameter(args, kwargs)}
            for name in sorted(alike - given):
                raise TypeError(
                    f"{name}: expected to know whether the option of the job is meant, or the"
                    f" parameter of {self.name}, which goes into kwargs= (an option alone:"
                    f" options({name}=...) of the task)"
                )

    def _check_values(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        forms, refused = self._declared.forms, self._declared.refused
        for name, key, value in self._by_parameter(args, kwargs):
            if name in refused:
                raise TypeError(refused[name])
            form = forms.get(name)
            if not WATCH.on and (form is None or is_sure(form, value)):
                continue
            among = "args" if isinstance(key, int) else "kwargs"
            ask(form, value, f"{self.name}: parameter {name!r}: {among}[{key!r}]")

    def _by_parameter(
        self, args: Sequence[Any], kwargs: dict[str, Any]
    ) -> Iterator[tuple[str, int | str, Any]]:
        """Each argument of a call that fits, with its parameter and its index or key."""
        for index, value in enumerate(args):
            yield (
                self._positional[index] if index < len(self._positional) else self._rest,
                index,
                value,
            )
        for key, value in kwargs.items():
            yield key if key in self._named else self._more, key, value

    def typed(self, args: list[Any], kwargs: dict[str, Any]) -> tuple[list[Any], dict[str, Any]]:
        """Arguments from JSON as the function's hints declare them.

        Raises BadArguments, naming the argument, if they do not fit.
        """
        if not (args or kwargs or self._least):
            return args, kwargs
        forms = self._declared.forms
        if self._is_plain(args, kwargs):
            if not forms:
                return args, kwargs
            given = zip(self._positional, args, strict=False)
            return [self._read(forms.get(name), name, value) for name, value in given], kwargs
        try:
            self._signature.bind(*args, **kwargs)
        except TypeError as error:
            raise BadArguments(f"{self.name}: {error}") from None
        read = [
            self._read(forms.get(name), name, value)
            for name, _, value in self._by_parameter(args, kwargs)
        ]
        return read[: len(args)], dict(zip(kwargs, read[len(args) :], strict=True))

    def _is_plain(self, args: Sequence[Any], kwargs: dict[str, Any]) -> bool:
        """Whether the call is by position alone and fits; binding a signature costs 5 us."""
        return not kwargs and self._least <= len(args) <= len(self._positional)

    def _read(self, form: Form | None, name: str, value: Any) -> Any:
        if form is None:
            return value
        try:
            return form.read(value)
        except (ValueError, TypeError) as error:
            raise BadArguments(f"{self.name}: argument {name!r}: {error}") from None


def _refuse_alone(name: str, options: TaskOptions) -> None:
    """Raise ValueError for an option that says something of a name, where there is no name, or says
    nothing beside another.
    """
    if options.unique is None:
        for option in ("unique_for", "unique_while", "on_conflict", "push_for"):
            if getattr(options, option) != getattr(UNKNOWN, option):
                raise ValueError(f"task {name}: {option}: {ALONE}")
    elif options.unique:  # else each call says what it wants
        try:
            refuse_together(options.on_conflict, options.unique_while, options.push_for)
            refuse_expiry(options.ttl, options.push_for or 0.0)
        except ValueError as error:
            raise ValueError(f"task {name}: {error}") from None


def refuse_together(
    on_conflict: OnConflict, unique_while: UniqueWhile, push_for: float | None
) -> None:
    """Raise ValueError for what says nothing together."""
    if push_for is not None and on_conflict != "push":
        raise ValueError(f"push_for: expected on_conflict 'push' beside it, got {on_conflict!r}")
    if on_conflict == "again" and unique_while == "waiting":
        raise ValueError(
            "on_conflict: expected 'replace' beside unique_while 'waiting', since a job that runs"
            " has no name then that another could come after, got 'again'"
        )


def refuse_expiry(ttl: float | None, push_for: float) -> None:
    """Raise ValueError for a job that is pushed beyond its ttl: that counts from its enqueue."""
    if ttl and ttl <= push_for:
        raise ValueError(
            f"ttl: expected more than the {push_for:g} s for which the job may be pushed,"
            f" or it would expire before it may start, got {ttl:g}"
        )


def is_awaitable(value: Any) -> bool:
    """Whether it is to be awaited; `inspect.isawaitable` costs ten times as much."""
    # To find no attribute costs Python 3.11 the text of an error.
    return type(value) not in _VALUES and hasattr(type(value), "__await__")


_VALUES = frozenset({type(None), bool, int, float, str, bytes, list, dict, tuple})


_BY_NAME = {inspect.Parameter.POSITIONAL_OR_KEYWORD, inspect.Parameter.KEYWORD_ONLY}
_ANY_NUMBER = {inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD}


def _needed(signature: inspect.Signature) -> set[str]:
    """The parameters that every call gives a value for."""
    given = (p for p in signature.parameters.values() if p.default is p.empty)
    return {p.name for p in given if p.kind not in _ANY_NUMBER}


def _positional(signature: inspect.Signature) -> tuple[list[str], int]:
    """The parameters that may be given by position, and how many of them must be."""
    kinds = {inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD}
    given = [p for p in signature.parameters.values() if p.kind in kinds]
    others = [p for p in signature.parameters.values() if p.kind is inspect.Parameter.KEYWORD_ONLY]
    least = sum(p.default is inspect.Parameter.empty for p in given)
    if any(p.default is inspect.Parameter.empty for p in others):
        least = len(given) + 1  # never by position alone
    return [p.name for p in given], least


_MOST_MEANT = 100


class Registry:
    """Tasks by name. A name is registered once; its module may be imported again (reload)."""

    def __init__(self) -> None:
        self._tasks: dict[str, TaskDef] = {}
        self._meant: dict[str, str] = {}  # what `meant` has found

    def add(self, task: TaskDef) -> None:
        """Register. Raises ValueError if the name stands for another function already."""
        known = self._tasks.get(task.name)
        if known is not None and not is_same(known, task):
            raise ValueError(
                f"task {task.name}: expected a name of its own (name=), got one that"
                f" {'.'.join(identity(known.function))} has"
            )
        self._tasks[task.name] = task
        self._meant.clear()

    def get(self, name: str) -> TaskDef | None:
        """The task of that name, if this process knows it."""
        return self._tasks.get(name)

    def known(self, names: Iterable[str]) -> list[str]:
        """Those of the names that are registered."""
        return [name for name in names if self.get(name) is not None]

    def remove(self, name: str) -> None:
        """Register no more. Raises LookupError if it is not."""
        if name not in self._tasks:
            raise LookupError(
                f"task {name}: expected a registered one{did_you_mean(name, self._tasks)}"
            )
        del self._tasks[name]
        self._meant.clear()

    def meant(self, name: str) -> str:
        """The known name that looks most like an unknown one: ` (did you mean X?)`, or nothing.

        Each is looked for once, and no more than a hundred: it takes milliseconds.
        """
        if name not in self._meant and len(self._meant) < _MOST_MEANT:
            self._meant[name] = did_you_mean(name, self._tasks)
        return self._meant.get(name, "")

    def names(self) -> list[str]:
        """All registered names, sorted."""
        return sorted(self._tasks)

    def __iter__(self) -> Iterator[TaskDef]:
        return iter(self._tasks.values())

    def __len__(self) -> int:
        return len(self._tasks)


REGISTRY = Registry()
"""The tasks of this process: filled by `@task` as application modules are imported."""
