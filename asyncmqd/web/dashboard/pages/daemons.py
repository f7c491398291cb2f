"""Daemons: all of the store, and of the one that answers its configuration."""

from __future__ import annotations

import asyncio
from typing import Any, NamedTuple

from asyncmqd.config.shown import words
from asyncmqd.web.api import CannotDo
from asyncmqd.web.dashboard.visit import Visit

_DAEMONS, _TABLES = 60, 60  # of the configuration: the page is to stay below 100 kB


class Table(NamedTuple):
    """A table of the configuration as it is in force."""

    queue: str  # empty: the top, which is about the daemon
    keys: list[tuple[str, str]]  # those that are not as usual, with their values in words


async def values(visit: Visit) -> dict[str, Any]:
    """What the template shows."""
    (seen, error), status, config, (plan, problem) = await asyncio.gather(
        visit.board.known(), _ask(visit, "status"), _ask(visit, "config"), _plan(visit)
    )
    tables = [Table("", _keys(config["top"]))]
    tables += [Table(queue, _keys(each)) for queue, each in config["queues"].items()]
    return {
        "seen": seen,
        "store_error": error,
        "status": status,
        "daemons": (part := visit.part(seen.daemons if seen else [], _DAEMONS)).rows,
        "part": part,
        "tables": visit.part(tables, _TABLES, "table"),
        "plan": plan,
        "plan_problem": problem,
    }


async def _ask(visit: Visit, name: str) -> Any:
    return await visit.source.command(name, {}, typed=True, by=visit.caller.name)


async def _plan(visit: Visit) -> tuple[list[str], str]:
    """What a reload would change, or why it would be refused."""
    try:
        return (await _ask(visit, "plan"))["lines"], ""
    except CannotDo as refusal:
        return [], str(refusal)


def _keys(table: dict[str, Any]) -> list[tuple[str, str]]:
    """The keys of a table, and those of the tables in it by dotted names."""
    found = []
    for key, value in table.items():
        if isinstance(value, dict) and not any(isinstance(each, dict) for each in value.values()):
            found += [(f"{key}.{inner}", text) for inner, text in _keys(value)]
        elif isinstance(value, list) and all(isinstance(each, str) for each in value):
            found.append((key, ", ".join(value)))
        elif isinstance(value, float):
            found.append((key, f"{value:g}"))
        else:
            found.append((key, words(value)))
    return found
