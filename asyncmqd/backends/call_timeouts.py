"""What all URLs of stores have in common: how long a call may take."""

from __future__ import annotations

import re

_SECONDS = re.compile(r"[0-9]{1,6}(\.[0-9]{1,6})?")


def seconds(shown: str, text: str) -> float:
    """Read the option `timeout` of the URL that is shown so. Raises ValueError."""
    if not _SECONDS.fullmatch(text) or float(text) <= 0:
        raise ValueError(f"{shown}: timeout: expected seconds above 0, got {text!r}")
    return float(text)
