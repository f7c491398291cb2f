"""What the release of SQLite that Python was built with means for a store."""

from __future__ import annotations

import sqlite3

Release = tuple[int, int, int]

OLDEST: Release = (3, 33, 0)  # UPDATE ... FROM
_MENDED: Release = (3, 51, 3)
_BACKPORTS: tuple[Release, ...] = ((3, 44, 6), (3, 50, 7))  # and what follows in the same series


def refuse_old() -> None:
    """Raises ValueError for a release that lacks what the statements need."""
    if sqlite3.sqlite_version_info < OLDEST:
        raise ValueError(
            f"expected SQLite 3.33 or later, got {sqlite3.sqlite_version}:"
            " use a Python with a newer SQLite"
        )


def concern() -> str:
    """A sentence about the bug that a commit can damage a file during a checkpoint; or none.

    Other processes of ours never begin the log again then (checkpoints.py). Other programs may.
    """
    if not has_reset_bug(sqlite3.sqlite_version_info):
        return ""
    return (
        f"SQLite {sqlite3.sqlite_version} can corrupt a database when one program writes while"
        " another brings the log into the file (mended in 3.51.3, 3.50.7 and 3.44.6): asyncmqd"
        " keeps its own processes from that, but no other program should write to the store"
    )


def has_reset_bug(release: Release) -> bool:
    """Whether this release has it. What distributions mended by themselves cannot be told."""
    if release >= _MENDED:
        return False
    return not any(release[:2] == each[:2] and release >= each for each in _BACKPORTS)
