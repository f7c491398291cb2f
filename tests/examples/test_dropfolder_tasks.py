"""The drop folder's tasks, as its author would test them: with asyncmqd.testing."""

from __future__ import annotations

import asyncio
import gzip
import hashlib
import os
import threading
from collections.abc import Iterator
from datetime import UTC, datetime
from http import HTTPStatus
from pathlib import Path

import pytest
from dropfolder import catalog, places, scanner
from dropfolder.endpoint import FlakyEndpoint
from dropfolder.tasks import announce, archive, index, report, tidy

from asyncmqd import Queue, State, testing
from tests.eventually import eventually

TEXT = "Ada wrote to Ada: the engine weaves patterns.\n"
DIGEST = hashlib.sha256(TEXT.encode()).hexdigest()


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("DROPFOLDER", str(tmp_path))
    return tmp_path


@pytest.fixture
def app() -> Iterator[testing.App]:
    with testing.app() as app:
        yield app


@pytest.fixture
def endpoint(monkeypatch: pytest.MonkeyPatch) -> Iterator[FlakyEndpoint]:
    with FlakyEndpoint() as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        monkeypatch.setenv("DROPFOLDER_ENDPOINT", server.url)
        yield server
        server.shutdown()
        thread.join()


def drop(name: str = "letter.txt", content: bytes = TEXT.encode()) -> None:
    """Put a file into the inbox and have the scanner take it."""
    (places.folder("inbox") / name).write_bytes(content)
    seen: dict[str, scanner.Stamp] = {}
    assert scanner.take(seen) == []
    assert len(scanner.take(seen)) == 1


async def enqueue_taken() -> None:
    await scanner.enqueue(Queue("archive"), scanner.taken())


async def test_the_whole_way_of_a_file(app: testing.App, endpoint: FlakyEndpoint):
    drop()
    await enqueue_taken()
    ran = await app.run_dry(raise_failures=True)
    assert [each.task for each in ran] == [archive.name, index.name, announce.name]
    assert gzip.decompress((places.folder("archive") / f"{DIGEST}.gz").read_bytes()) == (
        TEXT.encode()
    )
    assert catalog.find("ada") == [("letter.txt", 2)]
    assert list(places.folder("inbox").iterdir()) == list(places.folder("taken").iterdir()) == []
    refused = endpoint.answers[HTTPStatus.SERVICE_UNAVAILABLE]
    assert refused >= 2
    assert endpoint.answers[HTTPStatus.NO_CONTENT] == 1
    assert ran[-1].attempt == refused + 1


async def test_a_second_run_of_every_job_changes_nothing(app: testing.App, endpoint: FlakyEndpoint):
    drop()
    await enqueue_taken()
    ran = await app.run_dry(raise_failures=True)
    before = catalog.find("engine"), catalog.totals(today())
    for each in ran:
        job = await Queue(each.queue).get(each.id)
        assert job is not None
        await job.retry()
    again = await app.run_dry(raise_failures=True)
    assert sorted(each.id for each in again) == sorted(each.id for each in ran)
    after = catalog.find("engine"), catalog.totals(today())
    assert after[0] == before[0]
    assert after[1]["files"] == after[1]["announcements"] == 1


async def test_a_run_that_died_before_its_last_step_is_done_again(
    app: testing.App, endpoint: FlakyEndpoint, monkeypatch: pytest.MonkeyPatch
):
    drop()
    await enqueue_taken()

    def die(_: Path) -> None:
        raise OSError("killed here")

    with monkeypatch.context() as patch:
        patch.setattr(Path, "unlink", die)
        await app.run_dry("archive", max_jobs=4)
    (failed,) = await Queue("archive").jobs(State.FAILED)
    await failed.retry()
    await app.run_dry(raise_failures=True)
    assert scanner.taken() == []
    assert (await Queue("index").counts()).completed == 1  # not one for each run of `archive`
    assert catalog.totals(today())["files"] == 1


async def test_the_same_content_twice_counts_its_words_once(
    app: testing.App, endpoint: FlakyEndpoint
):
    drop("one.txt")
    drop("two.txt")
    await enqueue_taken()
    await app.run_dry(raise_failures=True)
    assert catalog.find("ada") == [("one.txt", 2), ("two.txt", 2)]
    assert ("ada", 2) in catalog.top_words(today(), 20)


async def test_a_file_that_is_no_text_is_archived_and_has_no_words(
    app: testing.App, endpoint: FlakyEndpoint
):
    drop("noise.bin", b"\xff\x00" * 100)
    await enqueue_taken()
    ran = await app.run_dry(raise_failures=True)
    assert [each.result for each in ran if each.task == index.name] == [0]


async def test_an_endpoint_that_refuses_for_good_is_not_asked_again(
    app: testing.App, endpoint: FlakyEndpoint, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(endpoint, "answer", lambda _: HTTPStatus.FORBIDDEN)
    await announce.enqueue(DIGEST, "letter.txt")
    (ran,) = await app.run_dry()
    assert (ran.state, ran.attempt) == (State.FAILED, 1)


async def test_an_endpoint_that_is_away_is_tried_until_it_is_back(
    app: testing.App, endpoint: FlakyEndpoint, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setenv("DROPFOLDER_ENDPOINT", "http://127.0.0.1:1")
    await announce.enqueue(DIGEST, "letter.txt")
    (ran,) = await app.run_dry()
    assert (ran.state, ran.attempt) == (State.FAILED, 31)
    monkeypatch.setenv("DROPFOLDER_ENDPOINT", endpoint.url)
    job = await Queue("announce").get(ran.id)
    assert job is not None
    await job.retry()
    (ran,) = await app.run_dry()
    assert ran.state is State.COMPLETED


async def test_the_report_of_the_day(app: testing.App, endpoint: FlakyEndpoint):
    drop()
    await enqueue_taken()
    await report.enqueue()
    await app.run_dry(raise_failures=True)
    await report.enqueue()
    await app.run_dry(raise_failures=True)
    text = (places.folder("reports") / f"{today()}.md").read_text()
    assert "- files: 1\n" in text
    assert "| ada | 2 |" in text


async def test_only_what_was_left_for_an_hour_is_tidied_away(app: testing.App):
    old, new = (places.folder("archive") / name for name in (".old.part", ".new.part"))
    old.touch()
    new.touch()
    os.utime(old, (0, 0))
    await tidy.enqueue()
    await app.run_dry(raise_failures=True)
    assert [old.exists(), new.exists()] == [False, True]


def test_a_file_is_taken_when_it_has_stopped_growing():
    file = places.folder("inbox") / "growing.txt"
    seen: dict[str, scanner.Stamp] = {}
    for size in (1, 2, 3):
        file.write_text("x" * size)
        assert scanner.take(seen) == []
    (places.folder("inbox") / ".hidden").touch()
    (places.folder("inbox") / "directory").mkdir()
    assert [name for _, name in scanner.take(seen)] == ["growing.txt"]
    assert scanner.take(seen) == []


async def test_a_file_that_was_taken_gets_one_job_over_restarts(app: testing.App):
    drop()
    for _ in range(3):
        await enqueue_taken()
    assert (await Queue("archive").counts()).waiting == 1


async def test_the_scanner_finds_what_is_there_and_what_comes(app: testing.App):
    drop("left by a former life.txt")
    (places.folder("inbox") / "new.txt").write_text(TEXT)
    scanning = asyncio.create_task(scanner.inbox("archive", app.backend, 0.005))

    async def both_enqueued() -> bool:
        return (await Queue("archive").counts()).waiting == 2

    await eventually(both_enqueued)
    scanning.cancel()
    await asyncio.wait([scanning])


def test_many_writers_do_not_get_in_each_others_way():
    counts = {f"word{number}": number for number in range(200)}

    def write(number: int) -> None:
        catalog.set_words(f"{number}", counts)
        catalog.add_file(f"{number}", f"file{number}", 1, 1)

    threads = [threading.Thread(target=write, args=(number,)) for number in range(12)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(catalog.find("word7")) == 12


def today() -> str:
    return datetime.now(UTC).date().isoformat()
