"""The SQLite store: the verbs of the contract, each a function in one of two threads."""

from __future__ import annotations

import asyncio
import threading
import weakref
from collections.abc import Callable, Collection, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Literal, TypeVar

from asyncmqd.backends.base import (
    PAGE,
    RECALLED,
    SEARCH_PAGE,
    Extender,
    Held,
    KeyOutlook,
    Lapsed,
    Migration,
    OperationRecord,
    Outlook,
    ScheduleRecord,
    StoreError,
    Turn,
    Waited,
    WorkerRecord,
)
from asyncmqd.backends.per_loop import PerLoop
from asyncmqd.backends.sqlite import address, moves, operations, reading, registry, turns
from asyncmqd.backends.sqlite.backup import Progress, back_up
from asyncmqd.backends.sqlite.checkpoints import held_up
from asyncmqd.backends.sqlite.clock import SLOW, HostClock, boot_id
from asyncmqd.backends.sqlite.ended_jobs import Endings
from asyncmqd.backends.sqlite.free_disk_space import Room
from asyncmqd.backends.sqlite.health import concerns
from asyncmqd.backends.sqlite.insight import SQLiteInsight
from asyncmqd.backends.sqlite.migration import migrate
from asyncmqd.backends.sqlite.pruning import prune
from asyncmqd.backends.sqlite.searching import search
from asyncmqd.backends.sqlite.sqlite_version import refuse_old
from asyncmqd.backends.sqlite.store_threads import Life, join, leave, leave_behind
from asyncmqd.backends.sqlite.threads import Patience, ask, ask_blocking
from asyncmqd.backends.sqlite.transaction import Snapshot, Transaction
from asyncmqd.backends.sqlite.wakeups import Listener, ring
from asyncmqd.domain import clock
from asyncmqd.domain.change import Answer, Change
from asyncmqd.domain.job import Added, Claim, Counts, NewJob, Record
from asyncmqd.domain.schedule_counts import Fired, Passed
from asyncmqd.domain.selection import Mark, Searched, Sought
from asyncmqd.domain.settle import ORPHAN_RETENTION, Retention
from asyncmqd.domain.shared_limits import DeclaredLimits, SharedLimits
from asyncmqd.domain.states import State
from asyncmqd.domain.typed_keywords import Overlap

_Result = TypeVar("_Result")

EXTEND_LIMIT = 5.0  # seconds that the lease thread waits; it has other tries before a lease ends


class SQLiteBackend(SQLiteInsight):
    """A store in one file; any number of processes of one host may use it at the same time.

    `url` is like `sqlite:///var/lib/asyncmqd/jobs.db?synchronous=NORMAL`; see `address.Address`.
    Tests pass clocks of their own: `now` in Unix seconds, `since_boot` in seconds.
    """

    one_host = True
    has_threads = True

    def __init__(
        self,
        url: str,
        *,
        now: clock.Clock = clock.wall,
        since_boot: clock.Clock = clock.since_boot,
        boot: str | None = None,
    ) -> None:
        refuse_old()
        self.url = url
        self._address = address.parse(url)
        self.timeout = self._address.timeout
        self._room = Room(self._address.path)
        self._host = HostClock(now, since_boot, boot or boot_id())
        self._life: Life | None = None
        self._user = object()  # one of those of its life
        self._patience = PerLoop(partial(Patience, self._address.path, self.timeout))
        self._listeners = PerLoop(partial(Listener, self._address.path))
        self._endings = PerLoop(partial(Endings, self._address.path))
        self._leave_behind: weakref.finalize[..., SQLiteBackend] | None = None

    def __repr__(self) -> str:
        return f"SQLiteBackend({self.url!r})"

    # ------------------------------------------------------------------ the threads

    def _living(self) -> Life:
        life = self._life
        if life is not None and life.is_here():
            return life
        if life is not None:  # a fork does not have its threads
            self._forget()
        # The lease thread may be the first to ask, at the same time as the event loop: to join
        # twice is to join once.
        life = join(self._address, self._host, self._user)
        self._leave_behind = weakref.finalize(self, leave_behind, life, self._user)
        self._life = life
        return life

    def _forget(self) -> None:
        self._life = None
        if self._leave_behind is not None:
            self._leave_behind.detach()

    async def _write(
        self, work: Callable[[Transaction], _Result], *, flushes: bool = True, early: bool = False
    ) -> _Result:
        writer, patience = self._living().writer, self._patience.here()
        return await ask(writer, work, patience, flushes=flushes, early=early)

    async def _read(self, work: Callable[[Snapshot], _Result]) -> _Result:
        life = self._living()
        if not life.reached:
            await self.connect()
        return await ask(life.reader, work, self._patience.here())

    # ------------------------------------------------------------------ life

    async def connect(self) -> None:
        life = self._living()
        await ask(life.writer, _nothing, self._patience.here(), flushes=False)
        life.reached = True

    async def close(self) -> None:
        await self._listeners.close()
        await self._endings.close()
        life = self._life
        if life is None:
            return
        if not life.is_here():
            self._forget()
            return
        self._forget()
        if leave(life, self._user):
            await life.end()

    async def migrate(self) -> Migration | None:
        return await asyncio.to_thread(migrate, self._living().file)

    async def warnings(self) -> list[str]:
        await self.connect()
        return concerns(self._address)

    async def durability_warning(self) -> str:
        if await self._read(reading.is_slow):
            return SLOW
        return held_up(self._living().file)

    async def backup(self, target: Path, progress: Progress | None = None) -> None:
        """Write a copy of the store, as it is at one moment, to a file; work goes on meanwhile.

        `progress` is called in another thread. A file that is there is replaced when the copy is
        complete. Raises StoreError.
        """
        await self.connect()
        abandoned = threading.Event()
        try:
            await asyncio.to_thread(back_up, self._living().file, target, progress, abandoned)
        finally:
            abandoned.set()

    # ------------------------------------------------------------- the way of a job

    async def add(self, queue: str, jobs: Sequence[NewJob]) -> list[Added]:
        if not jobs:
            return []
        # Not in the transaction, which others share: they are not to fail with us.
        size = sum(len(job.payload) for job in jobs)
        try:
            self._room.check(size)
        except StoreError:  # by the file's length, of which a part may be free
            self._room.check(size, await self._read(reading.extent))
        return await self._write(partial(moves.add, queue=queue, jobs=jobs), early=True)

    async def turn(
        self,
        queue: str,
        changes: Sequence[Change],
        limit: int,
        lease: float,
        worker: str,
        told: DeclaredLimits | None = None,
        sign_up: int = 0,
    ) -> Turn:
        del sign_up  # who waits on this host hears of a job as soon as it is there, and claims it
        if not changes and limit <= 0:
            return Turn([], [])
        most = self.payload_limit
        return await self._write(
            lambda tx: turns.turn(tx, queue, changes, limit, lease, worker, told, most)
        )

    async def declare_limits(
        self, queue: str, limits: SharedLimits, by: str
    ) -> DeclaredLimits | None:
        return await self._write(partial(turns.declare_limits, queue=queue, limits=limits, by=by))

    async def extend(self, held: Sequence[Held], lease: float) -> list[bool]:
        work = partial(moves.extend, held=held, lease=lease)
        return await self._write(work, flushes=False) if held else []

    def extender(self) -> Extender | None:
        def extend(held: Sequence[Held], lease: float) -> list[bool]:
            work, writer = partial(moves.extend, held=held, lease=lease), self._living().writer
            return ask_blocking(writer, work, EXTEND_LIMIT, flushes=False) if held else []

        return extend

    # ------------------------------------------------------------------ upkeep

    async def move_due(self, queue: str, page: int = PAGE) -> int:
        return await self._write(partial(moves.move_due, queue=queue, page=page))

    async def end_awaited(self, queue: str, longest: float) -> int:
        return await self._write(partial(moves.end_awaited, queue=queue, longest=longest))

    async def expired(self, queue: str, page: int = PAGE) -> Lapsed:
        return await self._read(
            partial(reading.expired, queue=queue, page=page, most=self.payload_limit)
        )

    async def held(self, queue: str, worker: str) -> list[Claim]:
        held = partial(reading.held, queue=queue, worker=worker, most=self.payload_limit)
        return await self._read(held)

    async def unpark(self, queue: str, tasks: Collection[str], page: int = PAGE) -> int:
        return await self._write(partial(moves.unpark, queue=queue, tasks=tasks, page=page))

    async def prune(self, queue: str, retention: Retention, page: int = PAGE) -> int:
        return await prune(self._write, queue, retention, page)

    async def outlook(self, queues: Sequence[str]) -> dict[str, Outlook]:
        return await self._read(partial(reading.outlook, queues=queues))

    async def outlook_of_key(self, queue: str, key: str) -> KeyOutlook:
        return await self._read(partial(reading.outlook_of_key, queue=queue, key=key))

    async def wait(self, queues: Collection[str], timeout: float) -> set[str]:
        look = self._living().file.look
        return await self._listeners.here().wait(queues, timeout, look)

    async def recall(self) -> None:
        ring(self._address.path, [RECALLED])

    async def wait_ended(self, waited: Waited, timeout: float) -> dict[str, set[str]]:
        look = self._living().file.look
        return await self._endings.here().wait_ended(waited, timeout, look)

    # ------------------------------------------------------------------ reading

    async def now(self) -> float:
        return await self._read(reading.now)

    async def get(self, queue: str, ids: Sequence[str]) -> list[Record | None]:
        asked = queue, ids, self.payload_limit
        return await self._read(lambda view: reading.get(view, *asked))

    async def counts(self, queues: Sequence[str]) -> dict[str, Counts]:
        return await self._read(partial(reading.counts, queues=queues))

    async def queues(self) -> list[str]:
        return await self._read(reading.queues)

    # ------------------------------------------------------------------ administration

    async def pause(self, queue: str, paused: bool, by: str = "", reason: str = "") -> None:
        await self._write(partial(moves.pause, queue=queue, paused=paused, by=by, reason=reason))

    async def remove(self, queue: str, ids: Sequence[str]) -> list[bool]:
        return await self._write(partial(moves.remove, queue=queue, ids=ids))

    async def purge(self, queue: str, state: State, page: int = PAGE) -> int:
        return await self._write(partial(moves.purge, queue=queue, state=state, page=page))

    # ------------------------------------------------------------------ schedules

    async def declare_all(
        self, declared: Sequence[tuple[str, Mapping[str, bytes]]], fresh: bool, by: str = ""
    ) -> float:
        work = partial(registry.declare_all, declared=declared, fresh=fresh, by=by)
        return await self._write(work)

    async def withdraw(self, names: Sequence[tuple[str, Sequence[str]]]) -> None:
        await self._write(partial(registry.withdraw, names=names))

    async def schedules(self, *queues: str) -> list[ScheduleRecord]:
        return await self._read(partial(registry.schedules, queues=queues))

    async def fire(
        self,
        queue: str,
        name: str,
        instant: float,
        job: NewJob | None,
        passed: Passed | None = None,
        overlap: Overlap = "allow",
        keep: float = ORPHAN_RETENTION,
    ) -> Fired:
        asked = queue, name, instant, job, passed, overlap, keep
        return await self._write(lambda tx: registry.fire(tx, *asked))

    async def edit_schedule(
        self,
        queue: str,
        name: str,
        action: Literal["pause", "resume", "remove"],
        passed: int = 0,
        until: float | None = None,
    ) -> bool:
        asked = queue, name, action, passed, until
        return await self._write(lambda tx: registry.edit_schedule(tx, *asked))

    # ------------------------------------------------------------------ operations

    async def begin_operation(
        self, queue: str, id: str, order: bytes, carrier: str = "", lease: float = 0.0
    ) -> OperationRecord:
        work = partial(operations.begin, queue=queue, id=id, order=order, carrier=carrier)
        return await self._write(partial(work, lease=lease))

    async def operations(self, queues: Sequence[str] | None) -> list[OperationRecord]:
        return await self._read(partial(operations.operations, queues=queues))

    async def carry(
        self, queue: str, id: str, carrier: str, lease: float, former: str = ""
    ) -> OperationRecord | None:
        return await self._write(lambda tx: operations.carry(tx, queue, id, carrier, lease, former))

    async def advance(
        self,
        queue: str,
        id: str,
        token: int,
        lease: float,
        *,
        changes: Sequence[Change] = (),
        removed: Sequence[str] = (),
        progress: bytes | None = None,
        ends: bool = False,
    ) -> list[Answer] | None:
        return await self._write(
            lambda tx: operations.advance(
                tx, queue, id, token, lease, changes, removed, progress, ends
            )
        )

    async def cancel_operation(self, queue: str, id: str, by: str) -> bool:
        return await self._write(partial(operations.cancel, queue=queue, id=id, by=by))

    # ------------------------------------------------------------------ workers

    async def beat(self, worker: str, info: bytes, ttl: float) -> list[str]:
        work = partial(registry.beat, worker=worker, info=info, ttl=ttl)
        return await self._write(work, flushes=False)

    async def leave(self, worker: str) -> None:
        await self._write(partial(registry.leave, worker=worker), flushes=False)

    async def workers(self) -> list[WorkerRecord]:
        return await self._read(registry.workers)

    async def search(
        self,
        queue: str,
        state: State,
        sought: Sought,
        after: Mark | None = None,
        most: int = 100,
        page: int = SEARCH_PAGE,
        *,
        newest_first: bool = False,
    ) -> Searched:
        asked = sought, self.payload_limit, after, most, page, newest_first
        return await self._read(lambda view: search(view, queue, state, *asked))

    async def list(
        self, queue: str, state: State, offset: int = 0, limit: int = 100, *, payloads: bool = True
    ) -> list[Record]:
        asked = queue, state, offset, limit, self.payload_limit if payloads else 0
        return await self._read(lambda view: reading.page(view, *asked))


def _nothing(_: Transaction) -> None:
    """To begin a transaction is to reach the store."""
