"""One claimed job from start to settled, for callers that claim by themselves."""

from __future__ import annotations

import asyncio

from asyncmqd.backends.base import StoreError
from asyncmqd.domain.change import Change
from asyncmqd.domain.job import Claim
from asyncmqd.domain.loop_tasks import begin
from asyncmqd.domain.queue_options import QueueOptions
from asyncmqd.domain.settle import Outcome, update_progress
from asyncmqd.runtime.execution.execute_job import Execution
from asyncmqd.runtime.execution.retry_rules import decide
from asyncmqd.runtime.execution.run import Run
from asyncmqd.runtime.execution.thread_executor import Threads
from asyncmqd.runtime.process.context import ProcessContext
from asyncmqd.runtime.tracing import TRACES


async def run_one(
    context: ProcessContext, claim: Claim, options: QueueOptions, threads: Threads | None = None
) -> None:
    """Execute the claim and apply what `settle` decides.

    Plain functions run in `threads`, by default in one of this run's own. When cancelled, hand the
    job back and re-raise; also if it has just ended, which then counts. Raises StoreError if the
    store cannot be reached.
    """
    caller = asyncio.current_task()
    assert caller is not None
    execution = (TRACES.execution or Execution)(claim.queue, options, context)
    if threads is not None:
        execution.threads = threads
    now = asyncio.get_running_loop().time()
    run = Run(claim, claim.id, now, execution.rules_of_unknown)
    execution.ending = lambda: caller.cancelling() > 0
    # In a task of its own, so that a cancellation can meet no step of it half-way.
    work = begin(_run(context, run, execution))
    cancelled: asyncio.CancelledError | None = None
    while not work.done():
        try:
            await asyncio.wait([work])
        except asyncio.CancelledError as error:
            run.stop("released")
            cancelled = error
    if cancelled is not None:
        work.exception()  # a store that cannot be reached brings the job back by its lease
        raise cancelled
    work.result()


async def _run(context: ProcessContext, run: Run, execution: Execution) -> None:
    loop = asyncio.get_running_loop()
    claim = run.claim
    notes: set[asyncio.Task[object]] = set()

    def report(_: Run, progress: bytes) -> None:
        loop.call_soon_threadsafe(note, progress)

    def note(progress: bytes) -> None:
        if not run.ended:
            apply = context.backend.apply(claim.queue, [update_progress(claim, progress)])
            notes.add(begin(apply))

    outcomes: list[Outcome | None] = []

    async def execute() -> Outcome | None:
        await context.isolation.wait()
        await execution.execute(run)
        return outcomes[0]

    run.on_progress = report
    run.on_end = lambda _, outcome: outcomes.append(outcome)
    context.leases.hold(run)
    run.asyncio_task = begin(execute())
    try:
        outcome = await _outcome(run, run.asyncio_task, execution)
    finally:
        run.end()
        await asyncio.gather(*notes, return_exceptions=True)
        await execution.close()
    run.duration = loop.time() - run.started
    if outcome is None:
        context.leases.explain(run)
        return
    await _write(context, run, decide(run, outcome, context.observer))


async def _outcome(
    run: Run, executing: asyncio.Task[Outcome | None], execution: Execution
) -> Outcome | None:
    overstayed = asyncio.get_running_loop().create_future()

    def settle_without(_: Run) -> None:
        if not overstayed.done():
            overstayed.set_result(None)

    run.on_overstay = settle_without
    if run.stop_reason is not None:  # told before there was anything to stop
        executing.cancel()
    try:
        await asyncio.wait({executing, overstayed}, return_when=asyncio.FIRST_COMPLETED)
    except asyncio.CancelledError:  # all tasks of the loop are cancelled, as `asyncio.run` does
        run.stop("released")
        await asyncio.wait({executing, overstayed}, return_when=asyncio.FIRST_COMPLETED)
    if executing.done() and not executing.cancelled():
        return executing.result()
    return execution.stopped(run)


async def _write(context: ProcessContext, run: Run, change: Change) -> None:
    try:
        (answer,) = await context.backend.apply(run.claim.queue, [change])
    except StoreError:
        context.leases.drop(run)  # its lease brings the job back
        raise
    if answer in {"applied", "already"}:
        context.leases.drop(run)
        context.observer.change(change, run.claim, run.task_name, run.duration)
    else:
        context.leases.explain(run)
