"""The run of a suspect: alone in its process for a time, so that a crash in it proves its guilt."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import msgspec

from asyncmqd.backends.base import StoreError
from asyncmqd.domain.loop_tasks import begin
from asyncmqd.domain.settle import mark_solo, trial_time
from asyncmqd.runtime.node import Node
from asyncmqd.runtime.run import Run


class ClaimLost(Exception):
    """The store says that the claim is not ours any more."""


@asynccontextmanager
async def on_trial(node: Node, run: Run) -> AsyncIterator[None]:
    """Run the suspect, for which the gate was closed, in the block. It is alone, if what runs
    beside it ends within `trial_time`; if not, it runs all the same, and a crash proves nothing.

    Nobody must wait for ever: after as long again the mark is taken off, others begin, and the next
    suspect has its turn. If the run ends before, its turn ends when the store knows (`let_go`):
    until then a crash would be taken for its own. Raises ClaimLost, or StoreError if it cannot be
    marked.
    """
    alone = await node.gate.quiet(trial_time(run.claim))
    if alone:
        await _mark(node, run)
    else:
        node.gate.open()
    ending = begin(_end_in_time(node, run, alone))
    try:
        yield
    finally:
        ending.cancel()


async def _mark(node: Node, run: Run) -> None:
    mark = mark_solo(run.claim)
    # From now on the store may have the mark, even if no reply tells so: whoever hands the job
    # back has to take it off, or a crash in which it was not alone would convict it.
    run.claim = msgspec.structs.replace(run.claim, solo=True)
    (answer,) = await node.backend.apply(run.claim.queue, [mark])
    if answer != "applied":
        raise ClaimLost


async def _end_in_time(node: Node, run: Run, marked: bool) -> None:
    await asyncio.sleep(trial_time(run.claim))
    failures = 0
    while marked:  # others may begin only once the store knows that the suspect is not alone
        try:
            await node.backend.apply(run.claim.queue, [mark_solo(run.claim, False)])
            marked = False
        except StoreError:
            await node.health.pause(failures)
            failures += 1
    node.gate.end_turn(run)
