"""Whether an argument comes back from JSON as it went: asked at the producer.

What comes back equal by construction is not asked: JSON types, and single values of the standard
library's types. All others make the round trip there.
"""

from __future__ import annotations

import sys
import warnings
from datetime import UTC
from typing import Any

from asyncmqd.domain.codec import NotSerialisable, decode, encode
from asyncmqd.domain.hints.form import Form
from asyncmqd.domain.round_trip import same

_OURS = "asyncmqd."


class _Watch:
    """Whether every argument makes the round trip: `asyncmqd.testing` says so."""

    on = False


WATCH = _Watch()


def is_sure(form: Form, value: Any) -> bool:
    """Whether the value comes back equal without being asked."""
    # JSON has offsets from UTC in minutes, and those of former times have seconds.
    return form.plain or (
        type(value) in form.exact and getattr(value, "tzinfo", None) in {None, UTC}
    )


def ask(form: Form | None, value: Any, place: str) -> None:
    """Send the value there and back.

    Raises TypeError if it does not fit, and NotSerialisable if it would change; if there is no hint
    that would keep it, it warns. A value may be given as JSON has it, a dict for a dataclass: it is
    read as what is declared.
    """
    back, plain = _carried(form, value, place)
    if same(back, value, loose=form is not None and form.loose):
        return
    if form is None or form.plain:
        _warn(
            f"{place}: a {type(value).__name__} arrives as {_short(back)}: a type hint would bring"
            " it back as it was"
        )
    elif not same(plain, value):
        raise NotSerialisable(
            f"{place}: expected a {form.name} that comes back equal from JSON, got a"
            f" {type(value).__name__} that would arrive as {_short(back)}"
        )


def _carried(form: Form | None, value: Any, place: str) -> tuple[Any, Any]:
    """How it arrives, and its JSON."""
    plain = decode(encode(value, place))
    if form is None:
        return plain, plain
    try:
        return form.read(plain), plain
    except (ValueError, TypeError) as error:
        raise TypeError(f"{place}: {error}") from None


def _short(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:60]}..."


def _warn(message: str) -> None:
    """Warn at the line of the application that enqueues."""
    depth, frame = 2, sys._getframe(1)  # noqa: SLF001 - the documented way to the caller
    while frame.f_back is not None and frame.f_globals.get("__name__", "").startswith(_OURS):
        depth, frame = depth + 1, frame.f_back
    warnings.warn(message, UserWarning, stacklevel=depth)
