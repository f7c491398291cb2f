"""`asyncmq worker`: see who serves queues, and serve one without a daemon."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Literal

import typer

from asyncmqd.cli.options import AsJson, QueueArgument, group, kind_option, seconds_option
from asyncmqd.cli.output import show_json, show_table
from asyncmqd.cli.store_choice import target_of, with_store
from asyncmqd.domain.options import EVERY, number, whole

if TYPE_CHECKING:
    from asyncmqd.admin.workers import WorkerView
    from asyncmqd.backends.base import BaseBackend

Concurrency = Annotated[int, kind_option(whole(1, 10_000), "Jobs at once, from 1 to 10000.", "N")]
Tasks = Annotated[
    list[str] | None,
    typer.Option(metavar="MODULE", help="A module with tasks; may be given several times."),
]
RateLimit = Annotated[
    float | None,
    kind_option(number(0, 1_000_000), "Job starts per --rate-interval; 0: none.", "N"),
]
RateInterval = Annotated[
    float, seconds_option("The period in which --rate-limit counts.", EVERY.kind)
]
DrainTimeout = Annotated[float, seconds_option("The time that running jobs get at SIGTERM.")]
LogLevel = Annotated[
    Literal["debug", "info", "warning", "error"],
    typer.Option(help="Lines below this level are not logged."),
]
LogFormat = Annotated[
    Literal["auto", "json", "console"],
    typer.Option(help="auto is console on a terminal and JSON elsewhere."),
]

app = group("Look at workers, or start one.")


@app.command("list")
def list_workers(context: typer.Context, as_json: AsJson = False) -> None:
    """List the processes that serve queues.

    Daemons are among them.
    """
    from asyncmqd.admin import workers

    found = with_store(context, workers.list_workers)
    if as_json:
        show_json(found)
    else:
        headings = ("WORKER", "HOST", "PID", "STARTED", "SEEN", "QUEUES")
        show_table(headings, [_row(worker) for worker in found])


def _row(worker: WorkerView) -> tuple[object, ...]:
    queues = (
        f"{name}:{load.running}/{load.concurrency}" for name, load in sorted(worker.queues.items())
    )
    told = (worker.id, worker.host, worker.pid, worker.started, worker.seen)
    return (*told, ",".join(queues))


@app.command()
def start(
    context: typer.Context,
    queue: QueueArgument,
    concurrency: Concurrency = 10,
    tasks: Tasks = None,
    rate_limit: RateLimit = None,
    rate_interval: RateInterval = 1.0,
    drain_timeout: DrainTimeout = 30.0,
    log_level: LogLevel = "info",
    log_format: LogFormat = "auto",
) -> None:
    """Serve one queue from here, until a signal.

    SIGTERM or Ctrl-C lets running jobs finish; a second one hands them back at once.
    """
    # Imported here: nothing else on this command line runs jobs.
    from asyncmqd.cli.worker_start import serve
    from asyncmqd.observe.log import setup
    from asyncmqd.runtime.runners import run_worker

    async def work(store: BaseBackend) -> None:
        await run_worker(
            queue,
            store,
            concurrency=concurrency,
            rate_limit=rate_limit,
            rate_interval=rate_interval,
            drain_timeout=drain_timeout,
        )

    serve(target_of(context), queue, tasks or (), work, lambda: setup(log_level, log_format))
