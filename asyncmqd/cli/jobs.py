"""`asyncmq job`: look at jobs and move them."""

from __future__ import annotations

from collections.abc import Sequence
from textwrap import indent
from typing import TYPE_CHECKING, Annotated

import typer

from asyncmqd.cli import job_actions
from asyncmqd.cli.errors import FAILED, Misuse
from asyncmqd.cli.job_options import (
    ErrorOption,
    Filters,
    KeyOption,
    OlderThan,
    TaskOption,
    job_id,
)
from asyncmqd.cli.options import (
    AsJson,
    QueueOption,
    StateOption,
    group,
    kind_option,
)
from asyncmqd.cli.output import (
    complain,
    show_fields,
    show_json,
    show_table,
    told,
)
from asyncmqd.cli.store_choice import with_store
from asyncmqd.cli.why import show_reason
from asyncmqd.domain.did_you_mean import did_you_mean
from asyncmqd.domain.options import whole
from asyncmqd.domain.safe_text import clean
from asyncmqd.domain.states import State

if TYPE_CHECKING:
    from asyncmqd.admin.jobs import AttemptView, JobView
    from asyncmqd.backends.base import BaseBackend

_ERROR_WIDTH = 200  # characters of an error in a list; `job show` has all of it
_BELOW = frozenset({"attempts", "log"})  # what `job show` prints below the fields
_MOST_JOBS = 10**12  # to skip: more than any store has

app = group("Look at jobs, and retry, cancel or remove them.")


# ---------------------------------------------------------------------- looking


@app.command("list")
def list_jobs(
    context: typer.Context,
    queue: QueueOption = None,
    state: StateOption = None,
    limit: Annotated[
        int, kind_option(whole(1, 10_000), "How many jobs to list, from 1 to 10000.", "N")
    ] = 50,
    offset: Annotated[int, kind_option(whole(0, _MOST_JOBS), "How many jobs to skip.", "N")] = 0,
    task: TaskOption = None,
    key: KeyOption = None,
    error: ErrorOption = None,
    older_than: OlderThan = None,
    after: Annotated[
        str | None, typer.Option(metavar="CURSOR", help="Go on where a search has stopped.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """List jobs by queue and state, and search them.

    Those that run next come first, and of those that ended the newest. A search by --task,
    --key, --error or --older-than looks at a part of the jobs, and tells how to go on.
    """
    filters = Filters(task, key, error, older_than)
    states = tuple(State) if state is None else (state,)
    if after is None and not any(each is not None for each in filters):
        _list_page(context, queue, states, offset, limit, as_json=as_json)
    elif offset:
        raise Misuse("--offset: expected --after to go on with a search")
    else:
        _search(context, filters, queue, states, after, limit, as_json=as_json)


def _list_page(
    context: typer.Context,
    queue: str | None,
    states: Sequence[State],
    offset: int,
    limit: int,
    *,
    as_json: bool,
) -> None:
    from asyncmqd.admin import jobs

    async def work(store: BaseBackend) -> list[JobView]:
        page = await jobs.page(store, queue, states, offset, limit)
        if queue is not None and not page and queue not in (known := await store.queues()):
            complain(f"queue {queue}: it has no jobs{did_you_mean(queue, known)}")
        return page

    page = with_store(context, work, queue)
    if as_json:
        show_json(page)
    else:
        _show_jobs(page)


def _search(
    context: typer.Context,
    filters: Filters,
    queue: str | None,
    states: Sequence[State],
    after: str | None,
    limit: int,
    *,
    as_json: bool,
) -> None:
    from asyncmqd.admin import search

    async def work(store: BaseBackend) -> search.Found:
        return await search.search(store, filters.selection, queue, states, after, limit)

    found = with_store(context, work, queue)
    if as_json:
        show_json(found)
        return
    _show_jobs(found.jobs)
    go_on = "" if found.after is None else f": go on with --after {found.after}"
    complain(f"searched {found.searched:,} of {found.of:,} jobs{go_on}")


def _show_jobs(page: Sequence[JobView]) -> None:
    keyed = any(job.key for job in page)
    key = ("KEY",) if keyed else ()
    headings = ("ID", "QUEUE", "TASK", "STATE", "ATTEMPT", "CREATED", *key, "ERROR")
    show_table(headings, [_row(job, keyed=keyed) for job in page])


def _row(job: JobView, *, keyed: bool) -> tuple[object, ...]:
    error = _reason(job)
    key = (job.key,) if keyed else ()
    told = (job.id, job.queue, job.task, job.state, job.attempt, job.created)
    return (*told, *key, error and error[:_ERROR_WIDTH])


def _reason(job: JobView) -> str | None:
    return f"{job.error.type}: {job.error.message}" if job.error else None


@app.command()
def show(
    context: typer.Context,
    id: Annotated[str, typer.Argument(parser=job_id, metavar="ID", help="The job's id.")],
    queue: QueueOption = None,
    as_json: AsJson = False,
) -> None:
    """Show everything that is known about a job."""
    from asyncmqd.admin import jobs

    job = with_store(context, lambda store: jobs.show(store, id, queue), queue)
    if as_json:
        show_json(job)
        return
    fields = [(name, getattr(job, name)) for name in job.__struct_fields__ if name not in _BELOW]
    known = [(name, value) for name, value in fields if value is not None]
    show_fields([(name, _reason(job) if name == "error" else value) for name, value in known])
    traceback = job.error.traceback if job.error else ""
    for line in traceback.splitlines():
        print(f"    {clean(line)}")
    if job.attempts:
        print("attempts")
    for each in job.attempts:
        print(f"    {clean(_told_attempt(each))}")
    if job.log:
        print("log")
    for event in job.log or ():
        print(indent(told(event), "    "))


def _told_attempt(attempt: AttemptView) -> str:
    head = f"{attempt.number}  {attempt.outcome:<10}  {attempt.ended}  {attempt.seconds:.3f} s"
    error = f"{attempt.error.type}: {attempt.error.message}" if attempt.error else ""
    return "  ".join(filter(None, (head, attempt.worker, error)))


@app.command()
def logs(
    context: typer.Context,
    id: Annotated[str, typer.Argument(parser=job_id, metavar="ID", help="The job's id.")],
    queue: QueueOption = None,
    follow: Annotated[
        bool, typer.Option("--follow", "-f", help="Wait for further lines, until the job ends.")
    ] = False,
    lines: Annotated[
        int, kind_option(whole(1, 100_000), "How many of the last lines, from 1 to 100000.", "N")
    ] = 1_000,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object a line.")] = False,
) -> None:
    """Print what a job logged and printed.

    From the journal of this host, as far as you may read it, and from the job's last failure.
    """
    from asyncmqd.cli.job_log import print_log

    print_log(context, id, queue, lines, follow=follow, as_json=as_json)


@app.command()
def why(
    context: typer.Context,
    id: Annotated[str, typer.Argument(parser=job_id, metavar="ID", help="The job's id.")],
    queue: QueueOption = None,
    as_json: AsJson = False,
) -> None:
    """Say the one reason why a job does not run.

    With what changes it, and the command that mends it.
    """
    from asyncmqd.admin import why

    reason = with_store(context, lambda store: why.job(store, id, queue), queue)
    show_reason(reason, as_json=as_json)
    if reason.name == why.NO_SUCH_JOB:
        raise typer.Exit(FAILED)


for _command in (job_actions.retry, job_actions.cancel, job_actions.remove, job_actions.run_now):
    app.command()(_command)
