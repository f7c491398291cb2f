"""`@task`: turns a function into a task that can be enqueued."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Iterable
from typing import Any, Generic, ParamSpec, TypeVar, overload

import msgspec

from asyncmqd.backends.base import BaseBackend
from asyncmqd.client.connection import run_sync
from asyncmqd.client.job import Job
from asyncmqd.client.pending import (
    NO_OPTIONS,
    CallOptions,
    Enqueuing,
    PendingJob,
    add_one,
    pending,
)
from asyncmqd.client.refs import PublicURL, store_of
from asyncmqd.domain.options import OF_CALL, OF_TASK, Seconds, refuse_unknown
from asyncmqd.domain.retry import Backoff, exceptions
from asyncmqd.domain.retry import backoff as to_backoff
from asyncmqd.domain.targets import Origin, checked_target, task_name
from asyncmqd.domain.tasks import REGISTRY, ExecutorKind, TaskDef, TaskOptions

Params = ParamSpec("Params")
Result = TypeVar("Result")


class Task(Generic[Params, Result]):
    """A registered function. Calling it runs it here and now; `enqueue` has a worker run it."""

    def __init__(
        self,
        definition: TaskDef,
        options: CallOptions = NO_OPTIONS,
        backend: str | BaseBackend | None = None,
    ) -> None:
        self.definition = definition
        self._options = options
        self._backend = backend
        self.__doc__ = definition.function.__doc__
        self.__name__ = getattr(definition.function, "__name__", definition.name)
        self.__wrapped__ = definition.function

    @property
    def name(self) -> str:
        """The name that jobs carry: `module.function` unless `name=` said otherwise."""
        return self.definition.name

    def __repr__(self) -> str:
        return f"<Task {self.name}>"

    def __reduce__(self) -> Any:
        # By name, like a function; and without the password that a store's URL may have.
        store = None if self._backend is None else store_of(self._backend).url
        return _restored, (self.name, self.definition.module, self._options, store)

    def __call__(self, *args: Params.args, **kwargs: Params.kwargs) -> Result:
        """Call the function itself, without any queue."""
        result: Result = self.definition.function(*args, **kwargs)
        return result

    def options(
        self, *, backend: str | BaseBackend | None = None, **options: Any
    ) -> Task[Params, Result]:
        """This task with other options for the next jobs; see `CallOptions` for their meaning.

        Raises ValueError for a wrong value and TypeError for what is no option.
        """
        refuse_unknown(options, OF_CALL)
        return Task(
            self.definition,
            msgspec.structs.replace(self._options, **options),
            self._backend if backend is None else backend,
        )

    def job(self, *args: Params.args, **kwargs: Params.kwargs) -> PendingJob:
        """A job of this task that is not enqueued yet, for `Queue.add_bulk`.

        Raises TypeError if the function cannot be called with these arguments.
        """
        self.definition.check_call(args, kwargs)
        declared = self.definition.options
        return pending(
            self.name,
            args,
            kwargs,
            self._options,
            priority=declared.priority,
            ttl=declared.ttl,
        )

    def enqueue(self, *args: Params.args, **kwargs: Params.kwargs) -> Enqueuing[Job]:
        """Enqueue a job; await it, and the job is safe in the store.

        Raises TypeError (wrong arguments), NotSerialisable, PayloadTooLarge or StoreError.
        """
        return Enqueuing(self._add(self.job(*args, **kwargs)))

    def delay(self, *args: Params.args, **kwargs: Params.kwargs) -> Enqueuing[Job]:
        """The same as `enqueue`."""
        return Enqueuing(self._add(self.job(*args, **kwargs)))

    def send(self, *args: Params.args, **kwargs: Params.kwargs) -> Enqueuing[Job]:
        """The same as `enqueue`."""
        return Enqueuing(self._add(self.job(*args, **kwargs)))

    def enqueue_sync(self, *args: Params.args, **kwargs: Params.kwargs) -> Job:
        """Enqueue from code without an event loop; blocks until the job is safe in the store."""
        return run_sync(self._add(self.job(*args, **kwargs)))

    async def _add(self, job: PendingJob) -> Job:
        queue = job.queue or self.definition.options.queue
        return await add_one(store_of(self._backend), queue, job)


def _restored(name: str, module: str, options: CallOptions, store: str | None) -> Task[Any, Any]:
    """A pickled task. Raises LookupError if its module does not declare it any more."""
    if REGISTRY.get(name) is None:
        importlib.import_module(module)
    definition = REGISTRY.get(name)
    if definition is None:
        raise LookupError(f"task {name}: expected module {module} to declare it")
    return Task(definition, options, None if store is None else PublicURL(store))


@overload
def task(function: Callable[Params, Result], /) -> Task[Params, Result]: ...


@overload
def task(
    *,
    queue: str = ...,
    name: str | None = ...,
    retries: int | None = ...,
    timeout: Seconds | None = ...,
    ttl: Seconds | None = ...,
    priority: int = ...,
    backoff: Backoff | Seconds | Callable[[int, BaseException], float] | None = ...,
    retry_on: type[BaseException] | Iterable[type[BaseException]] = ...,
    dont_retry_on: type[BaseException] | Iterable[type[BaseException]] = ...,
    executor: ExecutorKind | None = ...,
) -> Callable[[Callable[Params, Result]], Task[Params, Result]]: ...


def task(
    function: Callable[..., Any] | None = None,
    /,
    *,
    name: str | None = None,
    backoff: Backoff | Seconds | Callable[[int, BaseException], float] | None = None,
    retry_on: type[BaseException] | Iterable[type[BaseException]] = BaseException,
    dont_retry_on: type[BaseException] | Iterable[type[BaseException]] = (),
    **options: Any,
) -> Any:
    """Register a function, async or plain, as a task; `@task` and `@task(...)` both work.

    - `queue`: where its jobs go (default "default").
    - `name`: what jobs call it (default `module.function`); renaming a function keeps its jobs.
    - `retries`: runs after the first; `backoff`: seconds, `Fixed`, `Exponential` or a function of
      (failures, error) that returns seconds; `retry_on` and `dont_retry_on`: an exception type, or
      several of them.
    - `timeout`: seconds for one run. `ttl`: seconds after which a job is not started any more.
    - `priority`: 0 to 255, lower first (default 5).
    - `executor`: for plain functions, "thread" or "process".

    Seconds may also be text like "5m" or a timedelta. What is not given is decided by the queue's
    configuration. Partials and callable objects need `name=`. Raises ValueError for a wrong value
    and for a name that another function has, TypeError for what is no option, and for what no
    worker could call: methods, generators.
    """
    refuse_unknown(options, {*OF_TASK, "name", "backoff", "retry_on", "dont_retry_on"})

    def register(target: Callable[..., Any]) -> Task[Any, Any]:
        target = checked_target(target)
        definition = TaskDef(
            target,
            task_name(target, name),
            TaskOptions(
                backoff=None if backoff is None else to_backoff(backoff),
                retry_on=exceptions("retry_on", retry_on),
                dont_retry_on=exceptions("dont_retry_on", dont_retry_on),
                **{key: value for key, value in options.items() if value is not None},
            ),
            Origin.here(),
        )
        REGISTRY.add(definition)
        return Task(definition)

    return register if function is None else register(function)
