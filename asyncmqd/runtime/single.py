"""One claimed job from start to settled, for callers that claim by themselves."""

from __future__ import annotations

import asyncio

from asyncmqd.backends.base import StoreError
from asyncmqd.domain.change import Change
from asyncmqd.domain.job import Claim
from asyncmqd.domain.settle import Outcome, Released, note_progress
from asyncmqd.runtime.execute import Execution, decide
from asyncmqd.runtime.node import Node
from asyncmqd.runtime.options import WorkerOptions
from asyncmqd.runtime.run import Run


async def run_one(node: Node, claim: Claim, options: WorkerOptions) -> None:
    """Execute the claim and apply what `settle` decides; when cancelled, hand the job back.

    Raises StoreError if the store cannot be reached.
    """
    loop = asyncio.get_running_loop()
    execution = Execution(options, node)
    run = Run(claim, loop.time())
    notes: set[asyncio.Task[object]] = set()

    def report(_: Run, progress: bytes) -> None:
        loop.call_soon_threadsafe(note, progress)

    def note(progress: bytes) -> None:
        if not run.ended:
            apply = node.backend.apply(claim.queue, [note_progress(claim, progress)])
            notes.add(loop.create_task(apply))

    async def execute() -> Outcome | None:
        await node.gate.wait()
        return await execution.execute(run)

    run.on_progress = report
    node.leases.hold(run)
    run.asyncio_task = loop.create_task(execute())
    try:
        outcome = await _outcome(run, execution)
    finally:
        run.end()
        await asyncio.gather(*notes, return_exceptions=True)
        await execution.close()
    run.duration = loop.time() - run.started
    if outcome is None:
        node.explain(run)
        return
    await _write(node, run, decide(run, outcome))
    if isinstance(outcome, Released) and run.stop_reason == "released":
        raise asyncio.CancelledError


async def _outcome(run: Run, execution: Execution) -> Outcome | None:
    assert run.asyncio_task is not None
    overstayed = asyncio.get_running_loop().create_future()
    run.on_overstay = lambda _: overstayed.set_result(None)
    try:
        await asyncio.wait({run.asyncio_task, overstayed}, return_when=asyncio.FIRST_COMPLETED)
    except asyncio.CancelledError:
        run.stop("released")
        await asyncio.wait({run.asyncio_task, overstayed}, return_when=asyncio.FIRST_COMPLETED)
    if run.asyncio_task.done() and not run.asyncio_task.cancelled():
        outcome: Outcome | None = run.asyncio_task.result()
        return outcome
    return execution.stopped(run)


async def _write(node: Node, run: Run, change: Change) -> None:
    try:
        (answer,) = await node.backend.apply(run.claim.queue, [change])
    except StoreError:
        node.let_go(run)  # its lease brings the job back
        raise
    if answer in {"applied", "already"}:
        node.let_go(run)
        node.observer.change(change, run.claim, run.task_name, run.duration)
    else:
        node.explain(run)
