"""A store of every layout there has been: this release opens it, and each job is as it was."""

from __future__ import annotations

import re
import sqlite3
from collections.abc import AsyncIterator, Iterable
from contextlib import closing
from pathlib import Path

import pytest

from asyncmqd.backends.base import BaseBackend
from asyncmqd.backends.redis import RedisBackend, scripts
from asyncmqd.backends.sqlite import file
from asyncmqd.backends.sqlite.corruption import damage
from asyncmqd.domain.job import Record
from asyncmqd.domain.states import State
from tests.contract.audit import audit
from tests.servers import KINDS
from tests.stores.make import KEPT, expected, load_redis, load_sqlite, sqlite_store
from tests.stores.sample import change, payload, shown

SQLITE = sorted(path.stem for path in KEPT.glob("sqlite-*.sql"))
REDIS = sorted(path.stem for path in KEPT.glob("redis-*.jsonl"))
STORES = [*((name, "") for name in SQLITE), *((name, kind) for name in REDIS for kind in KINDS)]

LENGTHS = "SELECT length(payload) FROM large_payloads ORDER BY 1"


@pytest.fixture(params=STORES, ids=lambda each: " ".join(each).strip())
async def store(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[BaseBackend]:
    """A store that was kept, in the layout of this release."""
    name, kind = request.param
    opened: BaseBackend
    if kind:
        server = request.getfixturevalue("server")(kind)
        server.flush()
        with server.client() as client:
            load_redis(name, client)
        opened = RedisBackend(server.url)
    else:
        load_sqlite(name, tmp_path / "jobs.db")
        opened = sqlite_store(tmp_path / "jobs.db")
    await opened.migrate()
    yield opened
    await opened.close()


def test_every_layout_is_kept() -> None:
    assert {f"sqlite-{number}" for number in range(1, file.LAYOUT + 1)} == set(SQLITE)
    assert {f"redis-{number}" for number in range(1, scripts.LAYOUT + 1)} == set(REDIS)


async def test_every_job_is_as_it_was(store: BaseBackend, request: pytest.FixtureRequest) -> None:
    (name, _) = request.node.callspec.params["store"]
    wanted = expected(name)
    states = {str(state) for state in State}
    found = {state for queue in wanted.values() for state, jobs in queue["jobs"].items() if jobs}
    assert states - found <= {State.BLOCKED}  # which older layouts had not
    assert await shown(store) == wanted


async def test_every_job_goes_on(store: BaseBackend, request: pytest.FixtureRequest) -> None:
    """Whatever led to its state, a job of an older release can be led on from it."""
    (name, _) = request.node.callspec.params["store"]
    waiting = [each.id for each in await store.list("mail", State.WAITING)]
    claims = await store.claim("mail", 100, 60.0, "w")
    assert [claim.id for claim in claims] == waiting[: len(claims)]
    assert len(claims) == len(waiting) - 1  # one is parked
    assert all(claim.payload == payload(claim.id) for claim in claims)
    ends = [change(claim, "succeed", result=b"1") for claim in claims]
    assert set(await store.apply("mail", ends)) == {"applied"}
    [note] = await store.list("mail", State.ACTIVE)
    assert await store.apply("mail", [change(note, "succeed")]) == ["applied"]
    assert await store.unpark("mail", ["mod.unknown"]) == 1
    for state in (State.FAILED, State.EXPIRED, State.CANCELLED, State.COMPLETED):
        ended = await store.list("mail", state)
        again = [change(each, "replay", outside=True) for each in ended]
        assert await store.apply("mail", again) == ["applied"] * len(ended)
    delayed = await store.list("mail", State.DELAYED)
    run_now = [change(each, "run_now", outside=True) for each in delayed]
    assert await store.apply("mail", run_now) == ["applied"] * len(delayed)
    total = (await store.counts(["mail"]))["mail"].waiting
    assert total == sum(len(jobs) for jobs in expected(name)["mail"]["jobs"].values())
    assert len(await store.claim("mail", 100, 60.0, "w")) == total


async def test_the_large_payloads_of_layout_1_are_set_apart(tmp_path: Path) -> None:
    path = tmp_path / "jobs.db"
    load_sqlite("sqlite-1", path)
    payloads = {"first": b"x" * 1_000, "succeed": b"y" * 1_001, "delayed": b"z" * 200_000}
    with closing(sqlite3.connect(path)) as connection:
        for id, large in payloads.items():
            connection.execute("UPDATE jobs SET payload = ? WHERE id = ?", (large, id))
        connection.execute(
            "UPDATE tallies SET bytes = bytes + ? WHERE line = '#expiry'",
            (1_001 - len(payload("succeed")),),
        )
        connection.commit()
    opened = sqlite_store(path)
    await opened.migrate()
    assert {id: each and each.payload for id, each in await found(opened, payloads)} == payloads
    await audit(opened, "mail")
    assert await opened._read(lambda view: view.execute(LENGTHS).fetchall()) == [
        (1_001,),
        (200_000,),
    ]
    assert await opened.remove("mail", list(payloads)) == [True] * 3
    await audit(opened, "mail")
    assert await opened._read(lambda view: view.execute(LENGTHS).fetchall()) == []
    await opened.close()


async def test_the_lanes_of_layout_20_get_numbers(tmp_path: Path) -> None:
    path = tmp_path / "jobs.db"
    load_sqlite("sqlite-20", path)
    with closing(sqlite3.connect(path)) as connection:
        connection.executescript(
            """
            UPDATE jobs SET place = 'waiting#keyed', job_key = 'kunde é' WHERE id = 'low';
            UPDATE jobs SET job_key = 'kunde é' WHERE id = 'update';
            UPDATE tallies SET jobs = jobs - 1 WHERE queue = 'mail' AND line = 'waiting';
            UPDATE tallies SET jobs = jobs + 1 WHERE queue = 'mail' AND line = 'waiting#keyed';
            INSERT INTO lanes (queue, priority, lane, jobs, tag) VALUES
                ('mail', 200, 'kunde é', 1, 100), ('mail', 200, 'idle', 0, 10000);
            UPDATE limits SET declared =
                '{"since":1.0,"by":"a","limits":{"each_key":{"concurrency":2}}}'
                WHERE queue = 'mail';
            """
        )
        connection.commit()
    opened = sqlite_store(path)
    await opened.migrate()
    await audit(opened, "mail")
    claims = await opened.claim("mail", 100, 60.0, "w")
    assert "low" in {claim.id for claim in claims}
    assert "keyed" not in {claim.id for claim in claims}, "one that runs already has a permit"
    await audit(opened, "mail")
    await opened.close()


async def found(store: BaseBackend, ids: Iterable[str]) -> list[tuple[str, Record | None]]:
    return list(zip(ids, await store.get("mail", list(ids)), strict=True))


@pytest.mark.parametrize("name", SQLITE)
async def test_a_migrated_file_is_built_like_a_new_one(name: str, tmp_path: Path) -> None:
    load_sqlite(name, tmp_path / "old.db")
    for path in (tmp_path / "old.db", tmp_path / "new.db"):
        opened = sqlite_store(path)
        await opened.migrate()
        await opened.connect()
        await opened.close()
    assert schema(tmp_path / "old.db") == schema(tmp_path / "new.db")
    with closing(sqlite3.connect(tmp_path / "old.db")) as connection:
        assert damage(connection) is None, "each value is of the kind of its column"


def schema(path: Path) -> set[str]:
    """The tables and indexes, without comments and spacing."""
    with closing(sqlite3.connect(path)) as connection:
        found = connection.execute("SELECT sql FROM sqlite_master WHERE sql NOT NULL").fetchall()
    return {re.sub(r"--.*?(\n|$)|\s+", " ", sql).replace(" ", "") for (sql,) in found}
