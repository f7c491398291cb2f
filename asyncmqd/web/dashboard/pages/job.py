"""A job: its story, its arguments and result, why it does not run, and what can be done."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

from asyncmqd.admin import jobs, why
from asyncmqd.admin.claim_obstacles import Reason
from asyncmqd.admin.jobs import ExplainedJob
from asyncmqd.backends.base import BaseBackend
from asyncmqd.domain.states import State
from asyncmqd.web.api import CannotDo
from asyncmqd.web.dashboard.charts import unix
from asyncmqd.web.dashboard.visit import Visit
from asyncmqd.web.dashboard.words import duration

_LINES = 200  # of its log


class Event(NamedTuple):
    """Something that happened to a job."""

    at: str | None
    kind: str  # a class of the style sheet
    what: str
    more: str = ""


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
        "journal": f"journalctl JOB_ID={job.id}",
        "log": (job.log or [])[-_LINES:],
        "may_retry": state.terminal,
        "may_run_now": state is State.DELAYED,
        "may_cancel": not state.terminal,
        "may_remove": True,
        "progress": part_done(job.progress),
    }


async def _look(store: BaseBackend, id: str, queue: str | None) -> tuple[ExplainedJob, Reason]:
    job = await jobs.show(store, id, queue)
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
    return [
        Event(job.created, "waiting", "Enqueued", _of_schedule(job)),
        *_failures(job),
        *_end(job),
    ]


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
    if job.started and (job.state == State.ACTIVE or job.finished):
        by = f"by {job.worker}" if job.worker else ""
        yield Event(job.started, "active", f"Attempt {job.attempt} started", by)
    if job.state == State.DELAYED:
        yield Event(job.due, "delayed", "Is due")
    if job.state == State.ACTIVE:
        yield Event(None, "active", "Runs now")
    if job.finished:
        yield Event(job.finished, job.state, job.state.capitalize(), _how_long(job))


def _of_schedule(job: ExplainedJob) -> str:
    return f"by schedule {job.schedule}" if job.schedule else ""


def _how_long(job: ExplainedJob) -> str:
    if not job.started or not job.finished or job.state in {State.EXPIRED, State.CANCELLED}:
        return ""
    return f"after {duration(max(0.0, unix(job.finished) - unix(job.started)))}"
