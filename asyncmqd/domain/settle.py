"""`settle` decides what becomes of a job after a run.

No other code knows retries, dead letters, poison and retention. The stores write what `settle` has
decided.
"""

from __future__ import annotations

import msgspec

from asyncmqd.domain.attempts import told_of
from asyncmqd.domain.change import Change
from asyncmqd.domain.job import Claim, Failure, Record
from asyncmqd.domain.options import MAX_DELAY
from asyncmqd.domain.retry import DEFAULT_BACKOFF, Backoff, asked_pause, may_retry
from asyncmqd.domain.states import EDGES, parked_place

ISOLATE_AT = 2  # crashes after which a job is a poison candidate: it runs alone in its process
CRASH_LIMIT = 3  # the crash at which a candidate is poison
ISOLATION = 10.0  # seconds that a candidate is alone at first; times four after each further crash
LONGEST_ISOLATION = 3_600.0  # seconds
CANDIDATE_PAUSE = 1.0  # seconds that a candidate is delayed while another candidate runs
# The least time, in seconds, for which an ended job is kept by time: a process that waits for the
# job must be woken and look. A count and `keep_bytes` bound the store, and may delete it earlier.
HELD = 5.0
ORPHAN_RETENTION = 7 * 86_400.0  # seconds that a record is kept if nobody configures its queue


class Retention(msgspec.Struct, frozen=True, kw_only=True):
    """How long a queue's ended jobs are kept. Every limit bounds growth, none may be unlimited."""

    result_ttl: float = 3_600.0  # seconds: completed jobs with a result other than None
    keep_completed: int = 1_000  # completed jobs that returned None: how many of the newest
    keep_failed: float = 7 * 86_400.0  # seconds: failed, expired and cancelled jobs
    keep_bytes: int = 256 * 1024 * 1024  # payloads, results and errors of all ended jobs together


class Policy(msgspec.Struct, frozen=True, kw_only=True):
    """The rules for one job, merged from the job, its task and its queue, in this order."""

    retries: int = 0  # runs after the first
    backoff: Backoff = DEFAULT_BACKOFF
    retry_on: tuple[type[BaseException], ...] = (BaseException,)
    dont_retry_on: tuple[type[BaseException], ...] = ()
    retention: Retention = Retention()


class Succeeded(msgspec.Struct, frozen=True):
    """The task returned; `result` is encoded, and empty for None."""

    result: bytes = b""


class Raised(msgspec.Struct, frozen=True):
    """The task raised `error`, or its time limit ended; `failure` is what people see."""

    error: BaseException
    failure: Failure


class Refused(msgspec.Struct, frozen=True):
    """The job cannot run at all: its payload is corrupt, or its result cannot be carried."""

    failure: Failure


class Expired(msgspec.Struct, frozen=True):
    """The job's ttl ended before the job started."""


class Released(msgspec.Struct, frozen=True):
    """The worker hands the job back; `delay` seconds must pass before the job may run again."""

    delay: float = 0.0


class Unknown(msgspec.Struct, frozen=True):
    """No code in this process knows `task`."""

    task: str


class Crashed(msgspec.Struct, frozen=True):
    """The process of the run died, or was silent for longer than its lease.

    `lapsed`: the end of the lease is the only sign of it. `alone`: the run had a process of its
    own, so that no other job can be the cause.
    """

    reason: str
    lapsed: bool = False
    alone: bool = False


_BACK = {"retry", "release", "snooze", "recover"}  # edges from a run to the next one
_ATTEMPTED = _BACK | {"fail", "quarantine"}  # of what the record keeps an attempt

Outcome = Succeeded | Raised | Refused | Expired | Released | Unknown | Crashed


def settle(claim: Claim, outcome: Outcome, policy: Policy, draw: float) -> Change:
    """Decide the next state of a claimed job.

    `draw` in [0, 1) is the jitter. The answer depends on the arguments only.
    """
    match outcome:
        case Succeeded():
            return succeed(claim, outcome.result, policy.retention)
        case Raised(error, failure):
            return _failed(claim, error, failure, policy, draw)
        case Refused(failure):
            return _dead(claim, "fail", failure, policy)
        case Expired():
            failure = Failure("Expired", "its ttl ended before it could start")
            return _dead(claim, "expire", failure, policy)
        case Released(delay):
            return _change(claim, "snooze" if delay else "release", delay=delay, solo=False)
        case Unknown(task):
            return _change(claim, "park", place=parked_place(task), solo=False)
        case Crashed():
            return _crashed(claim, outcome, policy)


def succeed(claim: Claim, result: bytes, retention: Retention) -> Change:
    """`settle` for a task that returned, which is what most jobs come to."""
    keep = None  # it is one of the newest `keep_completed`
    if result:
        keep = max(retention.result_ttl, HELD)
    elif not retention.keep_completed:
        keep = HELD
    return Change(
        queue=claim.queue,
        id=claim.id,
        edge="succeed",
        token=claim.token,
        crashes=0 if claim.crashes else None,
        result=result or None,
        keep=keep,
    )


def _failed(
    claim: Claim, error: BaseException, failure: Failure, policy: Policy, draw: float
) -> Change:
    failures = claim.failures + 1
    pause = None
    if failures <= policy.retries:
        pause = pause_before_retry(error, failures, policy, draw)
    if pause is None:
        return _dead(claim, "fail", failure, policy, failures=failures)
    return _change(
        claim,
        "retry",
        delay=min(pause, MAX_DELAY) if pause > 0 else 0.0,  # not a number means none either
        failures=failures,
        crashes=0,
        solo=False,
        failure=failure,
    )


def pause_before_retry(
    error: BaseException, failures: int, policy: Policy, draw: float
) -> float | None:
    """Seconds until the attempt after the `failures`-th failure; None if there is no attempt left.

    Raises what the application's part of the policy raises: a back-off function, or an error type
    that cannot be compared.
    """
    if not may_retry(error, policy.retry_on, policy.dont_retry_on):
        return None
    asked = asked_pause(error)
    return policy.backoff.pause(failures, error, draw) if asked is None else asked


def _crashed(claim: Claim, crash: Crashed, policy: Policy) -> Change:
    """Decide after a crash.

    After one crash the job only comes back. After two it is a poison candidate and runs alone. A
    crash while it is alone proves that it is poison. A crash while other jobs ran proves nothing,
    but the job is then alone for longer, so that a job that kills its process late is found, too.
    """
    crashes = claim.crashes + 1
    is_poison = crashes >= CRASH_LIMIT and (claim.solo or crash.alone)
    count = f"{crashes} of {CRASH_LIMIT}" if crashes <= CRASH_LIMIT else crashes
    failure = Failure("Crashed", f"{crash.reason} (crash {count})")
    if is_poison:
        change = _dead(claim, "quarantine", failure, policy, crashes=crashes)
    else:
        change = _change(
            claim,
            "recover",
            crashes=crashes,
            solo=False,
            failure=failure,
        )
    # The holder itself reports a run in a child process; somebody else reports all other runs.
    return msgspec.structs.replace(change, outside=not crash.alone, lapsed=crash.lapsed)


def _dead(
    claim: Claim,
    edge: str,
    failure: Failure,
    policy: Policy,
    *,
    failures: int | None = None,
    crashes: int | None = None,
) -> Change:
    return _change(
        claim,
        edge,
        failures=failures,
        crashes=crashes,
        failure=failure,
        keep=max(policy.retention.keep_failed, HELD),
    )


def _change(
    claim: Claim,
    edge: str,
    *,
    delay: float = 0.0,
    place: str | None = None,
    failures: int | None = None,
    crashes: int | None = None,
    solo: bool | None = None,
    failure: Failure | None = None,
    keep: float | None = None,
) -> Change:
    # A value that does not change is not written: a first run that succeeds changes no counter.
    return Change(
        queue=claim.queue,
        id=claim.id,
        edge=edge,
        token=claim.token,
        delay=delay,
        place=place,
        failures=failures,
        crashes=None if crashes == claim.crashes else crashes,
        solo=None if solo is None or solo == claim.solo else solo,
        error=encode_failure(failure) if failure else None,
        attempt=told_of(claim, edge, failure, delay) if edge in _ATTEMPTED else None,
        # Progress belongs to the run, and a job that goes back has not begun its next run.
        progress=b"" if edge in _BACK else None,
        keep=keep,
    )


def is_poison_candidate(claim: Claim | Record) -> bool:
    """Whether the job was running at so many crashes that it has to run alone."""
    return claim.crashes >= ISOLATE_AT


def isolation_time(claim: Claim | Record) -> float:
    """Seconds that a candidate is alone in its process, if it runs so long.

    Other jobs that run in the process get the same time to end before it.
    """
    further = min(max(claim.crashes - ISOLATE_AT, 0), 8)
    return min(ISOLATION * 4.0**further, LONGEST_ISOLATION)


def mark_alone(claim: Claim, solo: bool = True) -> Change:
    """Mark a candidate that is alone in its process (a crash then proves poison), or unmark it."""
    return msgspec.structs.replace(_change(claim, "update"), solo=solo)


def update_progress(claim: Claim, progress: bytes) -> Change:
    """Write a run's progress. Like every late write it is refused after the claim is lost."""
    return Change(
        queue=claim.queue,
        id=claim.id,
        edge="update",
        token=claim.token,
        progress=progress,
    )


def cancel(record: Record, retention: Retention | None = None) -> Change:
    """Cancel a live job. The holder of its claim sees this when it renews the lease."""
    keep = max(retention.keep_failed, HELD) if retention else ORPHAN_RETENTION
    return _command(record, "cancel", keep=keep)


def supersede(queue: str, id: str, token: int, by: str, keep: float) -> Change:
    """Cancel a live job of a schedule, since a later instant has come, whose job is `by`."""
    why = Failure("Replaced", f"a later instant of its schedule has come, with job {by}")
    return Change(
        queue=queue,
        id=id,
        edge="cancel",
        token=token,
        outside=True,
        error=encode_failure(why),
        keep=max(keep, HELD),
    )


def replay(record: Record) -> Change:
    """Run an ended job again, with fresh attempts. Its last error stays readable."""
    fresh = _command(record, "replay", failures=0, crashes=0)
    return msgspec.structs.replace(fresh, solo=False, result=b"", progress=b"")


def run_now(record: Record) -> Change:
    """Run a delayed job now; its attempts stay as they are."""
    return _command(record, "run_now")


def _command(
    record: Record,
    edge: str,
    *,
    failures: int | None = None,
    crashes: int | None = None,
    keep: float | None = None,
) -> Change:
    return Change(
        queue=record.queue,
        id=record.id,
        edge=edge,
        token=record.token,
        outside=True,
        failures=failures,
        crashes=crashes,
        keep=keep,
    )


def allowed(record: Record, edge: str) -> bool:
    """Whether `edge` leads anywhere from the record's state."""
    return record.state in EDGES[edge].sources


_failure_encoder = msgspec.json.Encoder()
_failure_decoder = msgspec.json.Decoder(Failure)


def encode_failure(failure: Failure) -> bytes:
    """A failure as the stores keep it."""
    return _failure_encoder.encode(failure)


def decode_failure(data: bytes) -> Failure | None:
    """The stored failure, or None when there is none or it cannot be read."""
    try:
        return _failure_decoder.decode(data) if data else None
    except (ValueError, RecursionError):  # msgspec's and Unicode errors are ValueErrors
        return Failure("Unreadable", data[:200].decode("utf-8", "replace"))


def failure_text(data: bytes | None) -> str:
    """ "Type: message" of the stored failure; empty: there is none."""
    failure = decode_failure(data or b"")
    return f"{failure.type}: {failure.message}" if failure else ""
