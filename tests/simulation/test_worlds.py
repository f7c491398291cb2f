"""Worlds full of faults, each from one seed: no rule of the judge may be broken in any."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable

import pytest

from tests.scale import scaled
from tests.simulation.seeds import (
    CAPPED,
    COUNT,
    DENSE,
    FOLLOWED,
    HELD,
    IDLE,
    JUMPING,
    JUMPING_LIMITS,
    KEY_LIMITS,
    KEYED,
    LIMITED,
    OPERATED,
    POISONED,
    PRICED,
    REPLACED,
    SHARES,
    UNIQUE,
    WATCHED,
    play,
    play_capped,
    play_dense,
    play_followed,
    play_held,
    play_idle,
    play_jumping,
    play_jumping_limits,
    play_key_limits,
    play_keyed,
    play_limited,
    play_operated,
    play_poisoned,
    play_priced,
    play_replaced,
    play_unique,
    play_watched,
    regressions,
    summary,
)

TRACED = scaled(5, 12)


@pytest.mark.timeout(3_600)
@pytest.mark.parametrize("share", range(SHARES))
def test_many_seeds(share: int, seen: Callable[[str], None]) -> None:
    reports = [play(seed) for seed in range(share, COUNT, SHARES)]
    seen(f"simulation {share + 1} of {SHARES}: {summary(reports)}, 0 rules broken")


@pytest.mark.timeout(3_600)
@pytest.mark.parametrize("share", range(2))
def test_many_poisoned_seeds(share: int, seen: Callable[[str], None]) -> None:
    """Two or three poison jobs, and innocents that are on board at their crashes."""
    reports = [play_poisoned(seed) for seed in range(share, POISONED, 2)]
    seen(
        f"simulation with several poison jobs {share + 1} of 2: {summary(reports)},"
        " 0 innocents convicted"
    )


@pytest.mark.timeout(3_600)
@pytest.mark.parametrize("share", range(2))
def test_many_jumping_seeds(share: int, seen: Callable[[str], None]) -> None:
    """Nobody is recovered by a jump of the store's clock, and no schedule misses or repeats."""
    reports = [play_jumping(seed) for seed in range(share, JUMPING, 2)]
    seen(f"simulation with a clock that jumps {share + 1} of 2: {summary(reports)}, 0 rules broken")


@pytest.mark.timeout(3_600)
def test_many_seeds_of_jumping_limits(seen: Callable[[str], None]) -> None:
    """Limits and names hold through a jump of the store's clock, and nothing stays held by it."""
    reports = [play_jumping_limits(seed) for seed in range(JUMPING_LIMITS)]
    seen(f"simulation of limits and a clock that jumps: {summary(reports)}, 0 rules broken")


def test_a_successor_that_was_enqueued_while_the_clock_was_ahead() -> None:
    """It had no delay, and became due when the clock was there again: a year later."""
    play_jumping_limits(823)


def test_a_permit_that_was_kept_until_a_time_that_is_none_any_more() -> None:
    """A job of a key was cancelled and its process killed, and the clock was set back."""
    play_jumping_limits(424)


def test_one_seed_of_jumping_limits() -> None:
    """The world of SEED in the environment with limits and jumps, or the first."""
    play_jumping_limits(int(os.environ.get("SEED", "0")))


@pytest.mark.timeout(3_600)
def test_many_limited_seeds(seen: Callable[[str], None]) -> None:
    """No more jobs run in all processes together than may, and none waits while one may run."""
    reports = [play_limited(seed) for seed in range(LIMITED)]
    seen(f"simulation with a limit over all processes: {summary(reports)}, 0 rules broken")


def test_one_limited_seed() -> None:
    """The world of SEED in the environment with a limit over all processes, or the first."""
    play_limited(int(os.environ.get("SEED", "0")))


@pytest.mark.timeout(3_600)
def test_many_capped_seeds(seen: Callable[[str], None]) -> None:
    """No process runs more jobs than it has slots, and no queue is forgotten by the others."""
    reports = [play_capped(seed) for seed in range(CAPPED)]
    seen(f"simulation with slots that queues share: {summary(reports)}, 0 rules broken")


def test_one_capped_seed() -> None:
    """The world of SEED in the environment whose queues share slots, or the first."""
    play_capped(int(os.environ.get("SEED", "0")))


def test_a_clock_that_goes_back_and_comes_again_between_two_looks() -> None:
    """Leases were given meanwhile that had ended long ago by the time of who looked next."""
    play_jumping(85)


def test_one_jumping_seed() -> None:
    """The world of SEED in the environment whose clock jumps, or the first."""
    play_jumping(int(os.environ.get("SEED", "0")))


@pytest.mark.timeout(3_600)
def test_many_dense_seeds(seen: Callable[[str], None]) -> None:
    reports = [play_dense(seed) for seed in range(DENSE)]
    seen(f"simulation full of jobs and lost messages: {summary(reports)}, 0 rules broken")


@pytest.mark.timeout(3_600)
def test_many_unique_seeds(seen: Callable[[str], None]) -> None:
    """No name has two live jobs, and none is held by one that has ended."""
    reports = [play_unique(seed) for seed in range(UNIQUE)]
    seen(f"simulation of unique jobs: {summary(reports)}, 0 names with two live jobs")


@pytest.mark.timeout(3_600)
def test_many_keyed_seeds(seen: Callable[[str], None]) -> None:
    """Of two keys whose jobs wait all the time, none is ahead of its turn."""
    reports = [play_keyed(seed) for seed in range(KEYED)]
    seen(f"simulation of keys: {summary(reports)}, 0 turns out of order")


@pytest.mark.timeout(3_600)
def test_many_held_seeds(seen: Callable[[str], None]) -> None:
    """No job of a schedule begins beside the last one, and one at most is held back."""
    reports = [play_held(seed) for seed in range(HELD)]
    held = sum(report.edges.get("hold", 0) for report in reports)
    assert held, "no job was held back in any of these worlds"
    seen(f"simulation of jobs held back: {summary(reports)}, {held} held back, 0 began too early")


@pytest.mark.timeout(3_600)
def test_many_followed_seeds(seen: Callable[[str], None]) -> None:
    """The newest arguments run, in one successor of the job that runs."""
    reports = [play_followed(seed) for seed in range(FOLLOWED)]
    followed = sum(report.edges.get("unblock", 0) for report in reports)
    assert followed, "no job followed another in any of these worlds"
    seen(f"simulation of successors: {summary(reports)}, {followed} followed another")


@pytest.mark.timeout(3_600)
def test_many_replaced_seeds(seen: Callable[[str], None]) -> None:
    """The newest job of a schedule runs, and not before the code of the last one has ended."""
    reports = [play_replaced(seed) for seed in range(REPLACED)]
    edges = {name: sum(each.edges.get(name, 0) for each in reports) for name in _OF_REPLACED}
    assert all(edges.values()), edges
    told = ", ".join(f"{number} {name}" for name, number in edges.items())
    seen(f"simulation of jobs replaced: {summary(reports)}, {told}, 0 ran beside another")


_OF_REPLACED = ("replace of a job", "hold", "end of a ghost", "lapsed ghost")


def test_one_replaced_seed() -> None:
    """The world of jobs replaced of SEED in the environment, or the first."""
    play_replaced(int(os.environ.get("SEED", "0")))


def test_one_followed_seed() -> None:
    """The world of successors of SEED in the environment, or the first."""
    play_followed(int(os.environ.get("SEED", "0")))


def test_one_held_seed() -> None:
    """The world of jobs held back of SEED in the environment, or the first."""
    play_held(int(os.environ.get("SEED", "0")))


@pytest.mark.timeout(3_600)
def test_many_watched_seeds(seen: Callable[[str], None]) -> None:
    """Each change of a job is told once and in order, none that was not, and all of it is read."""
    reports = [play_watched(seed) for seed in range(WATCHED)]
    edges = {name: sum(each.edges.get(name, 0) for each in reports) for name in _OF_WATCHED}
    assert all(edges.values()), edges
    told = ", ".join(f"{number} {name}" for name, number in edges.items())
    seen(f"simulation of events: {summary(reports)}, {told}, 0 told twice or for nothing")


_OF_WATCHED = ("told", "read", "missed")


def test_one_watched_seed() -> None:
    """The world of SEED in the environment in which somebody watches, or the first."""
    play_watched(int(os.environ.get("SEED", "0")))


@pytest.mark.timeout(3_600)
def test_many_operated_seeds(seen: Callable[[str], None]) -> None:
    """Each job of a selection is moved once, and every operation ends, whoever dies."""
    reports = [play_operated(seed) for seed in range(OPERATED)]
    edges = {name: sum(each.edges.get(name, 0) for each in reports) for name in _OF_OPERATED}
    assert all(edges.values()), edges
    told = ", ".join(f"{number} {name}" for name, number in edges.items())
    seen(f"simulation of operations: {summary(reports)}, {told}, 0 jobs moved twice or forgotten")


_OF_OPERATED = ("operation", "carry", "step", "replay", "run_now", "cancel of an operation")


@pytest.mark.timeout(3_600)
def test_many_idle_seeds(seen: Callable[[str], None]) -> None:
    """What is assigned when it is added runs once, whoever is stopped, ends, or loses a message."""
    reports = [play_idle(seed) for seed in range(IDLE)]
    assigned = sum(report.edges.get("assign", 0) for report in reports)
    assert assigned > len(reports), "hardly a job was assigned in these worlds"
    seen(f"simulation of idle queues: {summary(reports)}, {assigned} assigned, 0 rules broken")


def test_one_idle_seed() -> None:
    """The idle world of SEED in the environment, or the first."""
    play_idle(int(os.environ.get("SEED", "0")))


def test_one_operated_seed() -> None:
    """The world of operators of SEED in the environment, or the first."""
    play_operated(int(os.environ.get("SEED", "0")))


@pytest.mark.timeout(3_600)
def test_many_seeds_of_key_limits(seen: Callable[[str], None]) -> None:
    """No key has more than it may, and none waits while one of its jobs may run."""
    reports = [play_key_limits(seed) for seed in range(KEY_LIMITS)]
    seen(f"simulation with limits of each key: {summary(reports)}, 0 rules broken")


@pytest.mark.timeout(3_600)
def test_many_priced_seeds(seen: Callable[[str], None]) -> None:
    """No window has more tokens than its rate says, and each job starts once its own are there."""
    reports = [play_priced(seed) for seed in range(PRICED)]
    seen(f"simulation of jobs that cost tokens: {summary(reports)}, 0 rules broken")


def test_one_priced_seed() -> None:
    """The world of jobs that cost tokens of SEED in the environment, or the first."""
    play_priced(int(os.environ.get("SEED", "0")))


def test_one_seed_of_key_limits() -> None:
    """The world of SEED in the environment with limits of each key, or the first."""
    play_key_limits(int(os.environ.get("SEED", "0")))


def test_one_keyed_seed() -> None:
    """The world of keys of SEED in the environment, or the first."""
    play_keyed(int(os.environ.get("SEED", "0")))


def test_one_unique_seed() -> None:
    """The world of unique jobs of SEED in the environment, or the first."""
    play_unique(int(os.environ.get("SEED", "0")))


def test_one_dense_seed() -> None:
    """The dense world of SEED in the environment, or the first."""
    play_dense(int(os.environ.get("SEED", "0")))


def test_one_poisoned_seed() -> None:
    """The poisoned world of SEED in the environment, or the first."""
    play_poisoned(int(os.environ.get("SEED", "0")))


def test_one_seed() -> None:
    """The world of SEED in the environment, or the first."""
    play(int(os.environ.get("SEED", "0")))


def test_seeds_that_once_failed() -> None:
    for seed in regressions():
        play(seed)


def test_a_seed_names_one_world_whatever_the_hashes_are() -> None:
    here = [play(seed).trace for seed in range(TRACED)]
    assert len(set(here)) == TRACED
    assert here == [play(seed).trace for seed in range(TRACED)]
    for hashes in ("1", "2"):
        program = (
            "from tests.simulation.seeds import play\n"
            f"for s in range({TRACED}): print(play(s).trace)"
        )
        done = subprocess.run(
            [sys.executable, "-c", program],
            env={**os.environ, "PYTHONHASHSEED": hashes},
            capture_output=True,
            text=True,
            check=True,
        )
        assert done.stdout.split() == here
