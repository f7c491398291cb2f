"""What becomes of a job: every outcome under every kind of policy."""

from __future__ import annotations

import math

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from asyncmqd.domain.change import Change
from asyncmqd.domain.job import Claim, Failure, Record
from asyncmqd.domain.options import MAX_DELAY
from asyncmqd.domain.retry import Custom, Exponential, Fixed, Reject, Retry
from asyncmqd.domain.settle import (
    CRASH_LIMIT,
    HELD,
    ISOLATION,
    LONGEST_ISOLATION,
    ORPHAN_RETENTION,
    Crashed,
    Expired,
    Outcome,
    Policy,
    Raised,
    Refused,
    Released,
    Retention,
    Succeeded,
    Unknown,
    allowed,
    cancel,
    decode_failure,
    encode_failure,
    is_poison_candidate,
    isolation_time,
    mark_alone,
    replay,
    run_now,
    settle,
    update_progress,
)
from asyncmqd.domain.states import EDGES, LIVE, TERMINAL, State

FAILURE = Failure("OSError", "boom", "Traceback ...")
KEEP = Retention(result_ttl=11, keep_completed=12, keep_failed=13, keep_bytes=14)


def claimed(**fields: object) -> Claim:
    return msgspec.structs.replace(Claim(queue="q", id="a", token=7, payload=b"{}"), **fields)


def raised(error: BaseException | None = None) -> Raised:
    return Raised(error or OSError("boom"), FAILURE)


def decide(claim: Claim, outcome: Outcome, **policy: object) -> Change:
    return settle(claim, outcome, Policy(retention=KEEP, **policy), draw=0.5)


outcomes = st.one_of(
    st.builds(Succeeded, st.sampled_from([b"", b"1"])),
    st.sampled_from(
        [
            raised(),
            raised(Retry(after=5)),
            raised(Retry()),
            raised(Reject()),
            raised(SystemExit()),
            Refused(FAILURE),
            Expired(),
            Released(),
            Released(3.0),
            Unknown("mod.f"),
        ]
    ),
    st.builds(Crashed, st.just("killed"), st.booleans(), st.booleans()),
)
claims = st.builds(
    claimed,
    failures=st.integers(0, 10_000),
    crashes=st.integers(0, 5),
    solo=st.booleans(),
)
policies = st.builds(
    Policy,
    retries=st.integers(0, 10_000),
    backoff=st.sampled_from(
        [Exponential(), Fixed(3.0), Custom(lambda *_: 1.5), Custom(lambda *_: 0)]
    ),
    retry_on=st.sampled_from([(BaseException,), (OSError,), ()]),
    dont_retry_on=st.sampled_from([(), (OSError,), (KeyError,)]),
)


@given(claim=claims, outcome=outcomes, policy=policies, draw=st.floats(0, 1, exclude_max=True))
def test_every_outcome_leads_along_an_edge_of_an_active_job(
    claim: Claim, outcome: Outcome, policy: Policy, draw: float
) -> None:
    change = settle(claim, outcome, policy, draw)
    assert State.ACTIVE in change.path.sources
    assert (change.queue, change.id, change.token) == (claim.queue, claim.id, claim.token)
    assert 0 <= change.delay <= MAX_DELAY
    assert change.target == change.path.target or change.edge == "park"
    assert settle(claim, outcome, policy, draw) == change, "the same again"
    if change.path.target in {State.FAILED, State.EXPIRED}:
        assert change.keep is not None, "a dead letter must not be kept for ever"
        assert change.error, "a dead letter says why"


# ---------------------------------------------------------------- success


def test_a_result_is_kept_for_a_time() -> None:
    change = decide(claimed(), Succeeded(b'"x"'))
    assert (change.edge, change.result, change.keep) == ("succeed", b'"x"', 11)


def test_a_job_that_returned_none_is_kept_by_number() -> None:
    change = decide(claimed(), Succeeded())
    assert (change.edge, change.result, change.keep) == ("succeed", None, None)


def test_an_ended_job_is_held_for_those_who_wait_for_it() -> None:
    none = Retention(result_ttl=0, keep_completed=0, keep_failed=0)
    policy = Policy(retention=none)
    outcomes = [Succeeded(b"1"), Succeeded(), Expired(), Refused(Failure("E", ""))]
    assert [settle(claimed(), each, policy, 0.5).keep for each in outcomes] == [HELD] * 4
    assert cancel(record("waiting"), none).keep == HELD


def test_a_first_run_that_succeeds_writes_no_counter() -> None:
    change = decide(claimed(), Succeeded())
    assert (change.failures, change.crashes, change.solo, change.error) == (None,) * 4


def test_success_clears_the_suspicion() -> None:
    assert decide(claimed(crashes=2), Succeeded()).crashes == 0


# ---------------------------------------------------------------- failure


@pytest.mark.parametrize("retries", [0, 1, 3])
def test_a_job_runs_once_and_as_often_again_as_it_has_retries(retries: int) -> None:
    claim, runs = claimed(), 1
    while (change := decide(claim, raised(), retries=retries, backoff=Fixed(1))).edge == "retry":
        assert change.failures == claim.failures + 1
        claim, runs = claimed(failures=change.failures), runs + 1
    assert runs == retries + 1
    assert (change.edge, change.failures, change.keep) == ("fail", retries + 1, 13)
    assert decode_failure(change.error or b"") == FAILURE


def test_a_retry_waits_for_the_back_off() -> None:
    change = decide(claimed(failures=2), raised(), retries=5, backoff=Exponential(base=2))
    assert (change.edge, change.delay, change.failures) == ("retry", 0.5 * 8, 3)


def test_a_retry_keeps_its_error_and_clears_the_suspicion() -> None:
    change = decide(claimed(crashes=1, solo=True), raised(), retries=1)
    assert decode_failure(change.error or b"") == FAILURE
    assert (change.crashes, change.solo) == (0, False)


def test_the_ten_thousandth_attempt_is_no_special_one() -> None:
    change = decide(claimed(failures=9_999), raised(), retries=20_000)
    assert (change.edge, change.failures) == ("retry", 10_000)
    assert change.delay <= 600


def test_a_task_may_say_when_to_try_again() -> None:
    change = decide(claimed(), raised(Retry(after=42)), retries=1, backoff=Fixed(1))
    assert (change.edge, change.delay) == ("retry", 42)
    assert decide(claimed(), raised(Retry()), retries=1, backoff=Fixed(1)).delay == 1


def test_asking_for_another_attempt_gives_no_more_than_there_are() -> None:
    assert decide(claimed(failures=1), raised(Retry(after=1)), retries=1).edge == "fail"


def test_asking_for_another_attempt_beats_retry_on() -> None:
    assert decide(claimed(), raised(Retry()), retries=1, retry_on=(KeyError,)).edge == "retry"


def test_no_pause_is_longer_than_the_longest() -> None:
    change = decide(claimed(), raised(Retry(after=1e12)), retries=1)
    assert change.delay == MAX_DELAY


@pytest.mark.parametrize("answer", [-5.0, math.nan])
def test_a_pause_that_is_no_time_is_told_to_whoever_decides(answer: float) -> None:
    with pytest.raises(ValueError, match="backoff: expected seconds"):
        decide(claimed(), raised(), retries=1, backoff=Custom(lambda *_: answer))
    assert decide(claimed(), raised(), backoff=Custom(lambda *_: answer)).edge == "fail"


def group(*errors: Exception) -> Raised:
    return raised(ExceptionGroup("g", [ExceptionGroup("inner", errors[:1]), *errors[1:]]))


def test_groups_are_looked_through() -> None:
    rules = {"retries": 1, "retry_on": (OSError,), "backoff": Fixed(1)}
    assert decide(claimed(), group(OSError(), ConnectionError()), **rules).edge == "retry"
    assert decide(claimed(), group(OSError(), ValueError()), **rules).edge == "fail"
    assert decide(claimed(), group(OSError(), Reject("no")), **rules).edge == "fail"
    asked = [Retry(after=7), ValueError(), Retry(after=9), Retry()]
    assert decide(claimed(), group(*asked), **rules).delay == 9
    assert decide(claimed(), group(Retry(), ValueError()), **rules).delay == 1
    assert decide(claimed(), group(Reject("no"), Retry(after=9)), **rules).edge == "fail"
    rules = {"retries": 1, "dont_retry_on": (KeyError,)}
    assert decide(claimed(), group(OSError(), KeyError()), **rules).edge == "fail"


def test_a_rejected_job_fails_at_once() -> None:
    change = decide(claimed(), raised(Reject("bad address")), retries=5)
    assert (change.edge, change.failures) == ("fail", 1)


def test_only_the_named_errors_are_tried_again() -> None:
    named = {"retries": 5, "retry_on": (OSError,)}
    assert decide(claimed(), raised(OSError()), **named).edge == "retry"
    assert decide(claimed(), raised(ConnectionError()), **named).edge == "retry", "a subclass"
    assert decide(claimed(), raised(ValueError()), **named).edge == "fail"


def test_the_errors_that_are_not_tried_again_win() -> None:
    policy = {"retries": 5, "retry_on": (OSError,), "dont_retry_on": (ConnectionError,)}
    assert decide(claimed(), raised(OSError()), **policy).edge == "retry"
    assert decide(claimed(), raised(ConnectionError()), **policy).edge == "fail"


def test_a_task_that_exits_the_interpreter_has_failed() -> None:
    assert decide(claimed(), raised(SystemExit(1)), retries=1).edge == "retry"


def test_a_job_that_cannot_run_is_not_tried_again() -> None:
    change = decide(claimed(), Refused(FAILURE), retries=5)
    assert (change.edge, change.failures, change.keep) == ("fail", None, 13)


def test_a_job_whose_time_is_over_expires() -> None:
    change = decide(claimed(), Expired(), retries=5)
    assert (change.edge, change.keep, change.failures) == ("expire", 13, None)


# ---------------------------------------------------------------- no attempt charged


def test_a_released_job_is_not_charged() -> None:
    change = decide(claimed(failures=2, solo=True), Released())
    assert (change.edge, change.failures, change.crashes) == ("release", None, None)
    assert change.solo is False, "the mark belongs to the run that did not happen"


def test_a_released_job_may_have_to_wait() -> None:
    change = decide(claimed(), Released(2.5))
    assert (change.edge, change.delay, change.failures) == ("snooze", 2.5, None)


def test_a_job_of_an_unknown_task_is_put_aside_by_its_name() -> None:
    change = decide(claimed(), Unknown("mod.f:g"))
    assert (change.edge, change.target, change.failures) == ("park", "waiting:mod.f:g", None)


# ---------------------------------------------------------------- crashes


def test_one_crash_only_brings_the_job_back() -> None:
    change = decide(claimed(failures=1), Crashed("killed", lapsed=True))
    assert (change.edge, change.crashes, change.failures) == ("recover", 1, None)
    assert (change.outside, change.lapsed, change.delay) == (True, True, 0)


def test_two_crashes_make_a_candidate() -> None:
    change = decide(claimed(crashes=1), Crashed("killed"))
    assert (change.edge, change.crashes) == ("recover", 2)
    assert [is_poison_candidate(claimed(crashes=crashes)) for crashes in (0, 1, 2, 3)] == [
        False,
        False,
        True,
        True,
    ]


@pytest.mark.parametrize(("solo", "alone"), [(True, False), (False, True), (True, True)])
def test_the_third_crash_convicts_who_was_alone(solo: bool, alone: bool) -> None:
    change = decide(claimed(crashes=2, solo=solo), Crashed("killed by signal 11", alone=alone))
    assert (change.edge, change.crashes, change.keep) == ("quarantine", CRASH_LIMIT, 13)
    failure = decode_failure(change.error or b"")
    assert failure is not None
    assert failure.message == "killed by signal 11 (crash 3 of 3)"


@pytest.mark.parametrize("crashes", [2, 3, 99])
def test_no_crash_convicts_a_candidate_that_was_not_alone(crashes: int) -> None:
    change = decide(claimed(crashes=crashes, solo=False), Crashed("killed"))
    assert (change.edge, change.crashes) == ("recover", crashes + 1)


def test_each_crash_that_proves_nothing_makes_the_next_trial_longer() -> None:
    """A job that kills after any time is alone at that time, some day."""
    times = [isolation_time(claimed(crashes=crashes)) for crashes in (2, 3, 4, 5, 1_000_000)]
    assert times == [ISOLATION, 4 * ISOLATION, 16 * ISOLATION, 64 * ISOLATION, LONGEST_ISOLATION]
    late = decide(claimed(crashes=3, solo=True), Crashed("killed"))
    failure = decode_failure(late.error or b"")
    assert late.edge == "quarantine"
    assert failure is not None
    assert failure.message == "killed (crash 4)"


@pytest.mark.parametrize("crashes", [0, 1])
def test_nobody_is_convicted_before_the_third_crash(crashes: int) -> None:
    outcome = Crashed("killed", alone=True)
    assert decide(claimed(crashes=crashes, solo=True), outcome).edge == "recover"


def test_a_crash_of_a_child_process_is_told_by_the_holder_of_the_claim() -> None:
    assert decide(claimed(), Crashed("killed", alone=True)).outside is False


@given(
    poisons=st.sets(st.integers(0, 7), max_size=3),
    slots=st.integers(1, 6),
    order=st.permutations(range(8)),
    kills=st.sets(st.integers(0, 12), max_size=3),
    busy=st.sets(st.integers(0, 12), max_size=3),
)
def test_poison_jobs_cost_three_crashes_each_and_no_innocent_is_failed(
    poisons: set[int], slots: int, order: list[int], kills: set[int], busy: set[int]
) -> None:
    """A process with some slots, restarted after each crash. `kills` are rounds in which somebody
    kills it from outside, `busy` those in which no candidate gets to be alone.
    """
    jobs = {number: claimed(id=str(number)) for number in order}
    own_crashes, ended = dict.fromkeys(order, 0), {}
    for round_number in range(200):
        candidates = [number for number, claim in jobs.items() if is_poison_candidate(claim)]
        alone = candidates[:1] if round_number not in busy else []
        batch = alone or list(jobs)[:slots]
        if alone:
            jobs[alone[0]] = applied(jobs[alone[0]], mark_alone(jobs[alone[0]]))
        killed = round_number in kills and not alone
        deadly = set() if killed else poisons.intersection(batch)
        for number in batch:
            own_crashes[number] += number in deadly
            change = decide(jobs[number], Crashed("killed") if killed or deadly else Succeeded())
            if change.path.target in TERMINAL:
                ended[number] = change.path.target
                del jobs[number]
            else:
                jobs[number] = applied(jobs[number], change)
    assert not jobs, "all must end"
    assert {number for number, state in ended.items() if state is not State.COMPLETED} == poisons
    assert all(count <= CRASH_LIMIT + len(busy) for count in own_crashes.values())


def applied(claim: Claim, change: Change) -> Claim:
    """The next claim of a job after a change."""
    crashes = claim.crashes if change.crashes is None else change.crashes
    solo = claim.solo if change.solo is None else change.solo
    return msgspec.structs.replace(claim, token=claim.token + 1, crashes=crashes, solo=solo)


# ---------------------------------------------------------------- marks and commands


def test_a_mark_and_progress_stay_in_place() -> None:
    mark, progress = mark_alone(claimed()), update_progress(claimed(), b"50")
    assert (mark.edge, mark.solo, mark.token) == ("update", True, 7)
    assert (progress.edge, progress.progress, progress.solo) == ("update", b"50", None)


def record(place: str) -> Record:
    return Record(queue="q", id="a", place=place, payload=b"{}", token=3, failures=2, crashes=1)


@pytest.mark.parametrize("state", list(State))
def test_what_an_operator_may_do_in_each_state(state: State) -> None:
    assert allowed(record(state), "cancel") is (state in LIVE)
    assert allowed(record(state), "replay") is (state in TERMINAL)
    assert allowed(record(state), "run_now") is (state is State.DELAYED)


@pytest.mark.parametrize("command", [cancel, replay, run_now])
def test_commands_fence_the_holder_of_the_claim(command: object) -> None:
    change = command(record("active"))
    assert (change.queue, change.id, change.token, change.outside) == ("q", "a", 3, True)


def test_a_replay_starts_afresh() -> None:
    change = replay(record("failed"))
    assert (change.failures, change.crashes, change.solo) == (0, 0, False)
    assert (change.result, change.progress) == (b"", b""), "what the last life left is gone"
    assert change.error is None, "the last error is still worth reading"


def test_a_job_that_is_run_now_keeps_its_attempts() -> None:
    change = run_now(record("delayed"))
    assert (change.failures, change.crashes) == (None, None)


def test_cancelled_jobs_are_kept_for_a_time() -> None:
    assert cancel(record("waiting"), KEEP).keep == 13
    assert cancel(record("waiting")).keep == ORPHAN_RETENTION


def test_a_parked_job_can_be_cancelled() -> None:
    assert allowed(record("waiting:mod.f"), "cancel")


def test_failures_survive_the_store() -> None:
    assert decode_failure(encode_failure(FAILURE)) == FAILURE
    assert decode_failure(b"") is None
    unreadable = decode_failure(b"\xff not json")
    assert unreadable is not None
    assert unreadable.type == "Unreadable"


def test_settle_uses_every_edge_of_an_active_job() -> None:
    """An edge out of `active` that no outcome takes would be dead code."""
    candidate = claimed(crashes=2, solo=True)
    taken = {
        decide(claim, outcome, retries=retries).edge
        for claim in (claimed(), candidate)
        for retries in (0, 1)
        for outcome in (
            Succeeded(),
            raised(),
            Expired(),
            Released(),
            Released(1),
            Unknown("t"),
            Crashed("x"),
        )
    }
    from_active = {edge.name for edge in EDGES.values() if State.ACTIVE in edge.sources}
    assert from_active - taken == {"update", "cancel"}
