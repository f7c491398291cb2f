"""One unique name, which many processes enqueue while those that run it are killed."""

from __future__ import annotations

import itertools
import time
from pathlib import Path

import pytest

from asyncmqd.backends.factory import open_backend
from asyncmqd.client.pending import CallOptions, add_one, pending
from asyncmqd.domain.typed_keywords import OnConflict
from tests.daemon.conftest import mostly_on
from tests.faults.conftest import Scene
from tests.faults.forked import ended, fork
from tests.faults.ledger import QUEUE, note
from tests.scale import scaled

NAME = "the only one"

LOOK = 0.01  # seconds between two looks, which leave the processor to whom they look at


async def insist(url: str, notes: str, count: int) -> None:
    """Enqueue the same job again and again, and note which one the store has. For `fork`."""
    backend = open_backend(url)
    try:
        for _ in range(count):
            wanted = pending("nap", [0.01], {}, CallOptions(unique=NAME))
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


@pytest.mark.row("U01", "kill -9 of daemons while many processes enqueue one unique name")
@mostly_on("valkey9")
def test_a_name_never_has_two_live_jobs(scene: Scene, figure):
    producers, each, kills = scaled((3, 200, 2), (8, 1_250, 20))
    daemons = [scene.daemon(name, top="lease = 1").start() for name in "ab"]
    makers = [fork(insist, scene.store.url, str(scene.notes), each) for _ in range(producers)]
    killed, most, looks = 0, 0, 0
    for victim in itertools.cycle(daemons):
        counts = scene.store.counts(QUEUE)
        most, looks = max(most, counts.waiting + counts.delayed + counts.active), looks + 1
        answered = len(told(scene.notes, "new")) + len(told(scene.notes, "found"))
        if killed < kills and answered >= (killed + 1) * producers * each // (kills + 1):
            victim.kill()
            victim.start()
            killed += 1
        if all(maker.exitcode is not None for maker in makers):
            break
        time.sleep(LOOK)
    assert [ended(maker, 60) for maker in makers] == [0] * producers
    scene.until_quiet()
    last = fork(insist, scene.store.url, str(scene.notes), 1)
    assert ended(last, 60) == 0
    new, found = told(scene.notes, "new"), told(scene.notes, "found")
    assert len(new) + len(found) == producers * each + 1
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
    figure(f"{len(new) + len(found)} enqueues, {len(new)} jobs, {killed} kills; most live: {most}")


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
