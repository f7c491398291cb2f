"""A jump of the store's clock is told from slow answers and from clocks that are corrected."""

from __future__ import annotations

import pytest

from asyncmqd.domain.store_clock import TOLERANCE, LeaseEnds, StoreClock, believed

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


def test_leases_that_end_in_their_turn_tell_of_no_jump():
    ends = LeaseEnds()
    looks = [(0, None), (1, 16), (5, 20), (21, 20), (21, 20), (22, 21), (23, None), (90, 24)]
    assert not any(ends.note(EPOCH + now, end and EPOCH + end) for now, end in looks)


@pytest.mark.parametrize("before", [None, 12.0, 8.0])
def test_a_lease_that_was_given_by_an_earlier_clock_tells_of_it_once(before):
    ends = LeaseEnds()
    assert not ends.note(EPOCH + 10, before and EPOCH + before)
    assert ends.note(EPOCH + 11, EPOCH + 15 - 3_600)
    assert not ends.note(EPOCH + 12, EPOCH + 15 - 3_600)
