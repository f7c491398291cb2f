"""What was archived, which words are in it, and who was told: one SQLite file.

Jobs run at least once, several at a time, in several processes. So every write here is one
transaction that replaces what an earlier run of the same job may have written.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager
from typing import Any

from dropfolder import places

_TABLES = """
create table if not exists files (
    digest text, name text, size integer, packed integer, archived_on text,
    primary key (digest, name)
);
create table if not exists words (
    word text, digest text, count integer,
    primary key (word, digest)
);
create index if not exists words_by_digest on words (digest);
create table if not exists announcements (
    digest text, name text, attempts integer, announced_on text,
    primary key (digest, name)
)
"""
_PATIENCE = 20.0  # seconds that a writer waits for the others


@contextmanager
def _transaction() -> Iterator[sqlite3.Connection]:
    path = places.catalog()
    with closing(sqlite3.connect(path, timeout=_PATIENCE, isolation_level=None)) as connection:
        # Immediate: one that reads first and then writes may find itself refused.
        connection.execute("begin immediate")
        with connection:
            for table in _TABLES.split(";"):
                connection.execute(table)
            yield connection


def add_file(digest: str, name: str, size: int, packed: int) -> None:
    """Note a file of `size` bytes, `packed` bytes in the archive."""
    with _transaction() as catalog:
        catalog.execute(
            "insert or replace into files values (?, ?, ?, ?, date('now'))",
            (digest, name, size, packed),
        )


def set_words(digest: str, counts: Mapping[str, int]) -> None:
    """Note how often each word is in a file, in place of what was noted before."""
    with _transaction() as catalog:
        catalog.execute("delete from words where digest = ?", (digest,))
        catalog.executemany(
            "insert into words values (?, ?, ?)",
            [(word, digest, count) for word, count in counts.items()],
        )


def add_announcement(digest: str, name: str, attempts: int) -> None:
    """Note that the endpoint has accepted a file at the `attempts`-th attempt."""
    with _transaction() as catalog:
        catalog.execute(
            "insert or replace into announcements values (?, ?, ?, date('now'))",
            (digest, name, attempts),
        )


def find(word: str) -> list[tuple[str, int]]:
    """The files with a word in them, and how often, most often first."""
    return _rows(
        "select name, count from words join files using (digest)"
        " where word = ? order by count desc, name",
        word.lower(),
    )


def totals(day: str) -> dict[str, int]:
    """What was done on a day (YYYY-MM-DD, UTC)."""
    ((files, size, packed),) = _rows(
        "select count(*), total(size), total(packed) from files where archived_on = ?", day
    )
    ((announced, attempts),) = _rows(
        "select count(*), total(attempts) from announcements where announced_on = ?", day
    )
    numbers = {
        "files": files,
        "bytes": size,
        "bytes packed": packed,
        "announcements": announced,
        "attempts to announce": attempts,
    }
    return {name: int(value) for name, value in numbers.items()}


def top_words(day: str, limit: int) -> list[tuple[str, int]]:
    """The words that are most often in the files of a day."""
    return _rows(
        "select word, sum(count) as total from words where digest in"
        " (select digest from files where archived_on = ?)"
        " group by word order by total desc, word limit ?",
        day,
        limit,
    )


def _rows(query: str, *values: Any) -> list[tuple[Any, ...]]:
    with _transaction() as catalog:
        return catalog.execute(query, values).fetchall()
