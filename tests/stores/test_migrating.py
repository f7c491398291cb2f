"""From this release to the next: the way of a store to the layout after ours, and its mishaps."""

# ruff: noqa: ASYNC240 - a test has its loop for itself

from __future__ import annotations

import sqlite3
import subprocess
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from asyncmqd.backends.base import StoreError, StoreOutdated, StoreRefused
from asyncmqd.backends.redis import RedisBackend
from asyncmqd.backends.sqlite import SQLiteBackend
from tests.cluster import Cluster
from tests.daemon.harness import Daemon, Store, until
from tests.scale import scaled
from tests.servers import KINDS, USUAL, RedisServer
from tests.stores import sample
from tests.stores.make import expected, load_redis, load_sqlite, sqlite_store
from tests.stores.next_release import REDIS, SQLITE

Migrate = Callable[..., "subprocess.Popen[str]"]
MAIL = "[queues.mail]\n"
KEPT = f"sqlite-{SQLITE}"  # of the layout of this release, as in REDIS_KEPT
REDIS_KEPT = f"redis-{REDIS}"
COPY = f"jobs.db.layout-{SQLITE}"


def older(own: int) -> str:
    """What the next release says of a store of this one's layout."""
    return (
        f"expected layout {own + 1}, got {own}, which an older release wrote:"
        " run `asyncmq store migrate`"
    )


def newer(own: int) -> str:
    """What this release says of a store of the next one's layout."""
    return (
        f"expected layout {own}, got {own + 1}, which a newer release wrote: use that release,"
        f" or a backup of layout {own}"
    )


@pytest.fixture
def path(place: Path) -> Path:
    """A database of our layout that holds the sample."""
    load_sqlite(KEPT, place / "jobs.db")
    return place / "jobs.db"


@pytest.fixture(params=scaled(("redis6",), KINDS))
def redis(request: pytest.FixtureRequest, server: Callable[[str], RedisServer]) -> RedisServer:
    """A server whose keys are of our layout and hold the sample."""
    running = server(request.param)
    running.flush()
    with running.client() as client:
        load_redis(REDIS_KEPT, client)
    return running


def end(process: subprocess.Popen[str]) -> tuple[int, str]:
    """The exit code of a command, and all that it said."""
    out, err = process.communicate(timeout=60)
    assert "Traceback" not in err
    return process.returncode, out + err


def layout(path: Path) -> int:
    with closing(sqlite3.connect(path)) as connection:
        (found,) = connection.execute("PRAGMA user_version").fetchone()
        assert connection.execute("PRAGMA integrity_check").fetchone() == ("ok",)
    return int(found)


async def shows(store: SQLiteBackend | RedisBackend) -> Any:
    try:
        return await sample.shown(store)
    finally:
        await store.close()


# ---------------------------------------------------------------------- SQLite


async def test_only_who_is_told_to_migrates(path: Path, next_release: None) -> None:
    """An application of the next release must not change the store beneath an older daemon."""
    store = SQLiteBackend(f"sqlite://{path}")
    with pytest.raises(StoreOutdated) as raised:
        await store.counts(["mail"])
    await store.close()
    assert str(raised.value) == f"{path}: {older(SQLITE)}"
    assert layout(path) == SQLITE


async def test_the_command_migrates_after_a_backup(path: Path, migrate: Migrate) -> None:
    backup = path.with_name(COPY)
    assert end(migrate(f"sqlite://{path}")) == (
        0,
        f"migrated from layout {SQLITE} to {SQLITE + 1}; as it was: {backup}\n",
    )
    assert end(migrate(f"sqlite://{path}")) == (0, "the store has the layout of this release\n")
    assert (layout(path), layout(backup)) == (SQLITE + 1, SQLITE)
    assert await shows(sqlite_store(backup)) == expected(KEPT)


def test_what_is_in_the_place_of_the_copy_is_named(path: Path, migrate: Migrate) -> None:
    """Whoever shares the directory can put it there."""
    part = path.with_name(f"{COPY}.part")
    part.mkdir()
    code, text = end(migrate(f"sqlite://{path}"))
    assert (code, f"{part}: it cannot be removed" in text) == (1, True)
    assert layout(path) == SQLITE


async def test_a_migrated_store_shows_the_same(path: Path, next_release: None) -> None:
    store = sqlite_store(path)
    assert await store.migrate() is not None
    assert await store.migrate() is None
    assert await shows(store) == expected(KEPT)


async def test_this_release_refuses_the_next_ones_store(path: Path, migrate: Migrate) -> None:
    end(migrate(f"sqlite://{path}"))
    before = path.read_bytes()
    store = SQLiteBackend(f"sqlite://{path}")
    for work in (store.connect, store.migrate):
        with pytest.raises(StoreRefused):
            await work()
    await store.close()
    assert path.read_bytes() == before


def test_two_who_migrate_at_once_are_one_migration(path: Path, migrate: Migrate) -> None:
    outcomes = [end(each) for each in [migrate(f"sqlite://{path}") for _ in range(4)]]
    assert {code for code, _ in outcomes} == {0}
    assert sorted(text[:20] for _, text in outcomes) == [
        "migrated from layout",
        *["the store has the la"] * 3,
    ]
    assert layout(path.with_name(COPY)) == SQLITE


async def test_kill_9_in_the_middle_leaves_the_store_as_it_was(
    path: Path, migrate: Migrate, place: Path, seen: Callable[[str], None]
) -> None:
    killed = migrate(f"sqlite://{path}", hold=place / "held")
    until((place / "held").exists)
    killed.kill()
    killed.wait()
    path.with_name(f"{COPY}.part").touch()  # as if killed while it made the backup
    assert layout(path) == SQLITE
    assert await shows(sqlite_store(path)) == expected(KEPT)
    code, text = end(migrate(f"sqlite://{path}"))
    assert (code, text[:20]) == (0, "migrated from layout")
    assert layout(path) == SQLITE + 1
    seen("migration, SQLite: kill -9 in its middle: its layout as it was; the next one completes")


@pytest.mark.mounts
@pytest.mark.parametrize(("room", "done"), [(300, "the backup"), (1_100, "a step")])
async def test_a_full_disk_leaves_the_store_as_it_was(
    small_disk: Path, room: int, done: str, next_release: None, seen: Callable[[str], None]
) -> None:
    """So many KB are free beside a store of 700 KB: less than a copy, or a copy and little more."""
    path = small_disk / "jobs.db"
    load_sqlite(KEPT, path)
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("UPDATE jobs SET error = zeroblob(35000)")
        connection.commit()
        connection.execute("PRAGMA journal_mode = WAL")
    (small_disk / "ballast").write_bytes(bytes(_free(small_disk) - room * 1024))
    before = path.read_bytes()
    store = sqlite_store(path)
    with pytest.raises(StoreError, match="the disk is full") as raised:
        await store.migrate()
    assert path.read_bytes() == before
    assert path.with_name(COPY).exists() is (done == "a step"), raised.value
    assert not path.with_name(f"{COPY}.part").exists()
    (small_disk / "ballast").unlink()
    assert await store.migrate() is not None
    await store.close()
    assert layout(path) == SQLITE + 1
    seen(f"migration, SQLite: disk full in {done}: refused, the file unchanged to the byte")


def _free(directory: Path) -> int:
    return int(subprocess.check_output(["df", "-B1", "--output=avail", directory]).split()[-1])


# ---------------------------------------------------------------------- SQLite, daemons


def test_a_daemon_migrates_its_store_and_goes_on(
    place: Path, daemon: Callable[..., Daemon], as_next_release: str
) -> None:
    url = f"sqlite://{place}/jobs.db"
    current = daemon(url, MAIL).start()
    assert current.stop() == 0
    Store(url).add("mail", "mark", ["a", "b"])
    later = daemon(url, MAIL, tasks=[as_next_release, "ledger"]).start()
    told = later.wait_for("store.migrated")
    assert (told["before"], told["after"]) == (SQLITE, SQLITE + 1)
    assert told["backup"] == f"{place}/{COPY}"
    until(lambda: sorted(later.lines()) == ["a", "b"])
    assert later.stop() == 0
    assert Store(f"sqlite://{place}/{COPY}").counts("mail").waiting == 2
    # And back again: this release says what is the matter, and nobody has to read a traceback.
    refused = daemon(url, MAIL).start(ready=False)
    assert refused.wait() == 1
    [failed] = refused.all("daemon.failed")
    assert failed["error"] == f"{place}/jobs.db: {newer(SQLITE)}"
    assert "exc_info" not in failed


def test_nobody_migrates_beneath_a_living_daemon(
    place: Path, daemon: Callable[..., Daemon], as_next_release: str, migrate: Migrate
) -> None:
    """What runs in it would be run again by the next release."""
    url = f"sqlite://{place}/jobs.db"
    current = daemon(url, MAIL).start()
    Store(url).add("mail", "hold", ["a"])
    until(lambda: current.lines("began"))
    in_use = f"{place}/jobs.db: layout {SQLITE} is in use by 1 daemon of an older release ("
    code, text = end(migrate(url))
    assert (code, in_use in text) == (1, True), text
    later = daemon(url, MAIL, name="later", tasks=[as_next_release, "ledger"]).start(ready=False)
    assert in_use in later.wait_for("daemon.degraded")["error"]
    current.open_gate()
    current.wait_for("job.completed", job_id="a")
    assert current.stop() == 0
    later.wait_for("daemon.ready")
    assert later.all("store.migrated")
    assert later.stop() == 0
    assert current.lines("began") == ["a"]


def test_a_daemon_whose_store_is_migrated_beneath_it_stops_writing(
    place: Path, daemon: Callable[..., Daemon], migrate: Migrate
) -> None:
    url = f"sqlite://{place}/jobs.db"
    current = daemon(url, MAIL).start()
    Store(url).add("mail", "hold", ["a"])
    until(lambda: current.lines("began"))
    with closing(sqlite3.connect(place / "jobs.db")) as connection, connection:
        connection.execute("DELETE FROM workers")  # as if it had been silent for too long
        connection.execute(
            "CREATE TRIGGER silent BEFORE INSERT ON workers BEGIN SELECT RAISE(IGNORE); END"
        )
    assert end(migrate(url))[0] == 0
    current.open_gate()
    assert newer(SQLITE) in current.wait_for("daemon.degraded")["error"]
    current.kill()
    with closing(sqlite3.connect(place / "jobs.db")) as connection:
        row = connection.execute("SELECT place, token, result FROM jobs").fetchone()
    assert row == ("active", 1, b"")  # until its lease ends; then the next release runs it


# ---------------------------------------------------------------------- Redis


async def test_redis_is_migrated_by_the_command(redis: RedisServer, migrate: Migrate) -> None:
    old = RedisBackend(redis.url)
    assert await sample.shown(old) == expected(REDIS_KEPT)
    assert end(migrate(redis.url)) == (0, f"migrated from layout {REDIS} to {REDIS + 1}\n")
    assert end(migrate(redis.url)) == (0, "the store has the layout of this release\n")
    # Who was connected all the while writes nothing any more.
    for write in (
        lambda: old.add("mail", [sample.job("late")]),
        lambda: old.add("mail", [sample.job("late"), sample.job("later")]),
        lambda: old.turn("mail", [], 1, 60.0, "w"),
    ):
        with pytest.raises(
            StoreRefused, match=f"expected layout {REDIS}, got {REDIS + 1}: the store was migrated"
        ):
            await write()
    await old.close()
    with pytest.raises(StoreRefused) as raised:
        await old.connect()
    await old.close()
    assert newer(REDIS) in str(raised.value)
    check_tenants(redis)


async def test_redis_is_not_migrated_beneath_a_living_daemon(
    redis: RedisServer, migrate: Migrate
) -> None:
    old = RedisBackend(redis.url)
    await old.beat("web1/a", b"{}", 60.0)
    await old.beat("web2/b", b"{}", 60.0)
    in_use = f"layout {REDIS} is in use by 2 daemons of an older release (web1/a, web2/b)"
    code, text = end(migrate(redis.url))
    assert (code, in_use in text) == (1, True), text
    await old.add("mail", [sample.job("late")])  # nothing has been done
    await old.leave("web1/a")
    await old.leave("web2/b")
    await old.close()
    assert end(migrate(redis.url))[0] == 0


async def test_a_migrated_redis_shows_the_same(redis: RedisServer, next_release: None) -> None:
    store = RedisBackend(redis.url)
    with pytest.raises(StoreOutdated) as raised:
        await store.counts(["mail"])
    assert older(REDIS) in str(raised.value)
    assert await store.migrate() is not None
    assert await shows(store) == expected(REDIS_KEPT)


async def test_a_killed_migration_of_redis_is_begun_anew(
    redis: RedisServer, migrate: Migrate, place: Path, seen: Callable[[str], None]
) -> None:
    old = RedisBackend(redis.url)
    await old.connect()
    killed = migrate(redis.url, hold=place / "held")
    until((place / "held").exists)
    with pytest.raises(StoreRefused):  # from the first moment on
        await old.claim("mail", 1, 60.0, "w")
    await old.close()
    code, text = end(migrate(redis.url))
    assert code == 1
    assert "another process is migrating the store; if it was killed, try again in 60 s" in text
    killed.kill()
    killed.wait()
    with redis.client() as client:
        assert client.get("asyncmq:layout") == b"%d" % REDIS
        assert 0 < client.pttl("asyncmq:migrating") <= 60_000
        client.delete("asyncmq:migrating")  # as those 60 s would
    assert end(migrate(redis.url)) == (0, f"migrated from layout {REDIS} to {REDIS + 1}\n")
    check_tenants(redis)
    seen("migration, Redis: kill -9 in its middle: older clients shut out, the next one completes")


def check_tenants(redis: RedisServer) -> None:
    """The next layout is complete, and the jobs are there."""
    wanted = expected(REDIS_KEPT)
    with redis.client() as client:
        assert client.get("asyncmq:layout") == b"%d" % (REDIS + 1)
        assert not client.exists("asyncmq:migrating")
        for queue in sample.QUEUES:
            ids = {job["id"] for jobs in wanted[queue]["jobs"].values() for job in jobs}
            assert {key.decode() for key in client.hkeys(f"asyncmq:{{{queue}}}:tenants")} == ids


async def test_a_cluster_is_migrated_by_the_command(
    place: Path, migrate: Migrate, seen: Callable[[str], None]
) -> None:
    """On all of its nodes: a queue is shut to the older release wherever it lives."""
    names = [f"q{number}" for number in range(12)]
    with Cluster(USUAL, place) as cluster:
        assert {cluster.owner(name) for name in names} == {*cluster.masters}
        old = RedisBackend(cluster.url)
        for name in names:
            await old.add(name, [sample.job(f"j{number}") for number in range(6)])
        assert end(migrate(cluster.url)) == (0, f"migrated from layout {REDIS} to {REDIS + 1}\n")
        assert end(migrate(cluster.url)) == (0, "the store has the layout of this release\n")
        for name in names:
            with pytest.raises(StoreRefused, match=f"expected layout {REDIS}, got {REDIS + 1}"):
                await old.claim(name, 1, 60.0, "w")
            with cluster.owner(name).client() as client:
                assert client.hlen(f"asyncmq:{{{name}}}:tenants") == 6
        await old.close()
    seen(f"migration, cluster: {len(names)} queues on 3 masters, all shut to the older release")


def test_a_daemon_leaves_the_moment_to_the_administrator(
    redis: RedisServer, daemon: Callable[..., Daemon], as_next_release: str, migrate: Migrate
) -> None:
    """Daemons of the older release may be at work on other hosts."""
    later = daemon(redis.url, MAIL, tasks=[as_next_release, "ledger"]).start(ready=False)
    assert later.wait() == 1
    [failed] = later.all("daemon.failed")
    assert older(REDIS) in failed["error"]
    assert end(migrate(redis.url))[0] == 0
    later.kill()
    later.start()
    until(lambda: "first" in later.lines())
    assert later.stop() == 0
