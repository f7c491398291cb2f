"""`seen`: what a check saw, for the end of the run."""

from __future__ import annotations

from collections.abc import Callable

import pytest


@pytest.fixture
def seen(record_property: Callable[[str, object], None]) -> Callable[[str], None]:
    """Note a line that is printed at the end of the run."""
    return lambda text: record_property("seen", text)
