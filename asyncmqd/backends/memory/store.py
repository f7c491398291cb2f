"""Jobs in this process's memory: for tests and for work that may be lost with the process.

It is also the model that the contract suite holds the other stores to, so it is written to be
obviously right rather than fast. Instances with the same URL share their jobs, in any thread.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator, Sequence
from functools import partial

import msgspec

from asyncmqd.backends.applying import apply
from asyncmqd.backends.base import (
    PAGE,
    RECALLED,
    Held,
    KeyOutlook,
    Lapsed,
    Outlook,
    Take,
    Turn,
    Waited,
)
from asyncmqd.backends.memory.instances import Receiver, SignUp, Store
from asyncmqd.backends.memory.keys import QueueKeys, bound_ghosts, gate_of, reopen
from asyncmqd.backends.memory.operations import InMemoryOperations
from asyncmqd.backends.memory.rows import COUNTED, EXPIRY, Jobs, Queue, Row
from asyncmqd.backends.memory.token_buckets import Purse
from asyncmqd.backends.memory.wakeups import Ear, Sleeper
from asyncmqd.backends.per_loop import PerLoop
from asyncmqd.domain import clock
from asyncmqd.domain.change import Answer, Change
from asyncmqd.domain.job import Added, Claim, NewJob, may_be_assigned
from asyncmqd.domain.key_limits import NEVER
from asyncmqd.domain.overlap import ghost_name
from asyncmqd.domain.settle import Retention
from asyncmqd.domain.shared_limits import (
    Bucket,
    DeclaredLimits,
    SharedLimits,
    declared,
    in_force,
    least,
    permits,
)
from asyncmqd.domain.states import EDGES, KEYED, State, parked_place

_stores: defaultdict[str, Store] = defaultdict(Store)


class InMemoryBackend(InMemoryOperations):
    """A store in memory. Without a URL its jobs belong to this instance alone.

    `now` is the store's clock; tests pass a virtual one.
    """

    def __init__(self, url: str | None = None, *, now: clock.Clock = clock.wall) -> None:
        self.url = url or "memory://"
        self._store = _stores[url] if url else Store()
        self._now = now
        self._sleepers = PerLoop(partial(Sleeper, self._store))
        self._ears = PerLoop(partial(Ear, self._store))

    async def connect(self) -> None:
        """Nothing to reach."""

    async def close(self) -> None:
        """Stop listening; the jobs stay with the URL."""
        await self._sleepers.close()
        await self._ears.close()

    # ------------------------------------------------------------- the way of a job

    async def add(self, queue: str, jobs: Sequence[NewJob]) -> list[Added]:
        with self._store.lock:
            data = Jobs(self._store.queues[queue], self._now())
            added = [data.add(job) for job in jobs]
            self._store.queues[queue].forget_idle_lanes()
            is_new = any(each.outcome != "existed" for each in added)
            assigned = is_new and may_be_assigned(jobs) and self._assign(queue)
        if is_new and not assigned:
            self._store.wake(queue)
        return added

    def _assign(self, queue: str) -> bool:
        """Claim the job that was just added for a worker that waits; whether there is one.

        Only where nothing else waits, and nothing has to be judged.
        """
        data = self._store.queues[queue]
        if data.pause or data.limits or data.lines[KEYED] or len(data.lines[State.WAITING]) != 1:
            return False
        if (waiter := self._store.next_waiter(queue)) is None:
            return False
        receiver, (worker, lease, number, limit) = waiter
        for claim in self._claim(queue, data, 1, lease, worker, Purse(data.rows, None)):
            payload = data.rows[claim.id].payload[: limit + 1]
            receiver.post(msgspec.structs.replace(claim, payload=payload), number)
        return True

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
        with self._store.lock:
            data = self._store.queues[queue]
            bucket = self._bucket(data, told)
            held = data.holding(self._now())
            blocked = len(data.edges)
            answers = [self._apply(data, change) for change in changes]
            pairs = [*zip(changes, answers, strict=True)]
            applied = [change for change, answer in pairs if answer == "applied"]
            self._hand_back(data, bucket, [each for each in applied if each.unstarted])
            reopened = reopen(data, gate_of(data, self._now()))
            freed = reopened or held > data.holding(self._now())
            claims = self._claim_allowed(queue, data, bucket, limit, lease, worker)
            data.forget_idle_lanes()
            places = permits(data.limits, data.holding(self._now()))
            passes_on = freed and places != 0 and data.waiting > 0
            is_short = len(claims) < limit
            opens_in = self._opens_in(data, bucket, places) if is_short else None
            found = SignUp(worker, lease, sign_up, self.payload_limit)
            self._note_waiter(queue, limit, found if is_short else None)
        back = any(change.path.target is State.WAITING for change in changes)
        back = back or len(data.edges) < blocked
        if passes_on or back or data.lanes.timed:
            data.lanes.timed = False
            self._store.wake(queue)
        self._store.tell(queue, [change.id for change in applied if change.path.target.terminal])
        return Turn(answers, claims, data.limits, opens_in)

    def _note_waiter(self, queue: str, limit: int, sign_up: SignUp | None) -> None:
        waiters = self._store.waiters[queue]
        waits = sign_up is not None and sign_up.number > 0
        if limit > 0 and (waiters or waits):
            receiver = self._receiver
            waiters.pop(receiver, None)
            if sign_up is not None and waits and receiver.hears:
                waiters[receiver] = sign_up

    @property
    def _receiver(self) -> Receiver:
        """Who calls."""
        return self._sleepers.here()

    def _bucket(self, queue: Queue, told: DeclaredLimits | None) -> Bucket | None:
        stored = queue.limits
        queue.limits = in_force(stored, told, self._now())
        if queue.limits is None:
            return None
        bucket = Bucket(queue.limits, queue.filling, self._now() * 1e6)
        if queue.limits is not stored:
            queue.lanes.closed = dict.fromkeys(queue.lanes.closed, 0.0)  # to be judged again
        return bucket

    def _hand_back(self, queue: Queue, bucket: Bucket | None, unstarted: list[Change]) -> None:
        for row in (queue.rows[change.id] for change in unstarted):
            if bucket is not None:
                bucket.hand_back((row.started or 0) * 1e6, row.cost)
                gate_of(queue, self._now()).hand_back(row.key, (row.started or 0) * 1e6, row.cost)

    def _claim_allowed(
        self, name: str, queue: Queue, bucket: Bucket | None, limit: int, lease: float, worker: str
    ) -> list[Claim]:
        places = permits(queue.limits, queue.holding(self._now()))
        number = least(limit, places, None if bucket is None else bucket.allowed) or 0
        purse = Purse(queue.rows, bucket)
        claims = [] if queue.pause else [*self._claim(name, queue, number, lease, worker, purse)]
        if bucket is not None:
            queue.filling = bucket.filling
        return claims

    def _opens_in(self, queue: Queue, bucket: Bucket | None, places: int | None) -> float | None:
        """When time alone lets more start, if the limits let none."""
        if places == 0:
            soonest = min(queue.ghosts.values(), default=None)
            return None if soonest is None else soonest - self._now()
        if bucket is not None and not bucket.is_open:
            return bucket.opens_in
        opens = min(queue.lanes.closed.values(), default=NEVER)
        return None if opens == NEVER else max(0.0, opens / 1e6 - self._now())

    async def declare_limits(
        self, queue: str, limits: SharedLimits, by: str
    ) -> DeclaredLimits | None:
        with self._store.lock:
            data = self._store.queues[queue]
            data.limits = declared(data.limits, limits, by, self._now())
            data.lanes.closed = dict.fromkeys(data.lanes.closed, 0.0)  # to be judged again
            if data.limits is not None:
                data.filling = Bucket(data.limits, data.filling, self._now() * 1e6).filling
        self._store.wake(queue)
        return data.limits

    def _claim(
        self, name: str, queue: Queue, limit: int, lease: float, worker: str, purse: Purse
    ) -> Iterator[Claim]:
        now = self._now()
        gate = gate_of(queue, now)
        reopen(queue, gate, due=now * 1e6)
        for id in queue.lanes.turns(limit, queue.lines[State.WAITING], gate, purse):
            row = queue.rows[id]
            row.token += 1
            row.worker, row.started = worker, now
            Jobs(queue, now).move_in_time(row, EDGES["claim"].target, lease)
            yield self._claim_of(name, row)

    def _claim_of(self, queue: str, row: Row) -> Claim:
        return Claim(
            queue=queue,
            id=row.id,
            token=row.token,
            payload=row.payload[: self.payload_limit + 1],
            size=len(row.payload),
            failures=row.failures,
            crashes=row.crashes,
            solo=row.solo,
            age=self._now() - row.created,
            worker=row.worker,
        )

    def _apply(self, queue: Queue, change: Change) -> Answer:
        return apply(Jobs(queue, self._now()), queue.rows.get(change.id), change)

    async def extend(self, held: Sequence[Held], lease: float) -> list[bool]:
        with self._store.lock:
            return [self._extend(each, lease) for each in held]

    def _extend(self, held: Held, lease: float) -> bool:
        queue = self._store.queues[held.queue]
        row = queue.rows.get(held.id)
        if row is None or row.token != held.token or row.place != State.ACTIVE:
            ghost = ghost_name(held.id, held.token)
            if ghost in queue.edges.awaited:
                queue.edges.awaited[ghost] = self._now() + lease
            return False
        Jobs(queue, self._now()).move_in_time(row, row.place, lease)
        return True

    # ------------------------------------------------------------------ upkeep

    async def move_due(self, queue: str, page: int = PAGE) -> int:
        moved = 0
        with self._store.lock:
            data, now = self._store.queues[queue], self._now()
            line = data.lines[State.DELAYED]
            while moved < page and (first := line.first()) and first[0][0] <= now:
                Jobs(data, now).move_to_tail(data.rows[first[1]])
                moved += 1
        if moved:
            self._store.wake(queue)
        return moved

    async def end_awaited(self, queue: str, longest: float) -> int:
        with self._store.lock:
            data, now = self._store.queues[queue], self._now()
            awaited = data.edges.awaited
            for ghost, end in awaited.items():
                awaited[ghost] = min(end, now + longest)
            lapsed = sorted((end, ghost) for ghost, end in awaited.items() if end <= now)
            ended = Jobs(data, now).end_awaited(ghost for _, ghost in lapsed)
            bounded = bound_ghosts(data, now + longest)
        if ended or bounded:
            self._store.wake(queue)
        return ended

    async def expired(self, queue: str, page: int = PAGE) -> Lapsed:
        with self._store.lock:
            rows, now = self._rows(queue, State.ACTIVE), self._now()
            lapsed = [self._claim_of(queue, row) for row in rows if row.rank <= now]
        return Lapsed(lapsed[:page], more=len(lapsed) >= page)

    async def held(self, queue: str, worker: str) -> list[Claim]:
        with self._store.lock:
            rows = self._rows(queue, State.ACTIVE)
            return [self._claim_of(queue, row) for row in rows if row.worker.startswith(worker)]

    async def unpark(self, queue: str, tasks: Collection[str], page: int = PAGE) -> int:
        with self._store.lock:
            data = self._store.queues[queue]
            places = sorted(place for place in map(parked_place, tasks) if data.lines.get(place))
            ids = [id for place in places for id in data.lines[place].ids()][:page]
            for id in ids:
                row = data.rows[id]
                data.move(row, State.WAITING, row.order)
        if ids:
            self._store.wake(queue)
        return len(ids)

    async def prune(self, queue: str, retention: Retention, page: int = PAGE) -> int:
        removed = 0
        with self._store.lock:
            data = self._store.queues[queue]
            while removed < page and (id := self._surplus(data, retention)):
                data.delete(data.rows[id], self._now())
                removed += 1
        return removed

    def _surplus(self, queue: Queue, retention: Retention) -> str | None:
        """The next ended job to delete, if there is one too many."""
        soonest = queue.lines[EXPIRY].first()
        if soonest and soonest[0][0] <= self._now():
            return soonest[1]
        counted = queue.lines[COUNTED]
        too_big = queue.bytes > retention.keep_bytes
        if len(counted) > retention.keep_completed or (too_big and counted):
            oldest = counted.first()
            return oldest[1] if oldest else None
        return soonest[1] if too_big and soonest else None

    async def outlook(self, queues: Sequence[str]) -> dict[str, Outlook]:
        with self._store.lock:
            return {name: self._outlook(self._store.queues[name]) for name in queues}

    def _outlook(self, queue: Queue) -> Outlook:
        delayed = queue.lines[State.DELAYED].first()
        active = queue.lines[State.ACTIVE].first()
        return Outlook(
            now=self._now(),
            waiting=0 if queue.pause else queue.waiting,
            next_due=delayed[0][0] if delayed else None,
            next_lapse=active[0][0] if active else None,
            parked_tasks=tuple(
                sorted(place.removeprefix(parked_place("")) for place in queue.parked_places())
            ),
            pause=queue.pause,
            limits=queue.limits,
            ghosts=sum(end > self._now() for end in queue.ghosts.values()),
            filling=queue.filling,
            closed_keys=len(queue.lanes.closed),
            next_ghost=min(queue.edges.awaited.values(), default=None),
        )

    async def outlook_of_key(self, queue: str, key: str) -> KeyOutlook:
        with self._store.lock:
            keys = QueueKeys(self._store.queues[queue], self._now())
            return KeyOutlook(*keys.held(key), keys.filling(key))

    async def wait(self, queues: Collection[str], timeout: float) -> set[str]:
        return await self._sleepers.here().wait(set(queues), timeout)

    def take_assigned(self, take: Take) -> None:
        self._sleepers.here().take = take

    async def retire(self, queue: str) -> None:
        with self._store.lock:
            self._note_waiter(queue, 1, None)

    async def recall(self) -> None:
        self._store.wake(RECALLED)

    async def wait_ended(self, waited: Waited, timeout: float) -> dict[str, set[str]]:
        return await self._ears.here().heard.wait(waited, timeout)

    # ------------------------------------------------------------------ deletion

    async def remove(self, queue: str, ids: Sequence[str]) -> list[bool]:
        with self._store.lock:
            data = self._store.queues[queue]
            removed = [self._remove(data, id) for id in ids]
            paid = Jobs(data, self._now()).pay(ids)
            data.forget_idle_lanes()
        if paid:
            self._store.wake(queue)
        self._store.tell(queue, ids)
        return removed

    def _remove(self, queue: Queue, id: str) -> bool:
        row = queue.rows.get(id)
        if row is not None:
            queue.delete(row)
        return row is not None

    async def purge(self, queue: str, state: State, page: int = PAGE) -> int:
        with self._store.lock:
            rows = self._rows(queue, state)[:page]
            data = self._store.queues[queue]
            for row in rows:
                data.delete(row)
            paid = Jobs(data, self._now()).pay(row.id for row in rows)
            data.forget_idle_lanes()
        if paid:
            self._store.wake(queue)
        self._store.tell(queue, [row.id for row in rows])
        return len(rows)


def forget(urls: Iterable[str]) -> None:
    """Drop the jobs of these memory URLs: for tests that must not see each other's."""
    for url in urls:
        _stores.pop(url, None)
