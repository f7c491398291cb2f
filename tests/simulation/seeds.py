"""Which seeds are played: how many, from where, and those that once failed."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from pathlib import Path
from unittest import mock

from asyncmqd.client import operations
from asyncmqd.domain.events import AT_ONCE
from asyncmqd.runtime.process import event_publisher
from tests.scale import SCALE
from tests.simulation.plan import (
    Plan,
    draw_capped_plan,
    draw_dense_plan,
    draw_followed_plan,
    draw_held_plan,
    draw_idle_plan,
    draw_jumping_plan,
    draw_keyed_plan,
    draw_limited_plan,
    draw_operated_plan,
    draw_plan,
    draw_plan_of_jumping_limits,
    draw_plan_of_key_limits,
    draw_poisoned_plan,
    draw_priced_plan,
    draw_replaced_plan,
    draw_unique_plan,
    draw_watched_plan,
)
from tests.simulation.simulation import Report, Simulation

COUNT = {"short": 120, "full": 5_000, "soak": 100_000}[SCALE]
POISONED = {"short": 16, "full": 1_000, "soak": 5_000}[SCALE]
DENSE = {"short": 12, "full": 1_000, "soak": 5_000}[SCALE]
JUMPING = {"short": 8, "full": 1_000, "soak": 5_000}[SCALE]
JUMPING_LIMITS = {"short": 8, "full": 1_000, "soak": 5_000}[SCALE]
UNIQUE = {"short": 12, "full": 1_000, "soak": 5_000}[SCALE]
FOLLOWED = {"short": 8, "full": 1_000, "soak": 5_000}[SCALE]
HELD = {"short": 8, "full": 1_000, "soak": 5_000}[SCALE]
REPLACED = {"short": 8, "full": 1_000, "soak": 5_000}[SCALE]
PRICED = {"short": 12, "full": 1_000, "soak": 5_000}[SCALE]
IDLE = {"short": 24, "full": 1_000, "soak": 5_000}[SCALE]
OPERATED = {"short": 12, "full": 1_000, "soak": 5_000}[SCALE]
WATCHED = {"short": 8, "full": 1_000, "soak": 5_000}[SCALE]
KEYED = {"short": 8, "full": 1_000, "soak": 5_000}[SCALE]
KEY_LIMITS = {"short": 3, "full": 1_000, "soak": 5_000}[SCALE]  # long worlds
LIMITED = {"short": 24, "full": 1_000, "soak": 5_000}[SCALE]
CAPPED = {"short": 12, "full": 1_000, "soak": 5_000}[SCALE]
SHARES = {"short": 4, "full": 8, "soak": 100}[SCALE]  # tests among which they are divided
REGRESSIONS = Path(__file__).with_name("regressions.txt")


def play(seed: int) -> Report:
    """One world. Raises AssertionError that tells how to play it again."""
    return _play(draw_plan(seed), "one_seed")


def play_poisoned(seed: int) -> Report:
    """One world with several poison jobs. Raises AssertionError that tells how to play it again."""
    return _play(draw_poisoned_plan(seed), "one_poisoned_seed")


def play_jumping(seed: int) -> Report:
    """One world whose clock jumps. Raises AssertionError that tells how to play it again."""
    return _play(draw_jumping_plan(seed), "one_jumping_seed")


def play_jumping_limits(seed: int) -> Report:
    """One world of limits or names whose clock jumps. Raises AssertionError like the others."""
    return _play(draw_plan_of_jumping_limits(seed), "one_seed_of_jumping_limits")


def play_limited(seed: int) -> Report:
    """One world with a limit over all processes. Raises AssertionError like the others."""
    return _play(draw_limited_plan(seed), "one_limited_seed")


def play_capped(seed: int) -> Report:
    """One world whose processes share slots. Raises AssertionError that tells how to play it."""
    return _play(draw_capped_plan(seed), "one_capped_seed")


def play_dense(seed: int) -> Report:
    """One world full of jobs and lost messages. Raises AssertionError that tells how to play it."""
    return _play(draw_dense_plan(seed), "one_dense_seed")


def play_unique(seed: int) -> Report:
    """One world of jobs with few names. Raises AssertionError that tells how to play it again."""
    return _play(draw_unique_plan(seed), "one_unique_seed")


def play_idle(seed: int) -> Report:
    """One world whose queues are mostly idle. Raises AssertionError that tells how to play it."""
    return _play(draw_idle_plan(seed), "one_idle_seed")


def play_keyed(seed: int) -> Report:
    """One world of jobs with keys. Raises AssertionError that tells how to play it again."""
    return _play(draw_keyed_plan(seed), "one_keyed_seed")


def play_followed(seed: int) -> Report:
    """One world of names whose jobs have successors. Raises AssertionError like the others."""
    return _play(draw_followed_plan(seed), "one_followed_seed")


def play_held(seed: int) -> Report:
    """One world whose schedule holds jobs back. Raises AssertionError like the others."""
    return _play(draw_held_plan(seed), "one_held_seed")


def play_replaced(seed: int) -> Report:
    """One world whose schedule replaces its jobs. Raises AssertionError like the others."""
    return _play(draw_replaced_plan(seed), "one_replaced_seed")


def play_key_limits(seed: int) -> Report:
    """One world with limits of each key. Raises AssertionError like the others."""
    return _play(draw_plan_of_key_limits(seed), "one_seed_of_key_limits")


def play_priced(seed: int) -> Report:
    """One world of jobs that cost tokens. Raises AssertionError like the others."""
    return _play(draw_priced_plan(seed), "one_priced_seed")


def play_operated(seed: int) -> Report:
    """One world of operators, whose operations have many steps. Raises AssertionError likewise."""
    with mock.patch.multiple(operations, STEP=3, _FIRST=1):
        return _play(draw_operated_plan(seed), "one_operated_seed")


def play_watched(seed: int) -> Report:
    """One world in which somebody watches events. Raises AssertionError like the others.

    In every second one, few starts and completions are too many.
    """
    with mock.patch.object(event_publisher, "AT_ONCE", 2 if seed % 2 else AT_ONCE):
        return _play(draw_watched_plan(seed), "one_watched_seed")


def _play(plan: Plan, test: str) -> Report:
    try:
        return Simulation(plan).run()
    except AssertionError as error:
        faults = ", ".join(sorted(plan.faults)) or "none"
        raise AssertionError(
            f"{error}\nworld {plan.seed}, with these faults: {faults}; play it again:"
            f" SEED={plan.seed} python -m pytest tests/simulation -k {test}"
        ) from error


def regressions() -> list[int]:
    """Seeds that once found a bug."""
    lines = (line.partition("#")[0].strip() for line in REGRESSIONS.read_text().splitlines())
    return [int(line) for line in lines if line]


def summary(reports: Iterable[Report]) -> str:
    """What so many worlds did, in one line."""
    sums: Counter[str] = Counter()
    for report in reports:
        sums["worlds"] += 1
        for key in ("seconds", "jobs", "runs", "deaths"):
            sums[key] += getattr(report, key)
    return ", ".join(f"{round(value):,} {key}" for key, value in sums.items())
