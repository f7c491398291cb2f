"""An operation on many jobs whose carrier is killed: another goes on, and no job is moved twice."""

from __future__ import annotations

from datetime import datetime

import pytest

from asyncmqd.admin.operations import OperationView, view
from asyncmqd.backends.base import BaseBackend
from asyncmqd.client.operations import STEP, begin
from asyncmqd.client.pending import CallOptions, add_all, pending
from asyncmqd.domain.job import Failure
from asyncmqd.domain.operation import Order
from asyncmqd.domain.settle import Policy, Refused, settle
from asyncmqd.domain.states import State
from tests.daemon.harness import until
from tests.faults.conftest import Scene
from tests.faults.ledger import QUEUE
from tests.scale import scaled

KILLED = -9
COUNT = scaled(2_000, 200_000)
BATCH = 500
ARMED = """from asyncmqd.domain.failpoints import arm
from tests.faults.strikes import die
steps = iter([lambda: None, lambda: None, die])
arm("{step}", lambda: next(steps)())
"""
LEASE = "lease = 1\n"


async def fail_many(store: BaseBackend) -> None:
    """So many jobs have failed, and the queue is paused: what comes back waits."""
    for at in range(0, COUNT, BATCH):
        ids = [f"j{number}" for number in range(at, at + BATCH)]
        await add_all(store, QUEUE, [pending("mark", (), {}, CallOptions(job_id=id)) for id in ids])
        claims = await store.claim(QUEUE, BATCH, 60.0, "test")
        refused = Refused(Failure("OSError", "no route"))
        await store.apply(QUEUE, [settle(claim, refused, Policy(), 0.5) for claim in claims])
    await store.pause(QUEUE, True)


async def tokens(store: BaseBackend) -> set[int | None]:
    """Those of all jobs."""
    found: set[int | None] = set()
    for at in range(0, COUNT, 10 * BATCH):
        ids = [f"j{number}" for number in range(at, at + min(COUNT, 10 * BATCH))]
        found |= {record and record.token for record in await store.get(QUEUE, ids)}
    return found


def operation(scene: Scene) -> OperationView:
    (found,) = scene.store.do(lambda store: store.operations([QUEUE]))
    return view(found)


def waiting(scene: Scene) -> int:
    return scene.store.counts(QUEUE).waiting


def seconds_of(done: OperationView) -> float:
    """From the order to the end, with the starts of three daemons and the leases of two."""
    begun, ended = (datetime.fromisoformat(each or "") for each in (done.begun, done.ended))
    return (ended - begun).total_seconds()


def order_retry(scene: Scene) -> None:
    order = Order(verb="retry", states=(State.FAILED,), by="ann", reason="the route is back")
    scene.store.do(lambda store: begin(store, QUEUE, order))


@pytest.mark.row("F03", "kill -9 of who carries a bulk retry, twice")
def test_a_bulk_retry_outlives_its_carriers(scene: Scene, figure):
    scene.store.do(fail_many)
    order_retry(scene)
    for number, step in enumerate(("operated", "operating")):
        (scene.place / f"third_{step}.py").write_text(ARMED.format(step=step))
        tasks = [f"third_{step}", "ledger"]
        armed = scene.daemon(f"d{number}", top=LEASE, tasks=tasks).start(ready=False)
        assert armed.wait() == KILLED
        seen = operation(scene)
        assert seen.moved == waiting(scene), "what was moved was counted, up to the kill"
        assert 0 < seen.moved < COUNT
        assert (seen.state, seen.ended) == ("running", None)
    last = scene.daemon("last", top=LEASE).start()
    ended = last.wait_for("operation.ended", limit=scaled(60.0, 600.0))
    done = operation(scene)
    assert (done.state, done.moved, done.searched, done.left) == ("done", COUNT, COUNT, 0)
    assert (done.of, done.by, done.reason) == (COUNT, "ann", "the route is back")
    assert (ended["moved"], ended["by"], ended["reason"]) == (COUNT, done.by, done.reason)
    assert waiting(scene) == COUNT
    assert scene.store.do(tokens) == {2}, "claimed once, retried once"
    scene.store.do(lambda store: store.pause(QUEUE, False))
    until(lambda: scene.ran() == COUNT, scaled(60, 600))
    assert set(last.tally().values()) == {1}
    figure(
        f"{COUNT} jobs in {seconds_of(done):.1f} s from the order to the end, 2 carriers killed,"
        f" each job retried once; steps of {STEP}"
    )


@pytest.mark.row("F03", "a bulk retry is cancelled")
def test_a_cancelled_one_is_not_taken_up_again(scene: Scene, figure):
    scene.store.do(fail_many)
    order_retry(scene)
    (scene.place / "third_operated.py").write_text(ARMED.format(step="operated"))
    armed = scene.daemon("d0", top=LEASE, tasks=["third_operated", "ledger"]).start(ready=False)
    assert armed.wait() == KILLED
    moved = operation(scene).moved
    id = operation(scene).id
    assert scene.store.do(lambda store: store.cancel_operation(QUEUE, id, "bob"))
    last = scene.daemon("last", top=LEASE).start()
    assert last.stop() == 0
    seen = operation(scene)
    assert (seen.state, seen.ended_by, seen.moved) == ("cancelled", "bob", moved)
    assert waiting(scene) == moved
    assert not last.all("operation.carried")
    figure(f"{moved} of {COUNT} jobs were retried before it was cancelled, none after")
