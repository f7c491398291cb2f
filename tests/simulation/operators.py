"""Operators of a world: they order what is done to many jobs, and may do it themselves."""

from __future__ import annotations

import asyncio
import contextlib
from typing import TYPE_CHECKING

from asyncmqd.backends.base import OperationRecord, StoreError
from asyncmqd.client.operations import begin, carry_on
from asyncmqd.domain.operation import Order
from asyncmqd.domain.settle import is_poison_candidate, run_now
from asyncmqd.domain.states import State
from tests.simulation.plan import Operation
from tests.simulation.process import LEASE

if TYPE_CHECKING:
    from tests.simulation.simulation import Simulation

QUEUE = "a"


async def operate(sim: Simulation, operation: Operation) -> None:
    """Order it at its time; an operator may give up, and then others carry it on."""
    await asyncio.sleep(operation.at)
    store, by = sim.client.store, "ann"
    order = Order(verb=operation.verb, states=operation.states, by=by)
    try:
        record = await begin(store, QUEUE, order, by if operation.carries else "", LEASE)
        async with asyncio.TaskGroup() as group:
            if operation.cancelled is not None:
                group.create_task(_cancel(sim, record.id, operation.cancelled))
            if operation.carries:
                group.create_task(_carry(sim, record))
    except StoreError:
        pass
    finally:
        sim.operating -= 1


async def _cancel(sim: Simulation, id: str, after: float) -> None:
    await asyncio.sleep(after)
    with contextlib.suppress(StoreError):
        await sim.client.store.cancel_operation(QUEUE, id, "bob")


async def _carry(sim: Simulation, record: OperationRecord) -> None:
    with contextlib.suppress(StoreError):
        await carry_on(sim.client.store, record, LEASE)


async def run_candidates(sim: Simulation) -> None:
    """Run now what was put off, because another candidate ran, while the clock was ahead.

    Such a job waits until the clock has reached that time again, as all that is delayed does.
    """
    store = sim.client.store
    ids = [id for queue, id in sim.judge.history.live if queue == QUEUE]
    for record in await store.get(QUEUE, ids):
        if record and record.state is State.DELAYED and is_poison_candidate(record):
            await store.apply(QUEUE, [run_now(record)])
