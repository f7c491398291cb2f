"""A job: its story, its arguments and result, why it does not run, and what can be done."""

from __future__ import annotations

import asyncio
import shlex
from collections.abc import Iterator
from typing import Any, NamedTuple

from asyncmqd.admin import jobs, why
from asyncmqd.admin.claim_obstacles import Reason
from asyncmqd.admin.jobs import AttemptView, ExplainedJob
from asyncmqd.backends.base import BaseBackend
from asyncmqd.domain.states import State
from asyncmqd.web.api import CannotDo
from asyncmqd.web.dashboard.charts import unix
from asyncmqd.web.dashboard.visit import Visit
from asyncmqd.web.dashboard.words import duration

_LINES = 200  # of its log
_KINDS = {"release": "waiting", "snooze": "delayed", "recover": "warn", "retry": "warn"}
_ENDS = frozenset({"fail", "quarantine"})  # outcomes after which it runs no more by itself
ATTEMPT_LINES = 10  # of the log of an attempt


class Event(NamedTuple):
    """Something that happened to a job."""

    at: str | None
    kind: str  # a class of the style sheet
    what: str
    more: str = ""
    attempt: AttemptView | None = None  # whose worker, traceback and log are shown


async def values(visit: Visit) -> dict[str, Any]:
    """What the template shows. Raises CannotDo."""
    id, queue = visit.query.get("id", ""), visit.query.get("queue") or None
    if not id:
        raise CannotDo("There is no such page.", 404)
    job, reason = await visit.source.read(lambda store: _look(store, id, queue))
    state = State(job.state)
    return {
        "job": job,
        "reason": reason,
        "story": story(job),
        "journal": f"journalctl {shlex.quote(f'JOB_ID={job.id}')}",
        "log": (job.log or [])[-_LINES:],
        "attempt_lines": ATTEMPT_LINES,
        "may_retry": state.terminal,
        "may_run_now": state is State.DELAYED,
        "may_cancel": not state.terminal,
        "may_remove": True,
        "progress": part_done(job.progress),
    }


async def _look(store: BaseBackend, id: str, queue: str | None) -> tuple[ExplainedJob, Reason]:
    if queue is not None:  # as all links say
        return await asyncio.gather(jobs.show(store, id, queue), why.job(store, id, queue))
    job = await jobs.show(store, id)
    return job, await why.job(store, id, job.queue)


def part_done(progress: Any) -> float | None:
    """Which part of the whole is done, if the progress is a number or names both."""
    if isinstance(progress, int | float) and not isinstance(progress, bool):
        return progress / 100 if 0 <= progress <= 100 else None
    if not isinstance(progress, dict):
        return None
    done, of = progress.get("done"), progress.get("of", progress.get("total"))
    if not isinstance(done, int | float) or not isinstance(of, int | float):
        return None
    return done / of if of and 0 <= done <= of else None


def story(job: ExplainedJob) -> list[Event]:
    """What the store knows of the life of a job, the first first."""
    came_back = bool(job.attempts) and (job.attempts[0].started or "") < (job.created or "")
    enqueued = Event(None if came_back else job.created, "waiting", "Enqueued", _of_schedule(job))
    return [enqueued, *(_attempts(job) if job.attempts else _failures(job)), *_end(job)]


def _attempts(job: ExplainedJob) -> Iterator[Event]:
    """The attempts that are kept; a job that ended and was run again begins to count anew."""
    first = job.attempts[0]
    if first.number > 1:
        yield Event(None, "waiting", f"Attempts before number {first.number} are not kept")
    for each, later in zip(job.attempts, [*job.attempts[1:], None], strict=True):
        yield Event(each.ended, _KINDS.get(each.outcome, "bad"), _what(each), _why(each), each)
        if each.outcome in _ENDS and (later is not None or job.state != State.FAILED):
            yield Event(job.created if later is None else None, "waiting", "Run again", "by hand")


def _what(attempt: AttemptView) -> str:
    after = f"after {duration(attempt.seconds)}"
    again = "" if attempt.next_after is None else f" for {duration(attempt.next_after)}"
    match attempt.outcome:
        case "recover":
            return f"Its worker died in attempt {attempt.number}, {after}"
        case "quarantine":
            return f"Its worker died in attempt {attempt.number}, {after}: it is not run again"
        case "release":
            return f"Handed back in attempt {attempt.number}, {after}"
        case "snooze":
            return f"Put off{again} in attempt {attempt.number}, {after}"
    paused = f", then a pause of {duration(attempt.next_after)}" if again else ""
    return f"Attempt {attempt.number} failed {after}{paused}"


def _why(attempt: AttemptView) -> str:
    return f"{attempt.error.type}: {attempt.error.message}" if attempt.error else ""


def _failures(job: ExplainedJob) -> Iterator[Event]:
    before = job.attempt - 1
    if before > 0 and job.state != State.FAILED:
        again = "once" if before == 1 else f"{before} times"
        said = f"{job.error.type}: {job.error.message}" if job.error else ""
        yield Event(None, "bad", f"Failed {again} and is tried again", said)
    if job.crashes:
        many = "once" if job.crashes == 1 else f"{job.crashes} times"
        yield Event(None, "bad", f"Its process died {many} while it ran")


def _end(job: ExplainedJob) -> Iterator[Event]:
    is_told = bool(job.attempts) and job.state == State.FAILED  # by its last attempt
    if job.started and not is_told and (job.state == State.ACTIVE or job.finished):
        by = f"by {job.worker}" if job.worker else ""
        yield Event(job.started, "active", f"Attempt {job.attempt} started", by)
    if job.state == State.DELAYED:
        yield Event(job.due, "delayed", "Is due")
    if job.state == State.ACTIVE:
        yield Event(None, "active", "Runs now")
    if job.finished:
        how_long = "" if is_told else _how_long(job)
        yield Event(job.finished, job.state, job.state.capitalize(), how_long)


def _of_schedule(job: ExplainedJob) -> str:
    return f"by schedule {job.schedule}" if job.schedule else ""


def _how_long(job: ExplainedJob) -> str:
    if not job.started or not job.finished or job.state in {State.EXPIRED, State.CANCELLED}:
        return ""
    return f"after {duration(max(0.0, unix(job.finished) - unix(job.started)))}"
