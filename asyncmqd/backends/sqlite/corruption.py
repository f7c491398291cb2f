"""Whether a value that cannot be comes from a corrupted file."""

from __future__ import annotations

import sqlite3

_TABLES = (
    "store",
    "jobs",
    "large_payloads",
    "tallies",
    "paused",
    "limits",
    "ghosts",
    "awaited",
    "schedules",
    "workers",
)


def damage(connection: sqlite3.Connection) -> str | None:
    """What is wrong inside the file; None if nothing is.

    Reads all of it: to be asked when something has gone wrong that a sound file cannot explain. A
    check at each start would take minutes for a large store, and miss what is corrupted later.
    """
    try:
        (found,) = connection.execute("PRAGMA integrity_check(1)").fetchone()
        if found != "ok":
            return str(found)
        return next(filter(None, (_wrong_value(connection, table) for table in _TABLES)), None)
    except (sqlite3.Error, UnicodeDecodeError) as error:  # the latter for what it cannot repeat
        return str(error)


def _wrong_value(connection: sqlite3.Connection, table: str) -> str | None:
    for _, column, kind, not_null, *_ in connection.execute(f"PRAGMA table_info({table})"):
        kinds = [kind.lower()] if not_null else [kind.lower(), "null"]
        seen = f"typeof({column})"
        query = f"SELECT {seen} FROM {table} WHERE instr(?, {seen}) = 0 LIMIT 1"  # noqa: S608 - names of our own
        wrong = connection.execute(query, (" ".join(kinds),)).fetchone()
        if wrong:
            return f"{table}.{column}: expected {kind.lower()}, got {wrong[0]}"
    return None
