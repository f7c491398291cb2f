"""The decision of a claim loop: what it must never do, and that no job is left behind by it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from asyncmqd.runtime.claiming import claim_decision
from asyncmqd.runtime.claiming.claim_decision import (
    BATCH,
    DRAINS,
    EFFECTS,
    MEANINGS,
    NEWS,
    SERVES,
    Do,
    LoopState,
    News,
    Step,
    View,
    may_miss,
    next_step,
)
from asyncmqd.runtime.claiming.slots import POLLS

UNSURE = {LoopState.UNSURE, LoopState.DRAINING_UNSURE, LoopState.LEAVING}
MAY_BE_REGISTERED = {LoopState.REGISTERED, LoopState.WOKEN, LoopState.DRAINING} | UNSURE

some = st.integers(0, 2_000)
views = st.builds(
    View,
    state=st.sampled_from([each for each in LoopState if each is not LoopState.NEW]),
    store_answers=st.booleans(),
    isolated=st.booleans(),
    undeclared=st.booleans(),
    in_flight=st.integers(0, POLLS - 1),  # a poll that is in flight decides nothing
    exclusive=st.booleans(),
    running=st.integers(0, 3),
    unacknowledged=st.booleans(),
    free=some,
    share=some.filter(bool),
    tokens=st.none() | some,
    allowed=st.none() | some,
)
lone = views.map(lambda view: replace(view, in_flight=0))


def does(view: View) -> Do:
    return next_step(view).do


# ---------------------------------------------------------------------- one decision


@given(views)
def test_what_must_come_before_a_claim_and_after_what_none_comes(view: View) -> None:
    if view.state in DRAINS | UNSURE or view.isolated or view.undeclared:
        assert not next_step(view).claims


@given(views)
def test_a_claim_is_for_as_many_as_could_begin(view: View) -> None:
    step = next_step(view)
    bounds = [view.free, view.share, BATCH, view.tokens, view.allowed]
    if step.do is Do.CLAIM:
        assert step.claims == min(each for each in bounds if each is not None) > 0
    else:
        assert step.claims == 0


@given(lone)
def test_what_has_ended_never_waits_while_nothing_is_in_flight(view: View) -> None:
    if view.unacknowledged:
        assert does(view) not in {Do.SLEEP, Do.AWAIT_CAPACITY, Do.STOP}


@given(lone)
def test_a_lost_reply_is_reconciled_before_all_else(view: View) -> None:
    assert (does(view) is Do.RECONCILE) == (view.state in UNSURE)


@given(lone)
def test_limits_are_declared_by_whoever_serves(view: View) -> None:
    """Also while no slot is free: daemons that have some go by them from now on."""
    assert (does(view) is Do.DECLARE) == (view.undeclared and view.state in SERVES - UNSURE)


@given(views)
def test_beside_a_poll_nothing_but_jobs_is_carried(view: View) -> None:
    view = replace(view, in_flight=1)
    jobs = {Do.CLAIM, Do.SETTLE}
    assert does(view) in jobs | {Do.SLEEP, Do.AWAIT_CAPACITY}
    if view.exclusive or view.undeclared or view.state in DRAINS or view.free < view.share:
        assert does(view) not in jobs


@given(lone)
def test_a_full_worker_that_was_woken_hands_over(view: View) -> None:
    full = view.state is LoopState.WOKEN and not view.isolated and not view.capacity
    assert (does(view) is Do.HAND_OVER) == (full and view.store_answers and not view.undeclared)


@given(lone)
def test_others_are_woken_instead_of_who_claims_no_more(view: View) -> None:
    serves = not view.undeclared and view.state in SERVES - UNSURE - {LoopState.ASIDE}
    aside = view.isolated and serves
    drains = view.state is LoopState.DRAINING
    done = drains and not (view.running or view.unacknowledged)
    goes = (drains or aside) and view.store_answers
    assert (does(view) is Do.UNSUBSCRIBE) == (goes or done)


@given(views)
def test_a_loop_stops_when_it_is_drained_and_only_then(view: View) -> None:
    held = view.running or view.unacknowledged or view.in_flight
    assert (does(view) is Do.STOP) == (view.state is LoopState.LEFT and not held)


@given(lone, st.sampled_from([LoopState.LOOKING, LoopState.WOKEN]))
def test_a_queue_that_may_have_jobs_is_asked_as_soon_as_there_is_capacity(
    view: View, state: LoopState
) -> None:
    view = replace(view, state=state)
    if view.capacity and not view.isolated and not view.undeclared:
        assert does(view) is Do.CLAIM


# ---------------------------------------------------------------------- the table


def test_all_of_it_has_a_meaning() -> None:
    assert set(MEANINGS) == set(LoopState)
    assert set(EFFECTS) == set(Do)
    assert {LoopState.NEW} | SERVES | DRAINS == set(LoopState)
    assert len({each.name for each in NEWS}) == len(NEWS)


@pytest.mark.parametrize("news", NEWS, ids=lambda each: each.name)
def test_a_drain_is_never_left_and_nothing_is_new_again(news: News) -> None:
    for state in LoopState:
        after = news.after(state)
        assert state not in DRAINS or after in DRAINS
        assert after is not LoopState.NEW or state is LoopState.NEW


def test_every_standing_can_be_reached() -> None:
    reached = {LoopState.NEW}
    while more := {news.after(each) for news in NEWS for each in reached} - reached:
        reached |= more
    assert reached == set(LoopState)


# ---------------------------------------------------------------------- beside a store


@dataclass
class Poll:
    """One that is in flight, and how many jobs the store gave it; None if it is not there yet."""

    step: Step
    brought: int | None = None


class Pair:
    """One queue of a store that wakes whoever is registered, and a loop that does what is decided.

    Requests reach the store and replies come back in any order, or get lost.
    """

    def __init__(self, *, assigns: bool = False) -> None:
        self.assigns = assigns  # a job is claimed for it when it is added
        self.messages = 0  # about such jobs, on their way
        self.missed = False  # some of them are not to come
        self.waiting, self.registered = 0, False
        self.owed = False  # this process was woken, and nobody else will be for that job
        self.lost = 0  # claims that the loop does not know of
        self.wakeups = 0  # on their way
        self.state = claim_decision.BEGIN.after(LoopState.NEW)
        self.polls: list[Poll] = []
        self.good, self.isolated, self.overlap, self.stopped = True, False, False, False
        self.undeclared = False
        self.size, self.running, self.unacknowledged = 3, 0, False

    def view(self) -> View:
        taken = self.running + sum(poll.step.claims for poll in self.polls)
        return View(
            self.state,
            self.good,
            self.isolated,
            self.undeclared,
            len(self.polls),
            any(poll.step.do not in {Do.CLAIM, Do.SETTLE} for poll in self.polls),
            self.running,
            self.unacknowledged,
            free=max(0, self.size - taken),
            share=max(1, self.size // 2),
            tokens=None,
            allowed=None,
        )

    def actions(self) -> list[Callable[[], object]]:
        """What may happen next."""
        found: list[Callable[[], object]] = [partial(self.resize, 0), partial(self.resize, 4)]
        found += [self.isolate] * 2 + [self.reload]
        found += [partial(self.note, claim_decision.WAKE)] * 3  # a slow pass
        found += [self.add] * 6 + [self.finish] * 2 * bool(self.running)
        found += [self.go] * 12 * (len(self.polls) < POLLS and not self.stopped)
        found += [self.hear] * 6 * bool(self.wakeups)
        found += [partial(self.hear_of_job, True), partial(self.hear_of_job, False)] * (
            3 * bool(self.messages)
        )
        found += [self.miss] * bool(self.assigns)
        for poll in self.polls:
            found += [partial(self.arrive if poll.brought is None else self.reply, poll)] * 6
            found += [partial(self.lose, poll)]
        return found

    def note(self, news: News) -> None:
        self.state = news.after(self.state)

    # ------------------------------------------------------------------ the loop

    def go(self) -> bool:
        """One poll decides. Whether it does anything."""
        if self.missed and may_miss(self.state, len(self.polls)):
            self.missed = False
            self.note(claim_decision.MISS)
        step = next_step(self.view())
        self.stopped = step.do is Do.STOP
        if step.do in {Do.STOP, Do.SLEEP, Do.AWAIT_CAPACITY}:
            return False
        self.overlap = bool(self.polls) and (self.overlap or step.claims > 0)
        self.polls.append(Poll(step))
        if step.do in {Do.CLAIM, Do.SETTLE}:
            self.unacknowledged = False
        if step.claims:
            self.note(claim_decision.ASK)
        if step.do is Do.UNSUBSCRIBE:
            self.note(claim_decision.UNSUBSCRIBE)
        return True

    def answered(self) -> None:
        if not self.good:
            self.good = True
            self.note(claim_decision.WAKE)

    def reply(self, poll: Poll) -> None:
        brought = poll.brought or 0
        if poll.step.do in {Do.CLAIM, Do.SETTLE}:
            self.answered()
        if poll.step.do is Do.CLAIM:
            full = claim_decision.FULL_BESIDE if self.overlap else claim_decision.FULL
            self.note(full if brought == poll.step.claims else claim_decision.SHORT)
        elif poll.step.do is Do.RECONCILE:
            self.note(claim_decision.RECONCILE)
        elif poll.step.do is Do.HAND_OVER:
            self.note(claim_decision.HAND_OVER)
        elif poll.step.do is Do.DECLARE:
            self.undeclared = False
        if poll.step.do is Do.RECONCILE and self.state in DRAINS:
            self.unacknowledged = True  # it hands them back
        else:
            self.running += brought
        self.polls.remove(poll)

    def lose(self, poll: Poll) -> None:
        self.polls.remove(poll)
        self.good = False
        self.lost += poll.brought or 0
        if poll.step.do in {Do.CLAIM, Do.SETTLE}:
            self.unacknowledged = True
            self.note(claim_decision.LOSE if poll.step.claims else claim_decision.WAKE)
        elif poll.step.do is Do.UNSUBSCRIBE:
            self.note(claim_decision.FAIL_TO_UNSUBSCRIBE)

    def hear(self) -> None:
        self.wakeups -= 1
        self.note(claim_decision.WAKE)

    def hear_of_job(self, is_last: bool) -> None:
        """A message; of the last sign-up, or perhaps of an older one."""
        self.messages -= 1
        if self.stopped:
            return
        older = not is_last or any(poll.step.claims for poll in self.polls) or self.registered
        self.note(claim_decision.WAKE if older else claim_decision.ASSIGN)
        serves = self.state in SERVES - UNSURE and not self.isolated
        if self.lost and serves and self.view().capacity:
            self.lost -= 1
            self.running += 1
        else:
            self.missed = True

    def miss(self) -> None:
        """Its connection breaks, and messages with it."""
        if not self.stopped:
            self.messages = 0
            self.missed = True

    def finish(self) -> None:
        self.running -= 1
        self.unacknowledged = True

    def resize(self, size: int) -> None:
        self.size = size

    def reload(self) -> None:
        self.undeclared = True

    def isolate(self) -> None:
        self.isolated = not self.isolated
        if not self.isolated:
            self.note(claim_decision.WAKE)

    def drain(self) -> None:
        self.note(claim_decision.DRAIN)

    # ------------------------------------------------------------------ the store

    def add(self) -> None:
        if self.registered and self.assigns and not self.waiting and not self.stopped:
            self.registered = False
            self.lost += 1
            self.messages += 1
            return
        self.waiting += 1
        if self.registered:
            self.registered, self.owed = False, True
            self.wakeups += 1

    def arrive(self, poll: Poll) -> None:
        poll.brought = 0
        if poll.step.do is Do.CLAIM:
            poll.brought = min(self.waiting, poll.step.claims)
            self.waiting -= poll.brought
            self.registered, self.owed = poll.brought < poll.step.claims, False
        elif poll.step.do is Do.RECONCILE:
            poll.brought, self.lost = self.lost, 0
        elif poll.step.do in {Do.UNSUBSCRIBE, Do.HAND_OVER}:
            self.registered = self.owed = False

    # ------------------------------------------------------------------ what must hold

    def play(self, chance: Random) -> None:
        for _ in range(chance.randrange(15)):
            chance.choice(self.actions())()
            self.check()

    def check(self) -> None:
        if self.registered and not self.polls and not self.stopped:
            assert self.state in MAY_BE_REGISTERED
        if self.state is LoopState.ASKING:
            assert any(poll.step.claims for poll in self.polls)

    def come_to_rest(self) -> None:
        """All that is under way arrives, and nothing new happens."""
        for _ in range(30):
            while self.polls:
                poll = self.polls[0]
                if poll.brought is None:
                    self.arrive(poll)
                self.reply(poll)
            self.answered()  # a heartbeat
            while self.wakeups:
                self.hear()
            while self.messages:
                self.hear_of_job(True)
            if self.stopped or not self.go():
                return
        raise AssertionError("it never comes to rest")

    def nothing_is_left_behind(self) -> None:
        # One that ends while the store does not answer leaves what was assigned to its lease.
        unasked = self.stopped and self.state is LoopState.DRAINING and self.assigns
        assert not self.unacknowledged
        assert unasked or not self.lost
        if self.stopped:
            assert not self.running
            return
        serves = self.state in SERVES and not self.isolated
        if serves and self.view().capacity:
            assert (self.waiting, self.registered) == (0, True)
            return
        assert not self.owed, "a wake-up ended here, and the job waits"
        assert serves or not self.registered


@given(st.randoms(use_true_random=True))
def test_no_job_is_left_behind_whatever_happens(chance: Random) -> None:
    for _ in range(30):
        pair = Pair(assigns=chance.random() < 0.5)
        for _ in range(chance.randrange(4)):
            pair.play(chance)
            pair.come_to_rest()
            pair.nothing_is_left_behind()
        pair.play(chance)
        pair.drain()
        pair.play(chance)
        pair.come_to_rest()
        while pair.running:
            pair.finish()
            pair.come_to_rest()
        pair.nothing_is_left_behind()
        assert pair.stopped


def test_of_two_claims_that_overlap_nobody_knows_which_was_the_last() -> None:
    pair = Pair()
    pair.go()
    pair.note(claim_decision.WAKE)
    pair.go()
    earlier, later = pair.polls
    pair.add()
    pair.arrive(later)  # it is full
    pair.arrive(earlier)  # it is not: the store registers this process
    pair.reply(earlier)
    pair.reply(later)
    pair.check()
