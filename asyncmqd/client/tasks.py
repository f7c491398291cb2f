"""`@task`: turns a function into a task that can be enqueued."""

from __future__ import annotations

import functools
import importlib
import inspect
import sys
from collections.abc import Callable, Coroutine
from functools import partial
from typing import Any, Generic, Literal, ParamSpec, Protocol, Self, TypeVar, Unpack, overload

import msgspec

from asyncmqd.backends.base import BaseBackend
from asyncmqd.client.job import Job
from asyncmqd.client.job_references import PublicURL, store_of
from asyncmqd.client.pending import (
    NO_OPTIONS,
    Blank,
    CallOptions,
    PendingJob,
    add_one,
    add_one_sync,
    blank,
)
from asyncmqd.client.task_lookup import warn_of_main
from asyncmqd.domain.options import OF_CALL, refuse_unknown
from asyncmqd.domain.retry import backoff as to_backoff
from asyncmqd.domain.retry import exceptions
from asyncmqd.domain.task_functions import Origin, checked_target, task_name
from asyncmqd.domain.tasks import REGISTRY, TaskDef, TaskOptions
from asyncmqd.domain.typed_keywords import CallKeywords, DecoratorKeywords

Params = ParamSpec("Params")
Result = TypeVar("Result")
Result_co = TypeVar("Result_co", covariant=True)

_RULES: dict[Literal["backoff", "retry_on", "dont_retry_on"], Callable[[Any], Any]] = {
    "backoff": lambda value: None if value is None else to_backoff(value),
    "retry_on": partial(exceptions, "retry_on"),
    "dont_retry_on": partial(exceptions, "dont_retry_on"),
}


class Task(Generic[Params, Result_co]):
    """A registered function. A call runs it here and now; `enqueue` lets a worker run it.

    `Result_co` is the type that its jobs return: for an async function, the awaited type.
    """

    def __init__(
        self,
        definition: TaskDef,
        options: CallOptions = NO_OPTIONS,
        backend: str | BaseBackend | None = None,
    ) -> None:
        self.definition = definition
        self._options = options
        self._backend = backend
        self._is_of_main = definition.name.startswith("__main__.")
        self.__name__ = definition.name  # a partial has none
        # Doctest, Sphinx and whoever asks for hints see the function.
        functools.update_wrapper(self, definition.function, updated=())
        if definition.is_async:
            _mark(self)

    @property
    def name(self) -> str:
        """The name in its jobs: `module.function`, unless `name=` sets another."""
        return self.definition.name

    @property
    def asked(self) -> CallOptions:
        """The options that `options` has set."""
        return self._options

    def __repr__(self) -> str:
        return f"<Task {self.name}>"

    def __reduce__(self) -> Any:
        # By name, like a function; and without the password that a store's URL may have.
        store = None if self._backend is None else store_of(self._backend).url
        return _restored, (self.name, self.definition.module, self._options, store)

    def __copy__(self) -> Self:
        return self  # like a function: nothing changes it, and only a pickle goes without its store

    def __deepcopy__(self, memo: dict[int, Any]) -> Self:
        return self

    def __call__(
        self, /, *args: Params.args, **kwargs: Params.kwargs
    ) -> Result_co | Coroutine[Any, Any, Result_co]:
        """Call the function itself, without any queue."""
        result: Result_co = self.definition.function(*args, **kwargs)
        return result

    def options(
        self, *, backend: str | BaseBackend | None = None, **options: Unpack[CallKeywords]
    ) -> Self:
        """This task with other options for the next jobs; see `CallOptions` for their meaning.

        Raises ValueError for a wrong value and TypeError for an unknown option.
        """
        refuse_unknown(options, OF_CALL)
        return type(self)(
            self.definition,
            msgspec.structs.replace(self._options, **options),
            self._backend if backend is None else backend,
        )

    def job(self, /, *args: Params.args, **kwargs: Params.kwargs) -> PendingJob:
        """A job of this task that is not enqueued yet, for `Queue.add_bulk`.

        Raises TypeError if the function cannot be called with these arguments.
        """
        self.definition.check_call(args, kwargs)
        return self._blank.filled(args, kwargs)

    @functools.cached_property
    def _blank(self) -> Blank:
        return blank(self.definition, self._options)

    # Real coroutine functions, for frameworks ask `inspect` whether they are to await a call.

    async def enqueue(self, /, *args: Params.args, **kwargs: Params.kwargs) -> Job[Result_co]:
        """Enqueue a job. When the await returns, the job is safe in the store.

        Raises TypeError (wrong arguments), NotSerialisable, PayloadTooLarge or StoreError.
        """
        return await self._add(self.job(*args, **kwargs))

    async def delay(self, /, *args: Params.args, **kwargs: Params.kwargs) -> Job[Result_co]:
        """The same as `enqueue`."""
        return await self._add(self.job(*args, **kwargs))

    async def send(self, /, *args: Params.args, **kwargs: Params.kwargs) -> Job[Result_co]:
        """The same as `enqueue`."""
        return await self._add(self.job(*args, **kwargs))

    def enqueue_sync(self, /, *args: Params.args, **kwargs: Params.kwargs) -> Job[Result_co]:
        """`enqueue` for code without an event loop; blocks until the job is safe in the store.

        Raises what `enqueue` raises, and RuntimeError in an event loop.
        """
        job = self.job(*args, **kwargs)
        return add_one_sync(self._store(), self._queue_of(job), job)

    def _add(self, job: PendingJob) -> Coroutine[Any, Any, Job[Result_co]]:
        return add_one(self._store(), self._queue_of(job), job)

    def _store(self) -> BaseBackend:
        store = store_of(self._backend)
        if self._is_of_main:
            warn_of_main(self.name, store)
        return store

    def _queue_of(self, job: PendingJob) -> str:
        return job.queue or self.definition.options.queue


class PlainTask(Task[Params, Result_co]):
    """A task of a plain function: a call returns what the function returns."""

    def __call__(self, /, *args: Params.args, **kwargs: Params.kwargs) -> Result_co:
        """Call the function itself, without any queue."""
        result: Result_co = self.definition.function(*args, **kwargs)
        return result


class AsyncTask(Task[Params, Result_co]):
    """A task of an async function: `inspect` takes it for one, too."""

    def __call__(
        self, /, *args: Params.args, **kwargs: Params.kwargs
    ) -> Coroutine[Any, Any, Result_co]:
        """Call the function itself, without any queue."""
        coroutine: Coroutine[Any, Any, Result_co] = self.definition.function(*args, **kwargs)
        return coroutine


if sys.version_info >= (3, 12):
    _mark = inspect.markcoroutinefunction
else:

    async def _like_this() -> None:
        """What `inspect` of 3.11 compares with."""

    def _mark(task: Any) -> None:
        """Have the attributes by which `inspect` of 3.11, which knows no mark, tells a function."""
        task.__code__ = _like_this.__code__
        task.__defaults__ = task.__kwdefaults__ = None
        task.__dict__.setdefault("__annotations__", {})


def _task_of(
    definition: TaskDef,
    options: CallOptions = NO_OPTIONS,
    backend: str | BaseBackend | None = None,
) -> Task[Any, Any]:
    return (AsyncTask if definition.is_async else PlainTask)(definition, options, backend)


def _restored(name: str, module: str, options: CallOptions, store: str | None) -> Task[Any, Any]:
    """A pickled task. Raises LookupError if its module does not declare it any more."""
    if REGISTRY.get(name) is None:
        importlib.import_module(module)
    definition = REGISTRY.get(name)
    if definition is None:
        raise LookupError(f"task {name}: expected module {module} to declare it")
    return _task_of(definition, options, None if store is None else PublicURL(store))


class Registers(Protocol):
    """What `@task(...)` puts a function through."""

    @overload  # the first that fits is taken
    def __call__(  # type: ignore[overload-overlap]
        self, function: Callable[Params, Coroutine[Any, Any, Result]], /
    ) -> AsyncTask[Params, Result]: ...

    @overload
    def __call__(self, function: Callable[Params, Result], /) -> PlainTask[Params, Result]: ...


@overload  # the first that fits is taken
def task(  # type: ignore[overload-overlap]
    function: Callable[Params, Coroutine[Any, Any, Result]], /
) -> AsyncTask[Params, Result]: ...


@overload
def task(function: Callable[Params, Result], /) -> PlainTask[Params, Result]: ...


@overload
def task(**options: Unpack[DecoratorKeywords]) -> Registers: ...


def task(
    function: Callable[..., Any] | None = None,
    /,
    **options: Unpack[DecoratorKeywords],
) -> Any:
    """Register a function, async or plain, as a task; `@task` and `@task(...)` both work.

    - `queue`: the queue of its jobs (default "default").
    - `name`: its name in jobs (default `module.function`). With it you can rename the function.
    - `retries`: runs after the first; `backoff`: seconds, `Fixed`, `Exponential` or a function of
      (failures, error) that returns seconds; `retry_on` and `dont_retry_on`: an exception type, or
      several of them.
    - `timeout`: seconds for one run. `ttl`: a job that did not start in these seconds expires.
    - `priority`: 0 to 255, lower first (5). `executor`: of plain functions, "thread" or "process".
    - `cost`: tokens of every rate (1): a number, a parameter's name, or a function of arguments.
    - `unique`: of its jobs that are alike, one at most is live. True: those of the same arguments;
      a parameter's name: those of the same value; a function of the arguments: those of the same
      text. An enqueue while one is live returns that one; None means that the job is not unique.
    - `unique_while`: a job holds its name while it is "live" (default), or "waiting" to be claimed.
      `unique_for`: the name stays taken so long after the enqueue, in any case.
    - `key`: whose a job is, a customer or a tenant. A parameter's name: its value as text; a
      function of the arguments: the text that it returns; None means that the job has no key.
    - `on_conflict`: an enqueue whose name is held changes nothing ("existing"), gives one that
      never ran its arguments ("replace") and delay ("push"), or one that runs another ("again").

    Seconds may also be text like "5m" or a timedelta. The queue's configuration decides
    about options that are not given. Partials and callable objects need `name=`. Raises ValueError
    for a wrong value and for a name that another function has. Raises TypeError for an unknown
    option, and for a function that no worker could call: a method, a generator.
    """
    refuse_unknown(options, DecoratorKeywords.__optional_keys__)
    name, declared = options.pop("name", None), _declared(options)

    def register(target: Callable[..., Any]) -> Task[Any, Any]:
        target = checked_target(target)
        definition = TaskDef(target, task_name(target, name), declared, Origin.here())
        REGISTRY.add(definition)
        return _task_of(definition)

    return register if function is None else register(function)


def _declared(options: DecoratorKeywords) -> TaskOptions:
    rules: dict[str, Any] = {
        key: read(options[key]) for key, read in _RULES.items() if key in options
    }
    rest: dict[str, Any] = {
        key: value for key, value in options.items() if key not in rules and value is not None
    }
    return TaskOptions(**rules, **rest)
