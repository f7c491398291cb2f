"""How much a test does: little at each push, what it promises when asked for.

Limits of time are wide in the short form, for other tests use the machine beside it.

ASYNCMQD_TEST_SCALE is `short` (the default, `make test`), `full` (`make faults`) or `soak`.
"""

from __future__ import annotations

import os
from typing import TypeVar

SCALES = ("short", "full", "soak")
SCALE = os.environ.get("ASYNCMQD_TEST_SCALE", SCALES[0])
if SCALE not in SCALES:
    raise ValueError(f"ASYNCMQD_TEST_SCALE: expected one of {', '.join(SCALES)}, got {SCALE!r}")

Amount = TypeVar("Amount")


def scaled(short: Amount, full: Amount, soak: Amount | None = None) -> Amount:
    """The amount for this run; a soak does as much as a full run unless it is told more."""
    if SCALE == "short":
        return short
    return full if SCALE == "full" or soak is None else soak
