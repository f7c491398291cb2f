"""The store's time goes back: what it dated while it was ahead comes along.

Leases and the listing of workers do not notice: they count from the boot of the host.
"""

from __future__ import annotations

from typing import Any

import msgspec

from asyncmqd.backends.sqlite import sql_statements
from asyncmqd.backends.sqlite.clock import seconds
from asyncmqd.domain.states import State

_SQL = sql_statements.load("clock_correction.sql")
_ENDED = msgspec.json.encode([str(state) for state in State if state.terminal]).decode()


def turn_back(execute: Any, before: int, now: int) -> None:
    """Go from the time `before` to `now`, both in microseconds.

    A delay keeps what was left of it, an ended job what was left of its keeping, and schedules fire
    from now on: none waits for the time that was never reached.
    """
    values = {
        "by": before - now,
        "now": now,
        "seconds": seconds(now),
        "delayed": str(State.DELAYED),
        "blocked": str(State.BLOCKED),
        "ended": _ENDED,
    }
    for statement in _SQL.values():
        execute(statement, values)
