"""What an application has put around each run of a job and around each enqueue.

Each is a generator function that yields once, plain or async: what stands before its `yield` runs
first, what stands after it last, as in a context manager. They are entered in the order in which
they were declared, and left in the opposite one.
"""

from __future__ import annotations

import inspect
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import (
    AsyncExitStack,
    ExitStack,
    asynccontextmanager,
    contextmanager,
)
from types import TracebackType
from typing import Any, Literal, NamedTuple, TypeVar

from asyncmqd.domain.task_functions import Origin, identity, is_same

Function = TypeVar("Function", bound=Callable[..., Any])
Kind = Literal["plain", "async"]


class _Declared(NamedTuple):
    function: Callable[..., Any]
    origin: Origin | None

    @property
    def kind(self) -> Kind:
        return "async" if inspect.isasyncgenfunction(self.function) else "plain"


class Chain:
    """The functions of one kind that the application declared."""

    def __init__(self, name: str) -> None:
        self._name = name
        self.declared: list[_Declared] = []

    def declare(self, function: Function) -> Function:
        """Put it inside of those that are there; in its old place if its module is imported again.

        Raises TypeError for what is no generator function.
        """
        is_plain = inspect.isgeneratorfunction(function)
        if not is_plain and not inspect.isasyncgenfunction(function):
            what = getattr(function, "__qualname__", None) or repr(function)[:100]
            raise TypeError(f"@{self._name}: expected a function that yields once, got {what}")
        declared = _Declared(function, Origin.here())
        for place, known in enumerate(self.declared):
            if is_same(known, declared):
                self.declared[place] = declared
                return function
        self.declared.append(declared)
        return function

    @property
    def modules(self) -> list[str]:
        """The modules to import for these functions to be declared, in that order."""
        return list(dict.fromkeys(identity(each.function)[0] for each in self.declared))

    def has(self, kind: Kind) -> bool:
        """Whether there are any of that kind."""
        return any(each.kind == kind for each in self.declared)

    @contextmanager
    def plain(self, given: Any) -> Iterator[None]:
        """Inside of the plain ones. No error is lost: one that a function catches is raised on."""
        with ExitStack() as stack:
            for each in self.declared:
                if each.kind == "plain":
                    stack.enter_context(_Around(self._name, each.function, given))
            yield

    @asynccontextmanager
    async def inside(self, given: Any, *kinds: Kind) -> AsyncIterator[None]:
        """The same inside of those of these kinds, for whoever runs in an event loop."""
        async with AsyncExitStack() as stack:
            for each in self.declared:
                if each.kind not in kinds:
                    continue
                if each.kind == "async":
                    around = _AroundAsync(self._name, each.function, given)
                    await stack.enter_async_context(around)
                else:
                    stack.enter_context(_Around(self._name, each.function, given))
            yield


AROUND_RUN = Chain("around_run")
AROUND_ENQUEUE = Chain("around_enqueue")


def around_run(function: Function) -> Function:
    """Run a generator function around each run of each job in this process.

    The function is called with a `JobRun` and yields once. At the `yield` the task runs. An error
    of the task is raised at the `yield`, and is raised again after the function has ended, even if
    the function caught it. An error of the function replaces it, and the task's retry rules decide
    about that one. A plain function runs where the task runs: in its thread, in its child process,
    with its context variables. An async function runs in the event loop, around the thread of a
    plain task. Raises TypeError if the function is no generator function.
    """
    return AROUND_RUN.declare(function)


def around_enqueue(function: Function) -> Function:
    """Run a generator function around each call that enqueues jobs in this process.

    The function is called with an `Outgoing` and yields once. At the `yield` the jobs are sent to
    the store. An error that the function raises reaches the caller: before the `yield` nothing is
    enqueued, and after it everything is. A plain function runs in the caller's thread, an async
    function in the event loop that sends. Nothing runs around jobs of schedules, because the store
    makes them. Raises TypeError if the function is no generator function.
    """
    return AROUND_ENQUEUE.declare(function)


class _Around:
    """The context manager that a function makes; its own errors tell whose they are."""

    def __init__(self, chain: str, function: Callable[..., Any], given: Any) -> None:
        self._who = f"{chain}: {'.'.join(identity(function))}"
        self._manager = contextmanager(function)(given)

    def __enter__(self) -> None:
        with _told(self._who):
            self._manager.__enter__()

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        with _told(self._who):
            self._manager.__exit__(kind, error, traceback)


class _AroundAsync:
    """The same of an async function."""

    def __init__(self, chain: str, function: Callable[..., Any], given: Any) -> None:
        self._who = f"{chain}: {'.'.join(identity(function))}"
        self._manager = asynccontextmanager(function)(given)

    async def __aenter__(self) -> None:
        with _told(self._who):
            await self._manager.__aenter__()

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        with _told(self._who):
            await self._manager.__aexit__(kind, error, traceback)


@contextmanager
def _told(who: str) -> Iterator[None]:
    try:
        yield
    except RuntimeError as error:
        if str(error).startswith("generator didn't"):  # contextlib's words, which name nobody
            raise RuntimeError(f"{who}: expected exactly one yield ({error})") from None
        error.add_note(f"raised by {who}")
        raise
    except BaseException as error:
        error.add_note(f"raised by {who}")
        raise
