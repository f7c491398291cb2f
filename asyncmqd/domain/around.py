"""What an application has put round each run of a job and round each enqueue.

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

from asyncmqd.domain.targets import Origin, identity, is_same

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
        self._declared: list[_Declared] = []

    def __bool__(self) -> bool:
        return bool(self._declared)

    def declare(self, function: Function) -> Function:
        """Put it inside of those that are there; in its old place if its module is imported anew.

        Raises TypeError for what is no generator function.
        """
        is_plain = inspect.isgeneratorfunction(function)
        if not is_plain and not inspect.isasyncgenfunction(function):
            what = getattr(function, "__qualname__", None) or repr(function)[:100]
            raise TypeError(f"@{self._name}: expected a function that yields once, got {what}")
        declared = _Declared(function, Origin.here())
        for place, known in enumerate(self._declared):
            if is_same(known, declared):
                self._declared[place] = declared
                return function
        self._declared.append(declared)
        return function

    @property
    def modules(self) -> list[str]:
        """The modules to import for these functions to be declared, in that order."""
        return list(dict.fromkeys(identity(each.function)[0] for each in self._declared))

    def has(self, kind: Kind) -> bool:
        """Whether there are any of that kind."""
        return any(each.kind == kind for each in self._declared)

    @contextmanager
    def plain(self, given: Any) -> Iterator[None]:
        """Inside of the plain ones. No error is lost: one that a function catches is raised on."""
        with ExitStack() as stack:
            for each in self._declared:
                if each.kind == "plain":
                    stack.enter_context(_Around(self._name, each.function, given))
            yield

    @asynccontextmanager
    async def inside(self, given: Any, *kinds: Kind) -> AsyncIterator[None]:
        """The same inside of those of these kinds, for whoever runs in an event loop."""
        async with AsyncExitStack() as stack:
            for each in self._declared:
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
    """Put a generator function round each run of each job in this process.

    It is called with a `JobRun` and yields once, where the task runs. An error of the task is
    raised at its `yield`, and goes on when the function has ended, even if it caught it; an error
    of its own takes the place of it, and is judged by the task's retry rules. A plain one runs
    where the task does: in its thread, in its child process, with its context variables. An async
    one runs in the event loop, round the thread of a plain task. Raises TypeError for what is no
    generator function.
    """
    return AROUND_RUN.declare(function)


def around_enqueue(function: Function) -> Function:
    """Put a generator function round each call that enqueues jobs in this process.

    It is called with an `Outgoing` and yields once, where the jobs are sent to the store. What it
    raises, the caller gets: before the `yield` nothing is enqueued, after it all is. A plain one
    runs in the caller's thread, an async one in the event loop that sends. Jobs of schedules are
    the store's: nothing is around them. Raises TypeError for what is no generator function.
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
