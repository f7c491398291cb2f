"""A pause of a queue: by whom, when and why."""

from __future__ import annotations

import msgspec

from asyncmqd.domain.options import Kind

LONGEST = 500  # characters


class Pause(msgspec.Struct, frozen=True, kw_only=True):
    """The last call that paused a queue. What an older release did not note is None or empty."""

    since: float | None = None  # the store's clock
    by: str = ""  # the system user
    reason: str = ""


def _reason(value: object) -> str:
    if not isinstance(value, str) or len(value) > LONGEST or not value.isprintable():
        raise ValueError
    return value.strip()


REASON = Kind(f"one line of text, of at most {LONGEST} printable characters", _reason)
