"""The one reason why a job, or the jobs of a queue, do not run.

Only the first two functions read the store, by `facts`. Every reason is one small function of
`Facts`. The worst comes first: while it holds, the others do not matter.
"""

from __future__ import annotations

import shlex
from collections.abc import Mapping

import msgspec

from asyncmqd.admin import causes, facts
from asyncmqd.admin.claim_obstacles import (
    OF_LIMITS,
    OF_PROCESSES,
    Judge,
    Reason,
    behind,
    first,
    lost,
    paused,
    task_unknown,
)
from asyncmqd.admin.facts import Facts, task_of
from asyncmqd.admin.jobs import job_view
from asyncmqd.admin.queues import Names
from asyncmqd.admin.time_format import rfc3339
from asyncmqd.backends.base import BaseBackend
from asyncmqd.domain.job import Record
from asyncmqd.domain.overlap import job_of_ghost
from asyncmqd.domain.safe_text import counted
from asyncmqd.domain.settle import CANDIDATE_PAUSE, is_poison_candidate, isolation_time
from asyncmqd.domain.states import State

NO_SUCH_JOB = "no_such_job"


async def job(store: BaseBackend, id: str, queue: str | None = None) -> Reason:
    """Why a job does not run. Raises AdminError if several queues have one of this id."""
    read = await facts.of_job(store, id, queue)
    if isinstance(read, Facts) and read.job is not None:
        return of_job(read, read.job)
    return no_such_job(id, queue, {} if isinstance(read, Facts) else read)


async def queue(store: BaseBackend, name: str, elsewhere: Names = tuple) -> Reason:
    """The worst that is wrong with a queue, `also` with the rest; that jobs run, if nothing is.

    Raises NotFound if nobody knows the queue.
    """
    return of_queue(await facts.of_queue(store, name, elsewhere))


def no_such_job(id: str, queue: str | None, elsewhere: Mapping[str, State]) -> Reason:
    """There is none of this id; `elsewhere` are the states of those that other queues have."""
    has = "No queue of this store has a" if queue is None else f"Queue {queue} has no"
    sentence = f"{has} job {id}."
    if not elsewhere:
        return Reason(
            name=NO_SUCH_JOB,
            sentence=sentence,
            changes="the producer may use another store, or the record was deleted after its time",
            command="asyncmq store info",
        )
    others = " and ".join(f"queue {name} ({state})" for name, state in elsewhere.items())
    command = f"asyncmq job why {shlex.quote(id)} --queue {shlex.quote(min(elsewhere))}"
    return Reason(
        name=NO_SUCH_JOB, sentence=f"{sentence} There is one in {others}.", command=command
    )


def of_job(facts: Facts, job: Record) -> Reason:
    """Why this job does not run; that it runs; or how it ended."""
    if job.state.terminal:
        return _ended(job)
    if job.state is State.ACTIVE:
        return lost(facts, [job]) or _to_be_alone(facts, job) or _running(facts, job)
    judges: tuple[Judge, ...] = (_blocked, paused, _parked, _not_due)
    return first(facts, (*judges, *OF_PROCESSES, *OF_LIMITS)) or _in_line(facts)


def of_queue(facts: Facts) -> Reason:
    """The worst that is wrong with a queue, or that nothing is."""
    found = causes.of_queue(facts)
    if not found:
        return _all_later(facts) or _nothing_wrong(facts)
    return msgspec.structs.replace(found[0], also=tuple(found[1:]))


# ---------------------------------------------------------------------- the job itself


def _ended(job: Record) -> Reason:
    view = job_view(job)
    how = str(job.state)
    if job.state is State.FAILED and view.error:
        how += f" after attempt {view.attempt}: {view.error.type}: {view.error.message}"
    if job.holder not in {"", job.id}:
        name = f" ({view.unique})" if view.unique else ""
        return Reason(
            name="name_held",
            sentence=f"It ended at {view.finished}: {how}. It cannot run again now, for job"
            f" {job.holder} has its unique name{name}.",
            since=view.finished,
            changes=f"job {job.holder} ends; then somebody may run this one again",
            command=f"asyncmq job why {shlex.quote(job.holder)} --queue {shlex.quote(job.queue)}",
        )
    return Reason(
        name="ended",
        sentence=f"It ended at {view.finished}: {how}.",
        since=view.finished,
        changes="somebody runs it again",
        command=_job_command("retry", job),
    )


def _running(facts: Facts, job: Record) -> Reason:
    view, holder = job_view(job), facts.holder(job)
    host = f" on host {holder.said.host}" if holder and holder.said.host else ""
    return Reason(
        name="running",
        sentence=f"It runs, since {view.started}, attempt {view.attempt}, by worker"
        f" {view.worker}{host}; its lease ends at {view.lease_ends} unless it is renewed.",
        since=view.started,
        changes="it ends by itself",
        command=_job_command("cancel", job),
    )


def _to_be_alone(facts: Facts, job: Record) -> Reason | None:
    """It is active, and nothing of it runs before the others in its process have ended."""
    waits_until = (job.started or 0.0) + isolation_time(job)
    if not is_poison_candidate(job) or job.solo or facts.now >= waits_until:
        return None
    return _isolation(job, f"until {rfc3339(waits_until)} at the latest", waits_until)


def _isolation(job: Record, when: str, until: float) -> Reason:
    return Reason(
        name="isolation",
        sentence=f"Its process died {job.crashes} times while it ran, so it is to run alone:"
        f" it waits for its turn, {when}.",
        until=rfc3339(until),
        changes="the other jobs of that process end",
        command=_job_command("cancel", job),
    )


def _blocked(facts: Facts) -> Reason | None:
    job = facts.job
    if job is None or not job.waits_for:
        return None
    first, *others = job.waits_for
    if (replaced := job_of_ghost(first)) is not None:
        return _replacing(job, replaced)
    and_others = f" and {counted(len(others), 'other')}" if others else ""
    return Reason(
        name="blocked",
        sentence=f"It waits until job {first}{and_others} has ended.",
        changes=f"job {first} ends",
        command=f"asyncmq job why {shlex.quote(first)} --queue {shlex.quote(job.queue)}",
    )


def _replacing(job: Record, replaced: str) -> Reason:
    return Reason(
        name="replacing",
        sentence=f"It waits until the code of job {replaced} has ended, which was cancelled:"
        " a later instant of their schedule had come.",
        changes=f"the worker of job {replaced} says that its code has ended, or was lost and its"
        " lease ends",
        command=f"asyncmq job show {shlex.quote(replaced)} --queue {shlex.quote(job.queue)}",
    )


def _not_due(facts: Facts) -> Reason | None:
    job = facts.job
    if job is None or job.state is not State.DELAYED or job.due is None or job.due <= facts.now:
        return None
    if is_poison_candidate(job) and job.due - facts.now <= CANDIDATE_PAUSE:
        return _isolation(job, f"tried again at {rfc3339(job.due)}", job.due)
    view, due = job_view(job), rfc3339(job.due)
    name, sentence = "not_due", f"It is not due until {due}."
    if job.failures and view.error:
        name = "retry"
        sentence = (
            f"Attempt {job.failures} failed ({view.error.type}: {view.error.message});"
            f" the next one is at {due}."
        )
    return Reason(
        name=name,
        sentence=sentence,
        until=due,
        changes="its time comes",
        command=_job_command("retry", job),
    )


def _parked(facts: Facts) -> Reason | None:
    if facts.job is None or facts.job.place == facts.job.state:
        return None
    return task_unknown(facts, task_of(facts.job))


def _in_line(facts: Facts) -> Reason:
    """Nothing that is known keeps it; but of a process that was killed nobody knows for a while."""
    last = max(facts.claiming, key=lambda each: each.seen)
    return Reason(
        name="in_line",
        sentence=f"{behind(facts)}slots are free, by the last heartbeat at {rfc3339(last.seen)}"
        f" ({last.id}), and it is about to start.",
        changes="its turn comes",
    )


# ---------------------------------------------------------------------- a queue without obstacles


def _all_later(facts: Facts) -> Reason | None:
    counts, due = facts.counts, rfc3339(facts.outlook.next_due)
    if counts.waiting or counts.active or not counts.delayed:
        return None
    return Reason(
        name="not_due",
        sentence=f"All its jobs are delayed ({counts.delayed}); the first is due at {due}.",
        until=due,
        changes="its time comes",
    )


def _nothing_wrong(facts: Facts) -> Reason:
    counts = facts.counts
    if not counts.waiting and not counts.active:
        return Reason(name="empty", sentence="It has no job that is to run.")
    return Reason(
        name="working",
        sentence=f"Its jobs run: {counts.active} active, {counts.waiting} waiting.",
    )


def _job_command(verb: str, job: Record) -> str:
    return f"asyncmq job {verb} {shlex.quote(job.id)} --queue {shlex.quote(job.queue)}"
