"""`asyncmq worker`: see who serves queues, and serve one without a daemon."""

from __future__ import annotations

from typing import Annotated, Any, Literal

import typer

from asyncmqd.backends.base import BaseBackend
from asyncmqd.cli.options import AsJson, QueueArgument, group, seconds_option
from asyncmqd.cli.output import complain, show_json, show_table
from asyncmqd.cli.target import target_of, with_store
from asyncmqd.cli.views import worker_view
from asyncmqd.domain.options import EVERY

app = group("See the workers, or be one.")


@app.command("list")
def list_workers(context: typer.Context, as_json: AsJson = False) -> None:
    """List the processes that serve queues.

    Daemons are among them.
    """
    records = with_store(context, lambda store: store.workers())
    workers = [worker_view(record) for record in records]
    if as_json:
        show_json(workers)
    else:
        headings = ("WORKER", "HOST", "PID", "STARTED", "SEEN", "QUEUES")
        show_table(headings, [_row(worker) for worker in workers])


def _row(worker: dict[str, Any]) -> tuple[object, ...]:
    queues = (
        f"{name}:{queue['running']}/{queue['concurrency']}"
        for name, queue in sorted(worker["queues"].items())
    )
    return (*(worker[key] for key in ("id", "host", "pid", "started", "seen")), ",".join(queues))


@app.command()
def start(
    context: typer.Context,
    queue: QueueArgument,
    concurrency: Annotated[
        int, typer.Option(metavar="N", min=1, max=10_000, help="Jobs at once.")
    ] = 10,
    tasks: Annotated[
        list[str] | None,
        typer.Option(metavar="MODULE", help="A module with tasks; may be given several times."),
    ] = None,
    rate_limit: Annotated[
        float | None,
        typer.Option(metavar="N", min=0, max=1e6, help="Starts per --rate-interval; 0 blocks."),
    ] = None,
    rate_interval: Annotated[
        float, seconds_option("What --rate-limit counts in.", EVERY.kind)
    ] = 1.0,
    drain_timeout: Annotated[float, seconds_option("What running jobs get at SIGTERM.")] = 30.0,
    log_level: Annotated[
        Literal["debug", "info", "warning", "error"],
        typer.Option(help="Less than this is not logged."),
    ] = "info",
    log_format: Annotated[
        Literal["auto", "json", "console"],
        typer.Option(help="auto is console on a terminal and JSON elsewhere."),
    ] = "auto",
) -> None:
    """Serve one queue from here, until a signal.

    SIGTERM or Ctrl-C lets running jobs finish; a second one hands them back at once.
    """
    # Imported here: nothing else on this command line runs jobs.
    from asyncmqd.cli.serving import import_tasks, serve
    from asyncmqd.client.connection import connect
    from asyncmqd.observe.log import setup
    from asyncmqd.observe.prints import capture_prints, release_prints
    from asyncmqd.runtime.first import leave_orphans_to_parent
    from asyncmqd.runtime.runners import run_worker

    leave_orphans_to_parent()
    target = target_of(context)
    target.open()  # a URL that names no store is refused before application code runs
    connect(target.keys[0])  # what modules and jobs enqueue goes to the same store
    if not tasks:
        complain("no --tasks: jobs are put aside for workers that know their tasks")

    async def work(store: BaseBackend) -> None:
        connect(store)  # now with the payload limit of the configuration
        await run_worker(
            queue,
            store,
            concurrency=concurrency,
            rate_limit=rate_limit,
            rate_interval=rate_interval,
            drain_timeout=drain_timeout,
        )

    setup(log_level, log_format)
    capture_prints(descriptor=True, pipes=True)
    try:
        import_tasks(tasks or ())
        serve(work, queue)
    except BaseException:
        release_prints()  # it is told on standard error
        raise
