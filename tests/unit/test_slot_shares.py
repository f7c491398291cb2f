"""How the queues of a daemon share its slots: rules that hold after any sequence of events."""

from __future__ import annotations

import random
import sys
from fractions import Fraction
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from asyncmqd.domain.slot_shares import Share, SlotShares

WEIGHTS = st.sampled_from([1, 1, 2, 3, 7, 100])


def made(cap: int, weights: list[int]) -> tuple[SlotShares, list[Share]]:
    slots, shares = SlotShares(cap), [Share() for _ in weights]
    for share, weight in zip(shares, weights, strict=True):
        slots.keep(share, weight)
    return slots, shares


def fill(slots: SlotShares) -> None:
    """Give slots one by one to whose turn it is."""
    while (share := slots.next) is not None:
        assert slots.allowed(share) >= 1
        slots.hold(share, share.held + 1)


class Sharing(RuleBasedStateMachine):
    """Queues come and go, want, take and give back; the numbers change as a reload does."""

    @initialize(weights=st.lists(WEIGHTS, min_size=1, max_size=6), more=st.integers(0, 12))
    def begin(self, weights: list[int], more: int) -> None:
        self.slots, self.shares = made(len(weights) + more, weights)

    @property
    def kept(self) -> list[Share]:
        return [each for each in self.shares if each.kept]

    @property
    def free(self) -> int:
        """Slots that are neither held nor kept for a queue that holds none."""
        return self.slots.cap - self.slots.held - sum(not each.held for each in self.kept)

    @rule(data=st.data(), limit=st.integers(1, 20))
    def take(self, data: st.DataObject, limit: int) -> None:
        share = data.draw(st.sampled_from(self.kept))
        count = min(limit, self.slots.allowed(share))
        if count:
            before = self.free
            self.slots.hold(share, share.held + count)
            assert self.slots.held <= self.slots.cap, "never more than there are"
            kept = max(0, before) if share.held - count else max(1, before + 1)
            assert count <= kept, "what is kept for others stays so"

    @rule(data=st.data(), part=st.integers(1, 100))
    def give(self, data: st.DataObject, part: int) -> None:
        share = data.draw(st.sampled_from(self.shares))
        self.slots.hold(share, share.held - -(-share.held * part // 100))

    @rule(data=st.data(), wants=st.booleans())
    def want(self, data: st.DataObject, wants: bool) -> None:
        self.slots.want(data.draw(st.sampled_from(self.kept)), wants)

    @rule(more=st.integers(0, 12))
    def reload_cap(self, more: int) -> None:
        self.slots.cap = len(self.kept) + more

    @rule(data=st.data(), weight=WEIGHTS)
    def reload_weight(self, data: st.DataObject, weight: int) -> None:
        self.slots.keep(data.draw(st.sampled_from(self.kept)), weight)

    @rule(weight=WEIGHTS)
    def reload_adds(self, weight: int) -> None:
        share = Share()
        self.shares.append(share)
        self.slots.keep(share, weight)
        self.slots.cap = max(self.slots.cap, len(self.kept))

    @precondition(lambda self: len(self.kept) > 1)
    @rule(data=st.data())
    def reload_removes(self, data: st.DataObject) -> None:
        share = data.draw(st.sampled_from(self.kept))
        self.slots.want(share, False)
        self.slots.drop(share)

    @invariant()
    def counts_are_true(self) -> None:
        assert self.slots.held == sum(each.held for each in self.shares)
        assert self.slots.kept == len(self.kept)

    @invariant()
    def no_slot_is_left_while_somebody_wants_one(self) -> None:
        """Work conserving: whose turn it is may take one, and there is one if a slot is free."""
        wanting = [each for each in self.kept if each.wants]
        share = self.slots.next
        if share is not None:
            assert share in wanting
            assert self.slots.allowed(share) >= 1
        if wanting and self.free > 0:
            assert share is not None

    @invariant()
    def a_queue_that_holds_nothing_may_begin(self) -> None:
        """Nobody starves: its slot is there as soon as the cap holds."""
        if self.slots.held < self.slots.cap:
            for each in self.kept:
                if not each.held:
                    assert self.slots.allowed(each) >= 1

    @invariant()
    def who_holds_the_fewest_for_its_weight_is_first(self) -> None:
        share = self.slots.next
        if share is not None:
            levels = [Fraction(each.held, each.weight) for each in self.kept if each.wants]
            assert Fraction(share.held, share.weight) == min(levels)


def test_what_holds_after_any_sequence_of_events() -> None:
    run_state_machine_as_test(Sharing)


@given(
    weights=st.lists(WEIGHTS, min_size=1, max_size=5), more=st.integers(0, 20), seed=st.integers()
)
def test_under_saturation_slots_are_shared_by_weight(
    weights: list[int], more: int, seed: int
) -> None:
    """After as many ends as there are slots, nobody has a slot that is more another's."""
    slots, shares = made(len(weights) + more, weights)
    draw = random.Random(seed)
    first = shares[0]
    slots.hold(first, slots.allowed(first))  # it was alone, with jobs that take long
    for share in shares:
        slots.want(share, True)
    fill(slots)
    assert slots.held == slots.cap
    for _ in range(3 * slots.cap):
        over = [each for each in shares if each.held > 1 and _over(each, shares)]
        share = draw.choice(over or [each for each in shares if each.held])
        slots.hold(share, share.held - 1)
        fill(slots)
        assert slots.held == slots.cap
    for one in shares:
        for other in shares:
            assert one.held <= 1 or _level(one, -1) <= _level(other)


def _level(share: Share, more: int = 0) -> Fraction:
    return Fraction(share.held + more, share.weight)


def _over(share: Share, shares: list[Share]) -> bool:
    return any(_level(share, -1) > _level(each) for each in shares)


def test_a_weight_of_three_is_three_times_the_slots() -> None:
    slots, (one, three) = made(12, [1, 3])
    for share in (one, three):
        slots.want(share, True)
    fill(slots)
    assert (one.held, three.held) == (3, 9)


def test_what_a_queue_does_not_want_is_for_the_others_at_once() -> None:
    slots, (one, three) = made(12, [1, 3])
    slots.want(one, True)
    assert slots.allowed(one) == 11, "one is kept for the other"
    fill(slots)
    slots.want(three, True)
    fill(slots)
    assert (one.held, three.held) == (11, 1)


def test_a_slot_that_cannot_be_divided_goes_round() -> None:
    slots, shares = made(4, [1, 1, 1])
    for share in shares:
        slots.want(share, True)
    fill(slots)
    had = []
    for _ in range(9):
        (two,) = (each for each in shares if each.held == 2)
        had.append(shares.index(two))
        slots.hold(two, 1)
        assert not slots.allowed(two), "it was the last that took it"
        fill(slots)
    assert sorted(had[:3]) == [0, 1, 2]
    assert all(one != other for one, other in pairwise(had))


def test_who_wants_and_does_not_come_keeps_nobody_from_its_own_part() -> None:
    """Its claim may hang, as with one node of a cluster; others have what is theirs in any case."""
    slots, (hangs, works) = made(12, [1, 1])
    slots.want(hangs, True)
    slots.want(works, True)
    assert slots.next is hangs
    assert slots.allowed(works) == 5


def steps(queues: int) -> int:
    """Bytecodes of the dearest of 200 takes and ends, with so many queues that want more."""
    slots, shares = made(2 * queues, [1 + number % 5 for number in range(queues)])
    for share in shares:
        slots.want(share, True)
    fill(slots)
    draw, most, count = random.Random(1), 0, 0

    def trace(frame: Any, event: str, _: Any) -> Any:
        nonlocal count
        frame.f_trace_opcodes = True
        count += event == "opcode"
        return trace

    traced = sys.gettrace()
    for _ in range(200):
        share = draw.choice(shares)
        count = 0
        sys.settrace(trace)
        try:
            slots.hold(share, share.held - 1) if share.held else None
            if (turn := slots.next) is not None:
                slots.hold(turn, turn.held + slots.allowed(turn))
        finally:
            sys.settrace(traced)
        most += count
    return most


@pytest.mark.parametrize("queues", [10])
def test_a_decision_takes_no_longer_with_more_queues(queues: int) -> None:
    assert steps(100 * queues) < 1.5 * steps(queues)
