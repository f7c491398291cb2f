"""Whether a call of a store has begun. One that has not can be taken back: it is never done.

Who may want its call back sets `departing` in the context of it; a store that can tell says how.
"""

from __future__ import annotations

from collections.abc import Callable
from contextvars import ContextVar


class Departure:
    """One call. A store that says nothing may have begun."""

    __slots__ = ("has_begun",)

    def __init__(self) -> None:
        self.has_begun: Callable[[], bool] = _perhaps


def _perhaps() -> bool:
    return True


departing: ContextVar[Departure | None] = ContextVar("departing", default=None)
