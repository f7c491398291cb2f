"""How late a job starts that a limit has held back, after the moment at which it may.

Only at full scale: the figures are what it is for.
"""

from __future__ import annotations

import os
import time
from collections import defaultdict
from itertools import pairwise
from pathlib import Path

import pytest

from asyncmqd.domain.states import State
from tests.faults.conftest import Scene
from tests.faults.ledger import QUEUE

JOBS = 200
GAP = 0.05  # seconds between two starts that a rate allows
NAP = 0.02  # seconds that a job takes
KEYS = ("a", "b", "c")
LIMITS = {
    "rate": f"global_rate_limit = {1 / GAP:g}\nglobal_burst = 1",
    "concurrency": "global_concurrency = 1",
    "rate of keys": f"key_rate_limit = {1 / GAP:g}\nkey_burst = 1",
    "concurrency of keys": "key_concurrency = 1",
}


@pytest.mark.timeout(600)
@pytest.mark.row("L05", "two daemons with jobs that wait for a limit")
@pytest.mark.parametrize("store", ["sqlite", "redis8", "valkey9"], indirect=True)
@pytest.mark.parametrize("limit", LIMITS)
def test_a_job_that_waits_for_a_limit_starts_at_its_moment(scene: Scene, limit: str, figure):
    keys = KEYS if "keys" in limit else ("j",)
    for name in "ab":
        scene.daemon(name, queue=f"concurrency = 8\n{LIMITS[limit]}\n").start()
    for key in keys:
        asked = {"key": key} if len(keys) > 1 else {}
        scene.enqueue(JOBS // len(keys), prefix=f"{key}:", task="nap", args=[NAP], **asked)
    scene.until_ran(JOBS // len(keys) * len(keys))
    late = sorted(by_rate(scene) if "rate" in limit else by_concurrency(scene.place))
    p50, p99 = (1e3 * late[round(share * (len(late) - 1))] for share in (0.5, 0.99))
    figure(
        f"{limit}: {len(late)} starts, late by p50 {p50:.1f}, p99 {p99:.1f}, most"
        f" {1e3 * late[-1]:.1f} ms (20 asked), load {os.getloadavg()[0]:.1f}"
    )


def began(place: Path, word: str = "began") -> dict[str, float]:
    """When each job began, in Unix seconds, by its id."""
    lines = (line.split() for line in (place / "ledger").read_text().splitlines())
    ahead = time.time() - time.monotonic()
    return {line[2]: float(line[5]) + ahead for line in lines if line[0] == word}


def by_rate(scene: Scene) -> list[float]:
    """Seconds from the moment that the last claim leaves room to the start of the job's code."""
    ends = scene.store.do(lambda backend: backend.list(QUEUE, State.COMPLETED, 0, JOBS))
    starts, claims = began(scene.place), defaultdict[str, list[tuple[float, str]]](list)
    for job in ends:
        claims[job.id.partition(":")[0]].append((job.started or 0.0, job.id))
    return [
        starts[id] - (before + GAP)
        for of_key in claims.values()
        for (before, _), (_, id) in pairwise(sorted(of_key))
    ]


def by_concurrency(place: Path) -> list[float]:
    """Seconds from the end of one job's code to the start of the next one's, of the same key."""
    starts, ends = began(place), began(place, "ran")
    order = defaultdict[str, list[str]](list)
    for id in sorted(starts, key=starts.__getitem__):
        order[id.partition(":")[0]].append(id)
    return [starts[later] - ends[first] for ids in order.values() for first, later in pairwise(ids)]
