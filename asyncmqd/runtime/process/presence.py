"""`Presence`: a process says that it lives, and knows which others live: former selves, twins."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
from collections.abc import Callable
from collections.abc import Set as AbstractSet
from typing import NamedTuple

import msgspec

from asyncmqd.backends.base import WATCHED, BaseBackend, StoreError, WorkerRecord
from asyncmqd.domain.former_self import Life, Verdict, judge
from asyncmqd.domain.heartbeat import BEAT, About, Load, Serving, serving_of, together, told
from asyncmqd.domain.loop_tasks import begin, retrieve_error
from asyncmqd.domain.marks import Mark
from asyncmqd.domain.tasks import Registry
from asyncmqd.domain.told_options import ToldOptions, all_told
from asyncmqd.observe.observer import Observer
from asyncmqd.runtime.duties import DutyGroup
from asyncmqd.runtime.own_identity import resident_memory
from asyncmqd.runtime.process.health import Health
from asyncmqd.runtime.process.history_reports import Minutes
from asyncmqd.runtime.process.marks import Listed, note
from asyncmqd.runtime.process.workers import Workers

BEAT_TTL = 3 * BEAT
_GATHER = 0.05  # seconds
_LOOKS = 20  # at a process that was killed just now, until it is gone
_PAUSE = 0.05  # seconds between two of them
_LEAVING = 2.0  # seconds that the store gets to take note that we leave


class Identity(NamedTuple):
    """Who a process is: `instance` is what survives a restart, `id` and `life` are of this life.

    `lease` is how long it claims for, in seconds. `start_of` is that of `domain.former_self.judge`.
    Those whose instance begins with `family` have the same parent, which takes back at once what a
    dead one held; empty: there is none.
    """

    instance: str
    id: str
    life: Life
    lease: float
    start_of: Callable[[int], int | None]
    family: str


class Presence:
    """The heartbeat of this process, and what it knows of the other processes on its store."""

    def __init__(
        self,
        backend: BaseBackend,
        identity: Identity,
        workers: Workers,
        health: Health,
        duties: DutyGroup,
        registry: Registry,
        observer: Observer,
    ) -> None:
        self._identity = identity
        self._backend = backend
        self._workers = workers
        self._health = health
        self._minutes = Minutes(backend, workers, observer)
        self._duties = duties
        self._registry = registry
        self._observer = observer
        self._told: dict[str, ToldOptions] | None = None  # of so many tasks
        self._told_of = 0
        self._numbers = itertools.count(1)
        self._beat_now = asyncio.Event()
        self._others: list[WorkerRecord] = []  # who lived at the last look
        self._listed = Listed()  # the same, to see who dies
        self._first_seen: dict[str, float] = {}  # by the store's clock
        self._twins: set[str] = set()  # those that were warned of
        self._asking_leases: asyncio.Task[float] | None = None  # not sent yet
        self._restarting: tuple[str, float] = "", 0.0
        # Called with the queues that may have operations under way, if there are any.
        self.on_operations: Callable[[list[str]], None] = lambda _: None
        # Called before each heartbeat; what it returns, with whether somebody watches events.
        self.ask_watched: Callable[[], Callable[[bool], None]] = lambda: lambda _: None
        # What a daemon says of itself beside that.
        self.about: Callable[[], About | None] = lambda: None
        workers.on_register.append(self.beat_soon)
        health.on_failure.append(self.beat_soon)

    @property
    def id(self) -> str:
        """The name of this very process."""
        return self._identity.id

    @property
    def instance(self) -> str:
        """The name that it shares with its former selves."""
        return self._identity.instance

    @property
    def lease(self) -> float:
        """How long this process claims for, in seconds."""
        return self._identity.lease

    def worker_name(self) -> str:
        """A name for one more worker of this process, to claim by."""
        return f"{self.id}#{next(self._numbers)}"

    # ------------------------------------------------------------------ the heartbeat

    def start(self) -> None:
        """Tell from now on that this process lives."""
        self._duties.begin("heartbeat", self._beat_for_ever)

    def beat_soon(self) -> None:
        """Do not wait for the next heartbeat's time.

        With all slots taken, nobody else asks a store that failed before that.
        """
        self._beat_now.set()

    def tell_restart(self, reason: str, since: float) -> None:
        """Say from now on that this process ends, to be started anew. `since` is Unix time."""
        self._restarting = reason, since
        self.beat_soon()

    async def announce(self) -> None:
        """Say that this process lives: before it claims, or nobody could tell its death.

        The record outlives the leases of whoever dies. Raises StoreError.
        """
        ttl = max(BEAT_TTL, self.lease + BEAT)
        watched = self.ask_watched()
        answer = await self._backend.beat(self.id, self._info(), ttl)
        watched(WATCHED in answer)
        if operating := [each for each in answer if each != WATCHED]:
            self.on_operations(operating)

    async def tell_rest(self) -> None:
        """Tell the store what was counted since the last minute. Raises StoreError."""
        await self._minutes.tell_rest()

    async def leave(self) -> None:
        """Tell the last, and say that this process ends. If that fails, its record runs out."""
        with contextlib.suppress(StoreError, TimeoutError):
            async with asyncio.timeout(_LEAVING):
                await self.tell_rest()
                await note(self._backend, Mark("stopped", self.id))  # before others miss it
                await self._backend.leave(self.id)

    async def _beat_for_ever(self) -> None:
        await self._health.persistently(self._beat)

    async def _beat(self) -> None:
        await asyncio.sleep(_GATHER)  # the workers of a start or a reload come one by one
        self._beat_now.clear()
        await self.announce()
        await self._health.ask_time(self._minutes.now)
        self._health.answered()
        if await self._health.look_at_durability():
            await self.announce()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(BEAT):
                await self._beat_now.wait()

    def _info(self) -> bytes:
        said = Serving(
            **msgspec.structs.asdict(self._identity.life),
            lease=self.lease,
            queues=self._loads(),
            tasks=told(tuple(self._registry.names())),
            declared=self._declared(),
            degraded=self._health.error,
            memory=resident_memory(),
            about=self.about(),
            degraded_since=self._health.since,
            restarting=self._restarting[0],
            restarting_since=self._restarting[1] or None,
        )
        return msgspec.json.encode(said)

    def _declared(self) -> dict[str, ToldOptions] | None:
        """What tasks declare; made again only when another one was registered."""
        if len(self._registry) != self._told_of:
            found = all_told(self._registry)
            fits = found is not None and told(tuple(found)) is not None
            self._told, self._told_of = (found if fits else None), len(self._registry)
        return self._told

    def _loads(self) -> dict[str, Load]:
        """Of each queue that is served; who only scans one has no slots, and serves it not."""
        found = {}
        for queue in self._workers.queues:
            loads = [each.load for each in self._workers.of(queue)]
            if serving := [load for load in loads if load.concurrency]:
                found[queue] = together(serving)
        return found

    # ------------------------------------------------------------------ the others

    async def find_dead(self, part: str = "") -> set[str]:
        """The namesakes that are dead for certain. `part`: only this process of a daemon.

        Raises StoreError.
        """
        for _ in range(_LOOKS):
            verdicts = await self._judge_namesakes(part)
            if all(verdict != "alive" for _, verdict in verdicts):
                break
            await asyncio.sleep(_PAUSE)
        return {record.id for record, verdict in verdicts if verdict == "dead"}

    async def look_for_twins(self) -> None:
        """See who lives, and warn once of each that has our name. Raises StoreError."""
        for record, verdict in await self._judge_namesakes():
            if verdict == "alive" and record.id not in self._twins:
                self._twins.add(record.id)
                self._warn_of_twin(record)

    def shared(self, queues: AbstractSet[str]) -> AbstractSet[str]:
        """The queues of which other processes may leave jobs to us, by the last look."""
        shared: AbstractSet[str] = set()
        for record in self._others:
            if len(shared) == len(queues):
                break
            if not self._is_family(record):
                shared |= serving_of(record.info).may_serve(queues)
        return shared

    async def longest_lease(self) -> float:
        """The longest time for which this process and all that are listed claim. Raises StoreError.

        Nobody who claimed before this call is left out. The scanners of all queues ask together.
        """
        if self._asking_leases is None:
            self._asking_leases = begin(self._ask_leases())
            self._asking_leases.add_done_callback(retrieve_error)
        return await asyncio.shield(self._asking_leases)

    async def _ask_leases(self) -> float:
        await asyncio.sleep(_GATHER)
        self._asking_leases = None
        others = [serving_of(each.info).lease for each in await self._backend.workers()]
        return max(self.lease, *others, 0.0)

    async def _judge_namesakes(self, part: str = "") -> list[tuple[WorkerRecord, Verdict]]:
        self._others = [each for each in await self._backend.workers() if each.id != self.id]
        now = asyncio.get_running_loop().time()
        for id in self._listed.missing({each.id for each in self._others}, now):
            await note(self._backend, Mark("died", id))  # unless it noted its stop
        name = f"{self.instance}/{part}"
        return [(each, self._judge(each)) for each in self._others if each.id.startswith(name)]

    def _judge(self, record: WorkerRecord) -> Verdict:
        verdict = judge(serving_of(record.info), self._identity.life, self._identity.start_of)
        if verdict == "unknown" and record.seen > self._first_seen.setdefault(
            record.id, record.seen
        ):
            return "alive"  # it still sends heartbeats
        return verdict

    def _is_family(self, record: WorkerRecord) -> bool:
        """Whether our parent sees its death; a twin's on another host it does not."""
        family, life, start_of = self._identity.family, self._identity.life, self._identity.start_of
        if not family or not record.id.startswith(family):
            return False
        return judge(serving_of(record.info), life, start_of) != "unknown"

    def _warn_of_twin(self, record: WorkerRecord) -> None:
        life = serving_of(record.info)
        self._observer.event(
            "daemon.warning",
            warning=f"another living daemon has the identity {self.instance} of this one:"
            f" {record.id}, process {life.pid} on host {life.host}. Their jobs are safe, but after"
            " a crash they are taken back only when their leases end: give one of them another"
            " machine id, host name or control_socket",
            twin=record.id,
        )
