"""When a failed attempt runs again: pure arithmetic, the randomness is passed in."""

from __future__ import annotations

import math
from collections.abc import Callable

import msgspec


class Retry(Exception):
    """Raised by a task to ask for another attempt.

    `after` is in seconds, and a negative one means at once; None leaves it to the task's back-off.
    The attempt is charged like any failed one: when none is left, the job fails. Raises TypeError
    or ValueError for what is no number of seconds.
    """

    def __init__(self, message: str = "retry", *, after: float | None = None) -> None:
        super().__init__(message)
        if isinstance(after, bool) or not isinstance(after, int | float | None):
            raise TypeError(f"after: expected seconds, got {type(after).__name__}")
        if after is not None and not math.isfinite(after):
            raise ValueError(f"after: expected seconds, got {after!r}")
        self.after = after


class Reject(Exception):
    """Raised by a task to fail its job now, without further attempts."""


class Fixed(msgspec.Struct, frozen=True):
    """The same pause, `delay` seconds, before each further attempt."""

    delay: float

    def pause(self, _failures: int, _error: BaseException, _draw: float) -> float:
        """Seconds until the next attempt."""
        return self.delay


class Exponential(msgspec.Struct, frozen=True):
    """Pauses that grow: up to `base * factor ** (failures - 1)` seconds, and never above `cap`.

    With `jitter` (the default) the pause is drawn evenly between zero and that bound, so that jobs
    that failed together do not come back together ("full jitter", M. Brooker, "Exponential Backoff
    And Jitter", AWS Architecture Blog, 2015). `floor` seconds is the least pause in any case.
    """

    base: float = 1.0
    factor: float = 2.0
    cap: float = 600.0
    jitter: bool = True
    floor: float = 0.0

    def pause(self, failures: int, _error: BaseException, draw: float) -> float:
        """Seconds until the attempt that follows the `failures`-th failure."""
        try:
            bound = min(self.cap, self.base * self.factor ** (failures - 1))
        except OverflowError:  # beyond any cap: attempt 10,000, or a large factor
            bound = self.cap
        return max(self.floor, bound * draw if self.jitter else bound)


class Custom(msgspec.Struct, frozen=True):
    """A function of the application: it gets the number of failures and the error."""

    function: Callable[[int, BaseException], float]

    def pause(self, failures: int, error: BaseException, _draw: float) -> float:
        """Seconds until the next attempt; a negative answer means none to wait."""
        return max(0.0, float(self.function(failures, error)))


Backoff = Fixed | Exponential | Custom
DEFAULT_BACKOFF = Exponential()


def backoff(
    value: Backoff | float | Callable[[int, BaseException], float] | None,
) -> Backoff:
    """What `backoff=` of a task means: seconds, a policy, a function, or the default policy.

    Raises TypeError for anything else and ValueError for negative seconds.
    """
    if value is None:
        return DEFAULT_BACKOFF
    if isinstance(value, Fixed | Exponential | Custom):
        return value
    if isinstance(value, int | float) and not isinstance(value, bool):
        if not 0 <= value < float("inf"):
            raise ValueError(f"backoff: expected seconds of 0 or more, got {value!r}")
        return Fixed(float(value))
    if callable(value):
        return Custom(value)
    raise TypeError(
        f"backoff: expected seconds, Fixed, Exponential or a function, got {type(value).__name__}"
    )
