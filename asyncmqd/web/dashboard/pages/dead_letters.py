"""Dead letters: groups of failed jobs, and what is done to such groups now."""

from __future__ import annotations

import asyncio
from typing import Any

from asyncmqd.admin.dead_letters import DeadLetters, dead_letters
from asyncmqd.admin.operations import RUNNING, OperationView, list_operations
from asyncmqd.backends.base import BaseBackend
from asyncmqd.web.dashboard.groups import stamp_of
from asyncmqd.web.dashboard.visit import Visit

_SHOWN = 50  # groups
_LARGE = 100  # jobs of a group: so many are not run again by one click


async def values(visit: Visit) -> dict[str, Any]:
    """What the template shows."""
    found, done = await visit.source.read(_look)
    return {
        "groups": found.groups[:_SHOWN],
        "large": _LARGE,
        "stamp_of": stamp_of,
        "more": max(0, len(found.groups) - _SHOWN),
        "searched": found.searched,
        "of": found.of,
        "operations": [each for each in done if each.state == RUNNING and each.states],
    }


async def _look(store: BaseBackend) -> tuple[DeadLetters, list[OperationView]]:
    return await asyncio.gather(dead_letters(store), list_operations(store))
