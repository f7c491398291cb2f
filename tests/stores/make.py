"""Write the sample in the layout of this release, to be kept for all later ones.

`python -m tests.stores.make` writes tests/stores/{sqlite,redis}-<layout> with what they show, once
for each layout: a store that was kept is never written anew, also when the sample has grown since.
"""

from __future__ import annotations

import asyncio
import json
import sqlite3
import tempfile
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import redis

from asyncmqd.backends.base import BaseBackend
from asyncmqd.backends.redis import RedisBackend, scripts
from asyncmqd.backends.sqlite import SQLiteBackend
from asyncmqd.backends.sqlite import file as database
from tests.servers import RedisServer
from tests.stores import sample

KEPT = Path(__file__).parent
MOMENT = 1_750_000_000.0  # Unix seconds: when the sample was written, by its SQLite store's clock
BOOT = "11111111-2222-3333-4444-555555555555"


def sqlite_store(path: Path) -> SQLiteBackend:
    """A store whose clocks stand at the moment of the sample."""
    url = f"sqlite://{path}"
    return SQLiteBackend(url, now=lambda: MOMENT, since_boot=lambda: 1_000.0, boot=BOOT)


def load_sqlite(name: str, path: Path) -> None:
    """Make the database that was kept as `name`."""
    with closing(sqlite3.connect(path)) as connection:
        connection.executescript((KEPT / f"{name}.sql").read_text("utf-8"))


def load_redis(name: str, client: redis.Redis) -> None:
    """Fill an empty server with the keys that were kept as `name`."""
    for line in (KEPT / f"{name}.jsonl").read_text("utf-8").splitlines():
        client.execute_command(*(each.encode("latin-1") for each in json.loads(line)))


def expected(name: str) -> Any:
    """What the store that was kept as `name` showed when it was written."""
    return json.loads((KEPT / f"{name}.json").read_text("utf-8"))


# ---------------------------------------------------------------------- writing


async def _filled(store: BaseBackend) -> Any:
    await sample.fill(store)
    found = await sample.shown(store)
    await store.close()
    return found


def _keep(name: str, lines: list[str], found: Any) -> None:
    for path, text in (
        (KEPT / name, "\n".join(lines)),
        (KEPT / f"{Path(name).stem}.json", json.dumps(found, indent=1, sort_keys=True)),
    ):
        with path.open("x", encoding="utf-8") as file:
            file.write(f"{text}\n")


def _make_sqlite(directory: Path) -> None:
    path = directory / "jobs.db"
    found = asyncio.run(_filled(sqlite_store(path)))
    with closing(sqlite3.connect(path)) as connection:
        pragmas = [
            f"PRAGMA application_id = {database.APPLICATION};",
            f"PRAGMA user_version = {database.LAYOUT};",
        ]
        _keep(f"sqlite-{database.LAYOUT}.sql", [*pragmas, *connection.iterdump()], found)


def _make_redis(directory: Path) -> None:
    with RedisServer("redis6", directory) as server:
        found = asyncio.run(_filled(RedisBackend(server.url)))
        with server.client() as client:
            keys = sorted(client.keys())
            lines = [_line(command) for key in keys for command in _commands(client, key)]
    _keep(f"redis-{scripts.LAYOUT}.jsonl", lines, found)


def _line(command: tuple[bytes, ...]) -> str:
    return json.dumps([each.decode("latin-1") for each in command])


def _commands(client: redis.Redis, key: bytes) -> Iterator[tuple[bytes, ...]]:
    """What makes a key anew: plain commands, because dumps are bound to a server's release."""
    match client.type(key):
        case b"string":
            yield b"SET", key, client.get(key)
        case b"hash":
            for field, value in sorted(client.hgetall(key).items()):
                yield b"HSET", key, field, value
        case b"set":
            for member in sorted(client.smembers(key)):
                yield b"SADD", key, member
        case b"zset":
            for member, score in client.zrange(key, 0, -1, withscores=True):
                yield b"ZADD", key, f"{score:.0f}".encode(), member
        case other:
            raise AssertionError(f"{key!r} is a {other!r}")


if __name__ == "__main__":
    for name, make in (
        (f"sqlite-{database.LAYOUT}", _make_sqlite),
        (f"redis-{scripts.LAYOUT}", _make_redis),
    ):
        if not (KEPT / f"{name}.json").exists():
            with tempfile.TemporaryDirectory() as directory:
                make(Path(directory))
