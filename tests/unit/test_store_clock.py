"""A jump of the store's clock is told from slow answers and from clocks that are corrected."""

from __future__ import annotations

import pytest

from asyncmqd.domain.store_clock import TOLERANCE, StoreClock, believed

EPOCH = 1_800_000_000.0


def test_answers_however_slow_are_no_jump():
    clock = StoreClock()
    for asked, took, read in [
        (0, 0, 0),
        (10, 300, 0),
        (400, 300, 300),
        (800, 0.1, 0),
        (900, 90, 45),
    ]:
        assert clock.note(EPOCH + asked + read, asked, asked + took) == 0.0


def test_a_clock_that_is_slewed_does_not_jump():
    clock = StoreClock()
    assert not any(clock.note(EPOCH + at * 1.0005, at, at) for at in range(0, 100_000, 30))


@pytest.mark.parametrize("jump", [3_600.0, -3_600.0, 1.5 * TOLERANCE, -1.5 * TOLERANCE])
def test_a_jump_is_told_once(jump):
    clock = StoreClock()
    clock.note(EPOCH, 0, 0.1)
    assert clock.note(EPOCH + 10 + jump, 10, 10.1) == pytest.approx(jump)
    assert clock.note(EPOCH + 20 + jump, 20, 20.1) == 0.0
    assert clock.note(EPOCH + 30, 30, 30.1) == pytest.approx(-jump)


def test_a_future_that_was_noted_is_not_believed():
    assert believed(EPOCH - 1e9, EPOCH) == EPOCH - 1e9
    assert believed(EPOCH + TOLERANCE, EPOCH) == EPOCH + TOLERANCE
    assert believed(EPOCH + 3_600, EPOCH) == EPOCH
