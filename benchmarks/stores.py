"""What a store says of itself: the jobs that are left, the work it has had, the room it takes."""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path
from typing import Any, Protocol

import redis

Look = tuple[str, ...]


class Store(Protocol):
    def left(self, looks: Sequence[Look]) -> int:
        """The jobs that are not done."""

    def counters(self) -> dict[str, float]:
        """What the server has done so far; empty if there is no server."""

    def stored(self) -> int:
        """Bytes that the store takes."""


class Redis:
    """The server that all peers use in turn."""

    def __init__(self, client: redis.Redis) -> None:
        self._client = client

    def left(self, looks: Sequence[Look]) -> int:
        with self._client.pipeline(transaction=False) as pipeline:
            for look in looks:
                pipeline.execute_command(*look)
            return sum(map(_jobs, pipeline.execute(raise_on_error=False)))

    def counters(self) -> dict[str, float]:
        """Commands (those inside of scripts too), reads of a socket, and CPU time in us."""
        info: dict[str, Any] = self._client.info("everything")
        return {
            "commands": info["total_commands_processed"],
            "reads": info["total_reads_processed"],
            "server_us": (info["used_cpu_user"] + info["used_cpu_sys"]) * 1e6,
        }

    def stored(self) -> int:
        """After the scripts are thrown away, for their garbage is no job's."""
        self._client.script_flush("SYNC")
        return int(self._client.info("memory")["used_memory"])


class Sqlite:
    """A file, read with a connection of our own."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def left(self, looks: Sequence[Look]) -> int:
        with closing(sqlite3.connect(self._path, timeout=10)) as connection:
            return sum(int(connection.execute(query).fetchone()[0]) for (query,) in looks)

    def counters(self) -> dict[str, float]:
        return {}

    def stored(self) -> int:
        """The file, and the pages that still stand in its log."""
        files = (self._path, self._path.with_name(self._path.name + "-wal"))
        return sum(file.stat().st_size for file in files if file.exists())


def _jobs(answer: Any) -> int:
    """Jobs that an answer speaks of: a number, or the groups of a stream."""
    if isinstance(answer, redis.ResponseError):
        # A stream that nobody has made yet, or a key that has another type with priorities.
        if "no such key" in str(answer) or str(answer).startswith("WRONGTYPE"):
            return 0
        raise answer
    if isinstance(answer, int):
        return answer
    return sum(group["pending"] + (group.get("lag") or 0) for group in answer)
