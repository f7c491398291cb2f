"""The page of keys: what the keyboard does."""

from __future__ import annotations

from typing import Any

from asyncmqd.web.dashboard.visit import Visit

KEYS = (
    ("?", "This page"),
    ("/", "Filter the jobs of the page, or find a job by its id"),
    ("j", "The next row"),
    ("k", "The row before"),
    ("Enter", "Open the row"),
    ("Esc", "Close what is open"),
    ("g o", "Overview"),
    ("g j", "Jobs"),
    ("g d", "Dead letters"),
    ("g s", "Schedules"),
    ("g l", "Limits"),
    ("g m", "Daemons (machines)"),
    ("g a", "Audit"),
)


async def values(_: Visit) -> dict[str, Any]:
    """What the template shows."""
    return {"keys": KEYS}
