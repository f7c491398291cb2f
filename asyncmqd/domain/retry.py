"""When a failed attempt runs again: pure arithmetic, the randomness is passed in."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import msgspec

from asyncmqd.domain.options import (
    Kind,
    Option,
    Seconds,
    as_seconds,
    keep_checked,
    number,
    period,
    shown,
    table_of,
)

_MOST = 1e100  # what is larger is no number of anything
_ANY = number(-_MOST, _MOST)
_AFTER = Option(
    "after",
    Kind("seconds (a number or text like '5m')", lambda value: _ANY.read(as_seconds(value))),
)
_BACKOFF = Option("backoff", period())
_OF_FIXED = table_of(Option("delay", period()))
_OF_EXPONENTIAL = table_of(
    Option("base", period()),
    Option("factor", number(0, _MOST)),
    Option("cap", period()),
    Option("floor", period()),
)


class Retry(Exception):
    """Raised by a task to ask for another attempt.

    `after` is in seconds (or text like "5m", or a timedelta). A negative value means at once, and
    None means the task's back-off. The attempt is charged like any failed attempt: if none is
    left, the job fails. Raises ValueError if `after` is no number of seconds.
    """

    def __init__(self, message: str = "retry", *, after: Seconds | None = None) -> None:
        super().__init__(message)
        self.after: float | None = None if after is None else _AFTER.check(after)


class BadArguments(ValueError):
    """The arguments of a job do not fit its task; the message names the argument.

    It is retried whatever `retry_on` says: in a rolling deploy another daemon may have the code
    that they fit.
    """


class Reject(Exception):
    """Raised by a task to fail its job now, without further attempts."""


class Fixed(msgspec.Struct, frozen=True):
    """The same pause, `delay` seconds, before each further attempt."""

    delay: float

    def __post_init__(self) -> None:
        keep_checked(self, _OF_FIXED)

    def pause(self, _failures: int, _error: BaseException, _draw: float) -> float:
        """Seconds until the next attempt."""
        return self.delay


class Exponential(msgspec.Struct, frozen=True):
    """Growing pauses: up to `base * factor ** (failures - 1)` seconds, and never above `cap`.

    With `jitter` (the default) the pause is drawn evenly between zero and that bound, so that jobs
    that failed together do not come back together ("full jitter", M. Brooker, "Exponential Backoff
    And Jitter", AWS Architecture Blog, 2015). No pause is shorter than `floor` seconds.
    """

    base: float = 1.0
    factor: float = 2.0
    cap: float = 600.0
    jitter: bool = True
    floor: float = 0.0

    def __post_init__(self) -> None:
        keep_checked(self, _OF_EXPONENTIAL)

    def pause(self, failures: int, _error: BaseException, draw: float) -> float:
        """Seconds until the attempt that follows the `failures`-th failure."""
        try:
            bound = min(self.cap, self.base * self.factor ** (failures - 1))
        except OverflowError:  # beyond any cap: attempt 10,000, or a large factor
            bound = self.cap
        return max(self.floor, bound * draw if self.jitter else bound)


class Custom(msgspec.Struct, frozen=True):
    """A function of the application: it gets the number of failures and the error."""

    function: Callable[[int, BaseException], Seconds]

    def __post_init__(self) -> None:
        if not _takes_two(self.function):
            raise TypeError(
                "backoff: expected a plain function of (failures, error),"
                f" got {shown(self.function)}"
            )

    def pause(self, failures: int, error: BaseException, _draw: float) -> float:
        """Seconds until the next attempt.

        Raises what the function raises, and ValueError if it returned no seconds.
        """
        return float(_BACKOFF.check(self.function(failures, error)))


Backoff = Fixed | Exponential | Custom
DEFAULT_BACKOFF = Exponential()


def backoff(
    value: Backoff | Seconds | Callable[[int, BaseException], float] | None,
) -> Backoff:
    """What `backoff=` of a task means: seconds, a policy, a function, or the default policy.

    Raises ValueError for seconds out of range and TypeError for anything else.
    """
    if value is None:
        return DEFAULT_BACKOFF
    if isinstance(value, Fixed | Exponential | Custom):
        return value
    if isinstance(value, int | Seconds) and not isinstance(value, bool):
        return Fixed(_BACKOFF.check(value))
    if callable(value) and not isinstance(value, type):
        return Custom(value)
    raise TypeError(
        f"backoff: expected seconds, Fixed, Exponential or a function, got {shown(value)}"
    )


def _takes_two(function: Any) -> bool:
    if not callable(function) or inspect.iscoroutinefunction(function):
        return False
    try:
        inspect.signature(function).bind(1, ValueError())
    except TypeError:
        return False
    except ValueError:  # a built-in that does not tell
        pass
    return True


def exceptions(
    option: str, value: type[BaseException] | Iterable[type[BaseException]]
) -> tuple[type[BaseException], ...]:
    """What `retry_on=` and `dont_retry_on=` mean: an exception type, or several in any iterable.

    Raises TypeError for anything else: met at the first failure, it would hide the task's error.
    """
    if isinstance(value, type):
        listed: tuple[Any, ...] = (value,)
    elif isinstance(value, Iterable) and not isinstance(value, str | bytes):
        listed = tuple(value)
    else:
        listed = (value,)
    for each in listed:
        if not (isinstance(each, type) and issubclass(each, BaseException)):
            raise TypeError(f"{option}: expected exception types, got {shown(each)}")
    return listed


# ---------------------------------------------------------------------- what an error asks for


def parts(error: BaseException) -> Iterator[BaseException]:
    """The error, and if it is an exception group all that it holds, groups in it included."""
    waiting = [error]
    while waiting:
        each = waiting.pop()
        yield each
        if isinstance(each, BaseExceptionGroup):
            waiting += reversed(each.exceptions)


def leaves(error: BaseException) -> Iterator[BaseException]:
    """What happened: the error itself, or what an exception group holds, however deep."""
    return (each for each in parts(error) if not isinstance(each, BaseExceptionGroup))


def may_retry(
    error: BaseException,
    retry_on: tuple[type[BaseException], ...],
    dont_retry_on: tuple[type[BaseException], ...],
) -> bool:
    """Whether another attempt may follow.

    Groups are looked through: one Reject, or one error of `dont_retry_on`, forbids it; else one
    Retry (or arguments that do not fit) asks for it; else the group itself or all that it holds
    must be of `retry_on`.
    """
    all_parts = list(parts(error))
    if any(isinstance(each, (Reject, *dont_retry_on)) for each in all_parts):
        return False
    asked = (Retry, BadArguments)
    if any(isinstance(each, asked) for each in all_parts) or isinstance(error, retry_on):
        return True
    return all(isinstance(leaf, retry_on) for leaf in leaves(error))


def asked_pause(error: BaseException) -> float | None:
    """The longest `after` of the Retry that was raised, alone or in a group; None if there is
    none.
    """
    asked = (each.after for each in leaves(error) if isinstance(each, Retry))
    return max((after for after in asked if after is not None), default=None)
