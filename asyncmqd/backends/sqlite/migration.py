"""From an older layout of the file to ours: after a backup, in one transaction."""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import TypeVar

from asyncmqd.backends import layout
from asyncmqd.backends.base import Migration, StoreError
from asyncmqd.backends.sqlite import file as database
from asyncmqd.backends.sqlite.backup import back_up, part_of
from asyncmqd.backends.sqlite.clock import HostClock
from asyncmqd.backends.sqlite.errors import busy, is_busy, translated
from asyncmqd.domain import clock

Step = Callable[[sqlite3.Connection], None]
_Result = TypeVar("_Result")


def _set_large_payloads_apart(connection: sqlite3.Connection) -> None:
    """From 1 to 2: a payload of more than 1,000 bytes goes to a table of its own."""
    connection.execute(
        "CREATE TABLE large_payloads (job INTEGER PRIMARY KEY, payload BLOB NOT NULL)"
    )
    connection.execute("ALTER TABLE jobs ADD COLUMN large INTEGER NOT NULL DEFAULT 0")
    connection.execute(
        "INSERT INTO large_payloads (job, payload)"
        " SELECT number, payload FROM jobs WHERE length(payload) > 1000"
    )
    connection.execute(
        "UPDATE jobs SET large = length(payload), payload = x'' WHERE length(payload) > 1000"
    )


def _note_who_declares(connection: sqlite3.Connection) -> None:
    """From 2 to 3: schedules tell by whom they were declared, and what they replaced."""
    for column in ("declarer TEXT", "former BLOB", "former_declarer TEXT"):
        empty = "x''" if column.endswith("BLOB") else "''"
        connection.execute(f"ALTER TABLE schedules ADD COLUMN {column} NOT NULL DEFAULT {empty}")


def _note_who_pauses(connection: sqlite3.Connection) -> None:
    """From 3 to 4: a pause tells by whom it was made, when and why."""
    connection.execute("ALTER TABLE paused ADD COLUMN since INTEGER")
    for column in ("pauser", "reason"):
        connection.execute(f"ALTER TABLE paused ADD COLUMN {column} TEXT NOT NULL DEFAULT ''")


def _tally_instants(connection: sqlite3.Connection) -> None:
    """From 4 to 5: schedules tell what became of their instants."""
    connection.execute("ALTER TABLE schedules ADD COLUMN tally BLOB NOT NULL DEFAULT '{}'")


def _name_unique_jobs(connection: sqlite3.Connection) -> None:
    """From 5 to 6: jobs may have a unique name."""
    connection.execute("ALTER TABLE jobs ADD COLUMN unique_name TEXT")
    connection.execute(
        "CREATE INDEX holders ON jobs (queue, unique_name)"
        " WHERE unique_name IS NOT NULL AND kept_in IS NULL"
    )


def _limit_all_daemons(connection: sqlite3.Connection) -> None:
    """From 6 to 7: limits that hold over all daemons."""
    connection.execute(
        "CREATE TABLE limits (queue TEXT PRIMARY KEY, declared BLOB NOT NULL) WITHOUT ROWID"
    )
    connection.execute(
        "CREATE TABLE ghosts (queue TEXT NOT NULL, id TEXT NOT NULL, token INTEGER NOT NULL,"
        " until INTEGER NOT NULL, PRIMARY KEY (queue, id, token)) WITHOUT ROWID"
    )


def _keep_names_apart(connection: sqlite3.Connection) -> None:
    """From 7 to 8: a unique name may be held until its job is claimed, and longer than its job."""
    connection.execute("ALTER TABLE jobs ADD COLUMN until_claimed INTEGER NOT NULL DEFAULT 0")
    connection.execute(
        "CREATE TABLE names (queue TEXT NOT NULL, name TEXT NOT NULL, id TEXT NOT NULL,"
        " since INTEGER NOT NULL, until INTEGER NOT NULL, PRIMARY KEY (queue, name)) WITHOUT ROWID"
    )
    connection.execute(
        "INSERT INTO names (queue, name, id, since, until)"
        " SELECT queue, unique_name, id, 0, 0 FROM jobs"
        " WHERE unique_name IS NOT NULL AND kept_in IS NULL"
    )
    connection.execute("CREATE INDEX overdue ON names (queue, until) WHERE until > 0")
    connection.execute("DROP INDEX holders")


def _rate_all_daemons(connection: sqlite3.Connection) -> None:
    """From 8 to 9: a rate among these limits."""
    connection.execute("ALTER TABLE limits ADD COLUMN arrival REAL NOT NULL DEFAULT 0")


def _note_keys(connection: sqlite3.Connection) -> None:
    """From 9 to 10: jobs may have a key."""
    connection.execute("ALTER TABLE jobs ADD COLUMN job_key TEXT")


def _let_keys_take_turns(connection: sqlite3.Connection) -> None:
    """From 10 to 11: keys take turns. Jobs that wait already go on with those without a key."""
    connection.execute(
        "CREATE INDEX lane ON jobs (queue, place, job_key, rank, seq) WHERE job_key IS NOT NULL"
    )
    connection.execute(
        "CREATE TABLE lanes (queue TEXT NOT NULL, priority INTEGER NOT NULL, lane TEXT NOT NULL,"
        " jobs INTEGER NOT NULL, tag INTEGER NOT NULL, PRIMARY KEY (queue, priority, lane))"
        " WITHOUT ROWID"
    )
    connection.execute(
        "CREATE INDEX active_lanes ON lanes (queue, priority, tag, lane) WHERE jobs > 0"
    )
    connection.execute("CREATE INDEX idle_lanes ON lanes (queue, priority, tag) WHERE jobs = 0")
    connection.execute(
        "CREATE TABLE levels (queue TEXT NOT NULL, priority INTEGER NOT NULL,"
        " reached INTEGER NOT NULL, PRIMARY KEY (queue, priority)) WITHOUT ROWID"
    )


def _let_jobs_wait_for_others(connection: sqlite3.Connection) -> None:
    """From 11 to 12: jobs may wait for others to end."""
    connection.execute(
        "CREATE TABLE edges (queue TEXT NOT NULL, parent TEXT NOT NULL, child TEXT NOT NULL,"
        " seq INTEGER NOT NULL, PRIMARY KEY (queue, parent, seq)) WITHOUT ROWID"
    )
    connection.execute("CREATE UNIQUE INDEX parents ON edges (queue, child, parent)")


def _limit_keys(connection: sqlite3.Connection) -> None:
    """From 12 to 13: limits of each key; columns in the order in which SQLite checks them."""
    for statement in (
        "CREATE TABLE former AS SELECT queue, parent, seq, child FROM edges",
        "DROP TABLE edges",
        (
            "CREATE TABLE edges (queue TEXT NOT NULL, parent TEXT NOT NULL, seq INTEGER NOT NULL,"
            " child TEXT NOT NULL, PRIMARY KEY (queue, parent, seq)) WITHOUT ROWID"
        ),
        "INSERT INTO edges SELECT queue, parent, seq, child FROM former",
        "DROP TABLE former",
        "CREATE UNIQUE INDEX parents ON edges (queue, child, parent)",
        "ALTER TABLE ghosts ADD COLUMN job_key TEXT",
        "ALTER TABLE lanes ADD COLUMN shut INTEGER NOT NULL DEFAULT 0",
        "DROP INDEX active_lanes",
        (
            "CREATE INDEX active_lanes ON lanes (queue, priority, tag, lane)"
            " WHERE jobs > 0 AND shut = 0"
        ),
        "CREATE INDEX lanes_of_key ON lanes (queue, lane) WHERE jobs > 0",
        (
            "CREATE TABLE closed_keys (queue TEXT NOT NULL, job_key TEXT NOT NULL,"
            " opens INTEGER NOT NULL, PRIMARY KEY (queue, job_key)) WITHOUT ROWID"
        ),
        "CREATE INDEX opening ON closed_keys (queue, opens)",
        (
            "CREATE TABLE buckets (queue TEXT NOT NULL, job_key TEXT NOT NULL,"
            " arrival REAL NOT NULL, PRIMARY KEY (queue, job_key)) WITHOUT ROWID"
        ),
        "CREATE INDEX full_buckets ON buckets (queue, arrival)",
    ):
        connection.execute(statement)


def _keep_a_past(connection: sqlite3.Connection) -> None:
    """From 13 to 14: queues have a past."""
    connection.execute(
        "CREATE TABLE passed (queue TEXT NOT NULL, place TEXT NOT NULL, jobs INTEGER NOT NULL,"
        " PRIMARY KEY (queue, place)) WITHOUT ROWID"
    )
    connection.execute(
        "CREATE TABLE noted (queue TEXT PRIMARY KEY, totals BLOB NOT NULL) WITHOUT ROWID"
    )
    connection.execute(
        "CREATE TABLE periods (length INTEGER NOT NULL, minute INTEGER NOT NULL,"
        " queue TEXT NOT NULL, period BLOB NOT NULL, PRIMARY KEY (length, minute, queue))"
        " WITHOUT ROWID"
    )


def _let_jobs_wait_for_ghosts(connection: sqlite3.Connection) -> None:
    """From 14 to 15: jobs may wait until the code of a cancelled one has ended."""
    connection.execute(
        "CREATE TABLE awaited (queue TEXT NOT NULL, ghost TEXT NOT NULL, until INTEGER NOT NULL,"
        " PRIMARY KEY (queue, ghost)) WITHOUT ROWID"
    )


def _keep_operations(connection: sqlite3.Connection) -> None:
    """From 15 to 16: what operators do to many jobs."""
    connection.execute(
        "CREATE TABLE operations (queue TEXT NOT NULL, id TEXT NOT NULL, orders BLOB NOT NULL,"
        " progress BLOB NOT NULL DEFAULT x'', moved INTEGER NOT NULL DEFAULT 0,"
        " begun INTEGER NOT NULL, token INTEGER NOT NULL, carrier TEXT NOT NULL,"
        " until INTEGER NOT NULL, ended INTEGER, outcome TEXT NOT NULL DEFAULT '',"
        " ended_by TEXT NOT NULL DEFAULT '', PRIMARY KEY (queue, id)) WITHOUT ROWID"
    )
    connection.execute("CREATE INDEX under_way ON operations (queue) WHERE ended IS NULL")


def _let_jobs_cost_tokens(connection: sqlite3.Connection) -> None:
    """From 16 to 17: a start may cost more than one token of a rate."""
    connection.execute("ALTER TABLE jobs ADD COLUMN cost INTEGER NOT NULL DEFAULT 1")
    connection.execute("CREATE INDEX priced ON jobs (queue) WHERE cost <> 1")
    for table in ("limits", "buckets"):
        connection.execute(f"ALTER TABLE {table} ADD COLUMN owes_since REAL NOT NULL DEFAULT 0")


def _tell_events(connection: sqlite3.Connection) -> None:
    """From 17 to 18: events, for whoever watches."""
    connection.execute(
        "CREATE TABLE epoch"
        " (epoch INTEGER NOT NULL, number INTEGER NOT NULL, until INTEGER NOT NULL)"
    )
    connection.execute("CREATE TABLE events (number INTEGER PRIMARY KEY, batch BLOB NOT NULL)")


def _set_ended_jobs_free_of_lanes(connection: sqlite3.Connection) -> None:
    """From 18 to 19: ended jobs are in no lane; the first tally is bytes, for text is damage."""
    columns = (
        "queue, name, spec, declared, seen, last, paused, declarer, former, former_declarer, tally"
    )
    for statement in (
        "DROP INDEX lane",
        (
            "CREATE INDEX lane ON jobs (queue, place, job_key, rank, seq)"
            " WHERE job_key IS NOT NULL AND kept_in IS NULL"
        ),
        f"CREATE TABLE others AS SELECT {columns} FROM schedules",  # noqa: S608 - names of our own
        "DROP TABLE schedules",
        (
            "CREATE TABLE schedules (queue TEXT NOT NULL, name TEXT NOT NULL, spec BLOB NOT NULL,"
            " declared INTEGER NOT NULL, seen INTEGER NOT NULL, last REAL NOT NULL,"
            " paused INTEGER NOT NULL DEFAULT 0, declarer TEXT NOT NULL DEFAULT '',"
            " former BLOB NOT NULL DEFAULT x'', former_declarer TEXT NOT NULL DEFAULT '',"
            " tally BLOB NOT NULL DEFAULT x'7b7d', PRIMARY KEY (queue, name)) WITHOUT ROWID"
        ),
        f"INSERT INTO schedules ({columns}) SELECT {columns} FROM others",  # noqa: S608 - the same
        "UPDATE schedules SET tally = CAST(tally AS BLOB)",
        "DROP TABLE others",
    ):
        connection.execute(statement)


def _keep_attempts_and_marks(connection: sqlite3.Connection) -> None:
    """From 19 to 20: jobs keep their last attempts, and a store what became of daemons."""
    connection.execute("ALTER TABLE jobs ADD COLUMN attempts BLOB NOT NULL DEFAULT x''")
    connection.execute(
        "CREATE TABLE marks (id TEXT PRIMARY KEY, time INTEGER NOT NULL, mark BLOB NOT NULL)"
        " WITHOUT ROWID"
    )


def _number_lanes(connection: sqlite3.Connection) -> None:
    """From 20 to 21: lanes have numbers, by which their jobs name them, and one index of tags."""
    for statement in (
        "DROP INDEX lane",
        "ALTER TABLE jobs ADD COLUMN lane INTEGER",
        "ALTER TABLE jobs ADD COLUMN permit_key TEXT",
        "CREATE TABLE former AS SELECT queue, lane, priority, jobs, tag, shut FROM lanes",
        "DROP TABLE lanes",
        (
            "CREATE TABLE lanes (number INTEGER PRIMARY KEY, queue TEXT NOT NULL,"
            " lane TEXT NOT NULL, priority INTEGER NOT NULL, jobs INTEGER NOT NULL,"
            " tag INTEGER NOT NULL, activity INTEGER NOT NULL, UNIQUE (queue, lane, priority))"
        ),
        (
            "INSERT INTO lanes (queue, lane, priority, jobs, tag, activity)"
            " SELECT queue, lane, priority, jobs, tag, iif(jobs, shut, 2) FROM former"
        ),
        "DROP TABLE former",
        "CREATE INDEX turns ON lanes (queue, activity, priority, tag, lane)",
        (
            "UPDATE jobs SET lane = (SELECT number FROM lanes WHERE lanes.queue = jobs.queue"
            " AND lanes.lane = jobs.job_key AND lanes.priority = jobs.rank)"
            " WHERE job_key IS NOT NULL AND place = 'waiting#keyed'"
        ),
        "CREATE INDEX lane ON jobs (lane, seq) WHERE lane IS NOT NULL",
        (
            "UPDATE jobs SET permit_key = job_key WHERE place = 'active'"
            " AND queue IN (SELECT queue FROM limits)"
        ),
        "CREATE INDEX permits ON jobs (queue, permit_key) WHERE permit_key IS NOT NULL",
    ):
        connection.execute(statement)


STEPS: dict[int, Step] = {
    2: _set_large_payloads_apart,
    3: _note_who_declares,
    4: _note_who_pauses,
    5: _tally_instants,
    6: _name_unique_jobs,
    7: _limit_all_daemons,
    8: _keep_names_apart,
    9: _rate_all_daemons,
    10: _note_keys,
    11: _let_keys_take_turns,
    12: _let_jobs_wait_for_others,
    13: _limit_keys,
    14: _keep_a_past,
    15: _let_jobs_wait_for_ghosts,
    16: _keep_operations,
    17: _let_jobs_cost_tokens,
    18: _tell_events,
    19: _set_ended_jobs_free_of_lanes,
    20: _keep_attempts_and_marks,
    21: _number_lanes,
}
"""By the layout that each leads to, from the one before. Layout 1 was the first.

A step runs inside a transaction and neither begins nor ends one. tests/stores keeps a store of each
layout there has been.
"""

BUSY_LIMIT = 15.0  # seconds for which others may hold the file; a migration of theirs may take long
_BUSY_PAUSE = 0.01  # seconds


def migrate(file: database.DatabaseFile) -> Migration | None:
    """Bring the file to the layout of this release; None when it has it.

    The store as it was is left beside it, as `<name>.layout-<number>`. Raises StoreError and
    StoreRefused.
    """
    try:
        # Opening is refused, too, while another process makes a restored file a WAL one.
        connection = _patiently(file.path, file.open_any)
        try:
            return _migrate(file, connection)
        finally:
            file.close(connection)
    except sqlite3.Error as error:
        raise translated(file.path, error) or error from error


def _migrate(file: database.DatabaseFile, connection: sqlite3.Connection) -> Migration | None:
    _patiently(file.path, partial(connection.execute, "BEGIN IMMEDIATE"))
    try:
        (found,) = connection.execute("PRAGMA user_version").fetchone()
        own = database.LAYOUT
        if found == own:  # also when another process has just done it
            connection.execute("ROLLBACK")
            return None
        steps = layout.way(str(file.path), found, own, STEPS)
        layout.check_unused(str(file.path), found, _living(connection, file.host))
        # Under the lock, so that nothing is written between the copy and the change.
        backup = _save(file, found)
        for step in steps:
            step(connection)
        connection.execute(f"PRAGMA user_version = {own}")
        connection.execute("COMMIT")
    except BaseException:
        if connection.in_transaction:  # a full disk has ended it already
            connection.execute("ROLLBACK")
        raise
    return Migration(found, own, str(backup))


def _living(connection: sqlite3.Connection, host: HostClock) -> list[str]:
    """The processes that work with the file, by their heartbeats; all layouts list them alike."""
    query = "SELECT id FROM workers, store WHERE until > ? AND boot = ? ORDER BY id"
    return [id for (id,) in connection.execute(query, (host.since_boot(), host.boot))]


def _patiently(path: Path, action: Callable[[], _Result]) -> _Result:
    """Do it once no other process is in the way. Raises StoreError after `BUSY_LIMIT`."""
    deadline = clock.monotonic() + BUSY_LIMIT
    while True:
        try:
            return action()
        except sqlite3.OperationalError as error:
            if not is_busy(error):
                raise
            if clock.monotonic() > deadline:
                raise busy(path) from error
            time.sleep(_BUSY_PAUSE)


def _save(file: database.DatabaseFile, found: int) -> Path:
    backup = file.path.with_name(f"{file.path.name}.layout-{found}")
    part = part_of(backup)
    try:
        part.unlink(missing_ok=True)  # of a migration that was killed: we hold the lock
    except OSError as error:
        raise StoreError(f"{part}: it cannot be removed: {error.strerror}") from None
    back_up(file, backup, any_layout=True)
    return backup
