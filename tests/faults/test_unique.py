"""One unique name, which many processes enqueue while those that run it are killed."""

from __future__ import annotations

import itertools
import statistics
import time
from collections.abc import Sequence
from pathlib import Path

import pytest

from asyncmqd.backends.factory import open_backend
from asyncmqd.client.pending import CallOptions, add_one, pending
from asyncmqd.domain.job import Record
from asyncmqd.domain.typed_keywords import OnConflict
from tests.daemon.conftest import mostly_on
from tests.faults.conftest import Scene
from tests.faults.forked import ended, fork
from tests.faults.ledger import QUEUE, note, records_of
from tests.scale import scaled

NAME = "the only one"
NAP = scaled(0.02, 0.1)  # seconds that a job of it takes
LOOK = 0.01  # seconds between two looks, which leave the processor to whom they look at


async def insist(url: str, notes: str, count: int, enough: str) -> None:
    """Enqueue the same job `count` times, and until that file is there; note which one there is.

    For `fork`.
    """
    backend = open_backend(url)
    try:
        for number in itertools.count(1):
            if number > count and Path(enough).exists():  # noqa: ASYNC240 - it takes no time
                break
            wanted = pending("nap", [NAP], {}, CallOptions(unique=NAME))
            job = await add_one(backend, QUEUE, wanted)
            note(notes, "found" if job.existed else "new", [job.id])
    finally:
        await backend.close()


async def change(url: str, notes: str, name: str, count: int) -> None:
    """Enqueue under one name with ever newer arguments, and note who has them. For `fork`."""
    backend = open_backend(url)
    try:
        for number in range(count):
            what: OnConflict = ("replace", "push", "again")[number % 3]
            options = CallOptions(unique=name, delay=0.02, on_conflict=what)
            job = await add_one(backend, QUEUE, pending("tell", [f"{name}{number}"], {}, options))
            accepted = job.replaced or not job.existed
            assert accepted or what != "again", "arguments were lost"
            if accepted:
                note(notes, "accepted", [f"{job.id} {name}{number}"])
    finally:
        await backend.close()


def told(notes: Path, word: str) -> list[str]:
    """The ids that were noted with this word."""
    lines = notes.read_text().splitlines() if notes.exists() else []
    return [id for each, id in map(str.split, lines) if each == word]


@pytest.mark.timeout(900)
@pytest.mark.row("U01", "kill -9 of daemons while many processes enqueue one unique name")
@mostly_on("valkey9")
def test_a_name_never_has_two_live_jobs(scene: Scene, figure):
    producers, each, kills = scaled((3, 150, 2), (8, 1_250, 20))
    daemons = [scene.daemon(name, top="lease = 1").start() for name in "ab"]
    enough = scene.place / "enough"
    order = (scene.store.url, str(scene.notes), each, str(enough))
    makers = [fork(insist, *order) for _ in range(producers)]
    killed, most = 0, 0
    for victim in itertools.cycle(daemons):
        counts = scene.store.counts(QUEUE)
        most = max(most, counts.waiting + counts.delayed + counts.active)
        # Between two kills some more jobs of the name have begun, so that each kill meets one.
        if killed < kills and counts.active and counts.completed >= 3 * killed:
            victim.kill()
            victim.start()
            killed += 1
        if killed == kills:
            enough.touch()
        if all(maker.exitcode is not None for maker in makers):
            break
        time.sleep(LOOK)
    assert [ended(maker, 60) for maker in makers] == [0] * producers
    assert killed == kills
    scene.until_quiet()
    last = fork(insist, *order[:2], 1, str(enough))
    assert ended(last, 60) == 0
    new, found = told(scene.notes, "new"), told(scene.notes, "found")
    assert len(new) + len(found) > producers * each
    assert set(found) <= set(new)
    assert len(set(new)) == len(new)
    assert scene.notes.read_text().splitlines()[-1].startswith("new ")  # once the last has ended
    scene.until_quiet()
    counts = scene.store.counts(QUEUE)
    assert counts.completed + counts.failed == len(new)
    assert (
        counts.failed <= killed // 3
    )  # one that ran at three kills is poison for all that is known
    assert most == 1
    gaps = free_for(records_of(scene.store, new))
    interrupted = sum(e["event"] == "job.recovered" for d in daemons for e in d.history)
    figure(
        f"{len(new) + len(found)} enqueues, {len(new)} jobs, {killed} kills, {interrupted} of"
        f" them of its holder; most live: {most}; from an end to the next enqueue that was"
        f" accepted: p50 {1e3 * statistics.median(gaps):.1f} ms, most {1e3 * gaps[-1]:.1f} ms"
    )


def free_for(ends: Sequence[Record]) -> list[float]:
    """Seconds from the end of each holder of the name to the next one, sorted.

    Those who enqueue never pause, so that this is how late the name was free: but for the very
    last one, which came when all was quiet.
    """
    ordered = sorted(ends, key=lambda job: job.created)[:-1]
    return sorted(
        later.created - (earlier.finished or 0.0) for earlier, later in itertools.pairwise(ordered)
    )


@pytest.mark.row(
    "U02", "kill -9 of daemons while jobs get newer arguments, or successors that have them"
)
@mostly_on("sqlite")
def test_a_run_has_the_newest_arguments_that_were_accepted(scene: Scene, figure):
    each, kills = scaled((150, 2), (2_000, 20))
    daemons = [scene.daemon(name, top="lease = 1").start() for name in "ab"]
    makers = [fork(change, scene.store.url, str(scene.notes), name, each) for name in "xyz"]
    killed = 0
    for victim in itertools.cycle(daemons):
        accepted = scene.notes.read_text().count("\n") if scene.notes.exists() else 0
        if killed < kills and accepted >= (killed + 1) * each // (kills + 1):
            victim.kill()
            victim.start()
            killed += 1
        if all(maker.exitcode is not None for maker in makers):
            break
        time.sleep(LOOK)
    assert [ended(maker, 60) for maker in makers] == [0] * len(makers)
    scene.until_quiet()
    lines = [line.split() for line in scene.notes.read_text().splitlines()]
    newest = {id: word for _, id, word in lines}
    ran = [line.split() for line in daemons[0].ledger.read_text().splitlines()]
    assert {(id, word) for word, _, id, *_ in ran} == set(newest.items())
    replaced = len(lines) - len(newest)
    assert replaced
    figure(f"{3 * each} enqueues, {len(newest)} jobs, {replaced} replaced, {killed} kills")
