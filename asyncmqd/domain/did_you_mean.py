"""Which name was meant by one that nobody has."""

from __future__ import annotations

from collections.abc import Iterable


def nearest(name: str, known: Iterable[str], likeness: float = 0.6) -> str | None:
    """The known name that looks most like it; None if none does to that degree, of 0 to 1."""
    from difflib import get_close_matches  # few processes ever see a wrong name

    return next(iter(get_close_matches(name, sorted(known), 1, likeness)), None)


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """The same as the end of an error: ` (did you mean X?)`, or nothing."""
    near = nearest(name, known)
    return "" if near is None else f" (did you mean {near}?)"
