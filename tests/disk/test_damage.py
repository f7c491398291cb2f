"""F29: a database that was cut short or has wrong bytes is refused in words, and left as it is."""

from __future__ import annotations

import random
import sqlite3
from collections import Counter
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest

from asyncmqd.backends.base import BaseBackend, StoreError
from asyncmqd.backends.sqlite.file import LAYOUT
from asyncmqd.domain.settle import Policy, Retention, Succeeded, settle
from tests.daemon.harness import Daemon
from tests.scale import scaled
from tests.stores.make import expected, load_sqlite, sqlite_store
from tests.stores.sample import shown

NEWEST = f"sqlite-{LAYOUT}"  # of the kept stores: all others are refused for their layout alone
FLIPS = scaled(60, 500, 5_000)
CUTS = (1, 99, 100, 511, 4_095, 4_096, 4_097, 12_288)


@pytest.fixture
def whole(tmp_path: Path) -> bytes:
    """The bytes of a sound store that holds the sample."""
    load_sqlite(NEWEST, tmp_path / "whole.db")
    return (tmp_path / "whole.db").read_bytes()


async def use(path: Path) -> str:
    """Open a file and use it in every way; how that went. Raises nothing but what it must not."""
    store = sqlite_store(path)
    try:
        await store.connect()
        found = await shown(store)
        await _work(store)
    except StoreError as error:
        return (
            "refused" if str(error).startswith(f"{path}: ") else f"refused without a name: {error}"
        )
    finally:
        await store.close()
    return "as it was" if found == expected(NEWEST) else "other values"


async def _work(store: BaseBackend) -> None:
    await store.move_due("mail")
    await store.unpark("mail", ["mod.unknown"])
    claims = await store.claim("mail", 100, 60.0, "w")
    await store.apply("mail", [settle(each, Succeeded(b"1"), Policy(), 0.5) for each in claims])
    await store.prune("mail", Retention(keep_completed=1))
    await store.outlook(["mail", "reports"])
    await store.expired("mail")


def _make_text(path: Path, column: str) -> None:
    """The type of a value stands before it in its row, and is not checked when it is read."""
    strict = "UPDATE sqlite_schema SET sql = {} WHERE name = 'jobs'"
    steps = (
        strict.format("replace(sql, 'STRICT', '')"),
        f"UPDATE jobs SET {column} = 'x'",
        strict.format("sql || ' STRICT'"),
    )
    for each in steps:
        with closing(sqlite3.connect(path)) as connection:
            connection.execute("PRAGMA writable_schema = ON")
            connection.execute(each)
            connection.commit()


@pytest.mark.parametrize("column", ["token", "failures", "crashes", "priority", "cost"])
async def test_a_number_that_damage_made_a_text_is_told_as_damage(
    tmp_path: Path, whole: bytes, column: str
) -> None:
    path = tmp_path / "text.db"
    path.write_bytes(whole)
    _make_text(path, column)
    assert await use(path) == "refused"


@pytest.mark.parametrize("column", ["token", "failures", "crashes"])
async def test_no_claim_has_a_text_for_a_number(tmp_path: Path, whole: bytes, column: str) -> None:
    path = tmp_path / "text.db"
    path.write_bytes(whole)
    _make_text(path, column)
    store = sqlite_store(path)
    with pytest.raises(StoreError, match=r"text\.db"):
        await store.claim("mail", 100, 60.0, "w")
    await store.close()


async def test_wrong_bytes_are_refused_in_words(
    tmp_path: Path, whole: bytes, seen: Callable[[str], None]
) -> None:
    draw = random.Random(29)
    outcomes: Counter[str] = Counter()
    for number in range(FLIPS):
        path = tmp_path / f"{number}.db"
        damaged = bytearray(whole)
        at = draw.randrange(len(damaged))
        damaged[at] ^= 1 << draw.randrange(8)
        path.write_bytes(damaged)
        try:
            outcomes[await use(path)] += 1
        except Exception as error:
            raise AssertionError(f"byte {at}: {type(error).__name__}: {error}") from error
        path.unlink(missing_ok=True)
    assert set(outcomes) <= {"as it was", "refused", "other values"}
    assert outcomes["as it was"] > FLIPS / 10, "most bits of a page are free, so this must occur"
    seen(f"F29 {FLIPS} x one wrong bit: {dict(outcomes)}, 0 errors that are not the store's own")


async def test_a_schema_that_is_no_text_is_refused(tmp_path: Path, whole: bytes) -> None:
    path = tmp_path / "jobs.db"
    path.write_bytes(whole.replace(b"CREATE TABLE jobs", b"CREATE TABL\xa0 jobs", 1))
    assert await use(path) == "refused"


@pytest.mark.parametrize("size", CUTS)
async def test_a_file_cut_short_is_refused_and_left_alone(
    tmp_path: Path, whole: bytes, size: int
) -> None:
    path = tmp_path / "cut.db"
    path.write_bytes(whole[:size])
    assert await use(path) == "refused"
    assert path.read_bytes() == whole[:size]


def test_a_daemon_says_so_and_ends(
    place: Path, whole: bytes, daemon: Callable[..., Daemon]
) -> None:
    path = place / "jobs.db"
    path.write_bytes(whole[:4_097])
    d = daemon(f"sqlite://{path}", "[queues.mail]\n").start(ready=False)
    assert d.wait() == 1
    [failed] = d.all("daemon.failed")
    assert "the file is corrupt: restore a backup" in failed["error"]
    assert "exc_info" not in failed
    assert d.stderr == ""
    assert path.read_bytes() == whole[:4_097]
