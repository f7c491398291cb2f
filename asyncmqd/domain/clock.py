"""The one module that reads clocks and draws random values; everything else is given them.

A lint rule bans `time.time`, `random`, `uuid` and `secrets` elsewhere, so that a test can put the
whole system on a virtual clock and a seeded generator.
"""

from __future__ import annotations

import os
import random
import secrets
import time
from collections.abc import Callable
from datetime import UTC, datetime

Clock = Callable[[], float]
"""Seconds since the Unix epoch."""


def wall() -> float:
    """The host's wall clock, in seconds since the Unix epoch. It may jump."""
    return time.time()


def monotonic() -> float:
    """Seconds on a clock that never jumps, of this process only."""
    return time.monotonic()


def since_boot() -> float:
    """Seconds since this host booted, suspended time included: one clock for all its processes."""
    return time.clock_gettime(time.CLOCK_BOOTTIME)


def suspended() -> float:
    """Seconds that this host was suspended since it booted: loops count none of them."""
    return since_boot() - monotonic()


def utc_now() -> datetime:
    """The wall clock as an aware datetime in UTC."""
    return datetime.now(UTC)


_IDS = 128  # that are drawn at once
_ids: list[str] = []
os.register_at_fork(after_in_child=_ids.clear)  # or parent and child would give the same ones


def new_id() -> str:
    """A job id: 88 random bits as 22 hexadecimal digits.

    Two of a thousand million jobs share one with odds of about one in a thousand million; shorter
    ids would save memory in Redis, and longer ones would cost it for nothing.
    """
    while True:
        try:
            return _ids.pop()
        except IndexError:  # the kernel is asked once for many: that costs more than all the rest
            digits = secrets.token_hex(11 * _IDS)
            _ids.extend(digits[at : at + 22] for at in range(0, len(digits), 22))


def nonce() -> str:
    """Twelve hexadecimal digits that tell one life of a process from the next."""
    return secrets.token_hex(6)


def draw() -> float:
    """A random number in [0, 1): the jitter that `settle` is given."""
    return random.random()  # noqa: S311 - jitter is no secret
