"""One simulation: a world with store, processes, producer and faults, from a plan to a verdict."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Coroutine
from dataclasses import dataclass
from typing import Any

import msgspec

from asyncmqd.backends.base import StoreError
from asyncmqd.client.events import LOOK_EVERY, Reader
from asyncmqd.client.pending import CallOptions, add_all, pending
from asyncmqd.domain.queue_options import QueueOptions
from asyncmqd.domain.schedule import Repeatable
from asyncmqd.domain.settle import cancel
from asyncmqd.domain.states import State
from tests.simulation import faults, operators
from tests.simulation.judge import NOTICED, Judge, check
from tests.simulation.loop import SimLoop
from tests.simulation.plan import Order, Plan
from tests.simulation.process import LEASE, Process
from tests.simulation.server import RemoteStore, Server
from tests.simulation.tasks import Tasks
from tests.simulation.told import Told
from tests.simulation.verdict import (
    check_calm,
    check_fates,
    check_jump,
    check_noted,
    check_poison,
    check_rate,
    check_schedule,
)
from tests.simulation.world import World

PATIENCE = 10 * LEASE  # seconds after the last fault in which every job has to end
IDLE = 10.0  # seconds in which a process with nothing to do has to let go of everything
SKEW = 5.0  # seconds that wall clocks may be wrong, either way
DRIFT = 200e-6  # of a second each second
DRAIN = 0.5  # seconds
STUBBORN = 6.0  # seconds that a task may go on which does not stop when it is told to
RESTART = (0.2, 1.5)  # seconds until a process that has ended is started again


@dataclass(frozen=True)
class Report:
    """What a simulation did, if it broke no rule."""

    seed: int
    trace: str
    seconds: float  # of virtual time
    turns: int
    jobs: int
    runs: int
    deaths: int
    edges: dict[str, int]


class Client:
    """A process of an application: it adds and cancels jobs."""

    def __init__(self, server: Server, loop: SimLoop) -> None:
        self.name = "client"
        self.instance = "client"
        self.skew = 0.0
        self.loop = loop
        loop.owner = self
        self.store = RemoteStore(server, loop)
        server.world.loops.append(loop)

    def begin(self, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        """Do this beside the rest."""
        return self.loop.create_task(work)


class Simulation:
    """Everything of one world."""

    def __init__(self, plan: Plan) -> None:
        self.plan = plan
        self.world = World(plan.seed)
        self.judge = Judge(self.world)
        self.judge.slow = bool(plan.faults & faults.SLOW)
        self.judge.limit = plan.limit
        self.judge.rate = plan.shared_rate
        self.judge.key_limits = plan.key_limits
        self.judge.period = plan.every or 0.0
        self.judge.alone = plan.overlap == "replace"
        if plan.every is not None and "jump" in plan.faults:
            self.judge.every = plan.every
        self.judge.told = Told() if plan.watched else None
        self.server = Server(self.world, self.judge)
        self.tasks = Tasks(self.judge)
        self.processes: list[Process] = []  # the present life of each host
        self.former: list[Process] = []
        self.client = Client(self.server, self._loop())
        self.filing = len(plan.orders)  # orders that are not accepted yet
        self.cancelling: set[str] = set()
        self.calm_at = plan.length  # when the last fault is over
        self.operating = len(plan.operations)  # that operators have not given yet
        self.closing = False

    def run(self) -> Report:
        """Play it to its end. Raises Breach where a rule is broken."""
        with self.world.owns_the_clocks():
            try:
                self._play()
            finally:
                self.world.dispose()
        return Report(
            seed=self.plan.seed,
            trace=self.world.trace,
            seconds=self.world.now,
            turns=self.world.turns,
            jobs=len(self.judge.history.lives),
            runs=sum(self.judge.runs.values()),
            deaths=sum(process.loop.dead for process in self.former),
            edges=self.judge.edges | (self.judge.told.sums if self.judge.told else {}),
        )

    def _play(self) -> None:
        self.processes += [self._start(host) for host in range(self.plan.hosts)]
        if self.judge.told is not None:
            self.client.begin(self._watch(self.judge.told))
        for order in self.plan.orders:
            self.client.begin(self._file(order))
        for operation in self.plan.operations:
            self.client.begin(operators.operate(self, operation))
        for name in sorted(self.plan.faults):
            faults.PLANS[name](self)
        self.world.rest(self.plan.length)
        faults.end(self)
        self.world.rest(self.calm_at - self.world.now)
        if self.world.jumps:
            self._play_by_the_new_time()
        patience = self._patience()
        ended = self.world.run(self._is_done, patience)
        self._check_crashes()
        unended = self.judge.unended or self.judge.under_way
        check(ended, f"not ended after {patience} quiet seconds:", unended)
        self._check_idle()
        self._check_verdicts()
        self._check_ends()

    def _play_by_the_new_time(self) -> None:
        """All goes on, but for what was delayed; then the store's clock is set right."""
        served = self.world.run(self._is_served, self._patience())
        check(served, "not served by the new time:", self.judge.unended)
        self.world.rest(NOTICED + 4 * (self.plan.every or 0.0))
        check_jump(self)
        self.world.correct()
        self.client.begin(operators.run_candidates(self))

    def _is_served(self) -> bool:
        """Whether nothing waits but for a time or for what does, and the dead hold nothing."""
        lives = {key: self.judge.history.lives[key] for key in self.judge.history.live}
        delayed = {key for key, life in lives.items() if life.place == State.DELAYED}
        others = [
            (queue, life.after) for (queue, id), life in lives.items() if (queue, id) not in delayed
        ]
        return not self.filing and delayed.issuperset(others)

    def _patience(self) -> float:
        """Where jobs run one after the other, as candidates do, each may add its own time."""
        plan = self.plan
        limited = plan.limit or plan.shared_rate or plan.slots
        # So that there are many jobs.
        keyed = any(order.key for order in plan.orders) or plan.operations
        in_turn = plan.concurrency == 1 or limited or keyed or plan.faults & faults.DEADLY
        jobs = sum(order.count for order in plan.orders) if in_turn else 0
        # Those that take longer than a lease keep few slots busy for longer than that, too.
        long = sum(order.count for order in plan.orders if order.task in {"slow", "sleepy"})
        return PATIENCE + 2 * LEASE * (jobs + long / plan.concurrency)

    # ------------------------------------------------------------------ processes

    def _loop(self) -> SimLoop:
        world = self.world
        offset, drift = world.rng.uniform(0, 1e6), world.rng.uniform(-DRIFT, DRIFT)
        return SimLoop(lambda: world.now, world.rng, offset, 1 + drift)

    def _start(self, host: int) -> Process:
        return Process(
            self.server,
            host,
            self.tasks.registry,
            self._options(),
            self._loop(),
            skew=self.world.rng.uniform(-SKEW, SKEW),
            on_end=self._on_end,
            slots=self.plan.slots,
        )

    def _options(self) -> dict[str, QueueOptions]:
        plan = self.plan
        tick = Repeatable(task="tick", every=plan.every) if plan.every else None
        if tick and plan.held:
            task = "lingering" if plan.overlap == "replace" else "sleepy"
            slow = {"task": task, "args": [plan.held], "overlap": plan.overlap}
            tick = msgspec.structs.replace(tick, name="tick", **slow)
        rate, of_key = plan.shared_rate, plan.key_limits
        return {
            queue: QueueOptions(
                concurrency=plan.concurrency,
                weight=1 + plan.queues.index(queue),
                drain_timeout=DRAIN,
                global_concurrency=plan.limit,
                global_rate_limit=rate and rate.starts,
                global_burst=rate and rate.burst,
                key_concurrency=of_key and of_key.concurrency,
                key_rate_limit=of_key and of_key.rate_limit,
                key_burst=of_key and of_key.burst,
                rate_limit=plan.rate if queue == plan.queues[-1] else None,
                repeatables=(tick,) if tick and queue == "a" else (),
            )
            for queue in plan.queues
        }

    def _on_end(self, process: Process) -> None:
        """systemd: who has died or ended is started again a moment later."""
        self.former.append(process)
        self.judge.note_end(process)
        if not self.closing:
            self.world.after(self.world.rng.uniform(*RESTART), self._restart, process.host)

    def _restart(self, host: int) -> None:
        self.processes[host] = self._start(host)

    # ------------------------------------------------------------------ the application

    async def _file(self, order: Order) -> None:
        await asyncio.sleep(order.at)
        options = [
            CallOptions(
                job_id=self.world.new_id(),
                delay=order.delay,
                priority=order.priority,
                ttl=2.0 if order.task == "perishable" and not order.delay else None,
                unique=order.unique or False,
                unique_while=order.unique_while,
                unique_for=order.unique_for,
                on_conflict=order.on_conflict,
                push_for=3.0 if order.on_conflict == "push" else None,
                key=order.key or None,
                cost=order.cost,
            )
            for _ in range(order.count)
        ]
        jobs = [pending(order.task, order.args, {}, each) for each in options]
        while True:
            try:
                found = await add_all(self.client.store, order.queue, jobs)
                break
            except StoreError:
                await asyncio.sleep(0.2)
        # One whose name is taken for a time may have ended long ago, and be gone.
        there = [job for job in found if not (job.existed and order.unique_for)]
        self.judge.accepted.update({job.id: order.queue for job in there})
        self.filing -= 1
        if "cancel" in self.plan.faults and self.world.chance(0.5):
            await asyncio.sleep(self.world.rng.uniform(0, 1))
            await self._cancel(order.queue, found[0].id)

    async def _cancel(self, queue: str, id: str) -> None:
        self.cancelling.add(id)
        try:
            (record,) = await self.client.store.get(queue, [id])
            if record is not None and not record.state.terminal:
                await self.client.store.apply(queue, [cancel(record)])
        except StoreError:
            return  # an operator may give up

    async def _watch(self, told: Told) -> None:
        reader = Reader(self.client.store)
        while True:
            events = []
            with contextlib.suppress(StoreError):
                await reader.begin()
                told.read_to = told.read_to or reader.position  # there may be nothing behind it
                events = await reader.page()
            for event in events:
                told.was_read(event, check)
            if not events:
                await asyncio.sleep(LOOK_EVERY)

    # ------------------------------------------------------------------ looking

    def _is_done(self) -> bool:
        if self.filing or self.judge.history.live or self.operating or self.judge.under_way:
            return False
        return all(process.living and process.ready for process in self.processes)

    def _is_idle(self) -> bool:
        return self._is_done() and not any(process.residue for process in self.processes)

    def _check_idle(self) -> None:
        # Where later jobs replace others, and these go on for a while, few moments are idle.
        idle = self.world.run(self._is_idle, 10 * IDLE if self.judge.alone else IDLE)
        check(idle, "still held:", [process.residue for process in self.processes])

    def _check_crashes(self) -> None:
        for process in [*self.former, *self.processes]:
            check(not process.crash, process.name, process.crash)
        check(not self.client.loop.errors, self.client.loop.errors)

    def _check_verdicts(self) -> None:
        queues = self.server.backend._store.queues
        self.judge.check_end(queues)
        check_fates(self, queues)
        check_poison(self)
        check_schedule(self)
        check_rate(self)
        check_calm(self, queues)

    def _check_told(self) -> None:
        if (told := self.judge.told) is not None:
            read = self.world.run(lambda: told.is_read, IDLE)
            check(read, "read to", told.read_to, "of", told.position)
            told.check_end([*self.former, *self.processes], check)

    def _check_ends(self) -> None:
        """All stop in good order, and nothing of them is left."""
        self.closing = True
        for process in self.processes:
            process.stop()
        ended = self.world.run(lambda: all(each.ended for each in self.processes), 2 * DRAIN + 4)
        check(ended, "did not stop:", [each.name for each in self.processes if not each.ended])
        self.world.rest(STUBBORN)
        self._check_crashes()
        self._check_told()
        check_noted(self)
        held = [life for life in self.judge.history.lives.values() if life.place == "active"]
        check(not held, "still held after the end:", held)
        for process in {*self.former, *self.processes}:
            if process.ended:
                check(not process.loop.leftovers, process.name, "left", process.loop.leftovers)
