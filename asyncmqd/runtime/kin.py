"""`Kin`: who else is there, by this process's name above all: former selves, perhaps a twin."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from collections.abc import Set as AbstractSet

from asyncmqd.backends.base import BaseBackend, WorkerRecord
from asyncmqd.domain.life import Life, Verdict, judge
from asyncmqd.domain.serving import serving_of
from asyncmqd.observe.events import Observer

_LOOKS = 20  # at a process that was killed just now, until it is gone
_PAUSE = 0.05  # seconds between two of them


class Kin:
    """The processes whose name is `instance`, but for the one with this `id`, whose `life` is ours.

    `start_of` is that of `domain.life.judge`. Whose names begin with `family` have the same parent,
    which takes back at once what a dead one held; empty: there is none.
    """

    def __init__(
        self,
        backend: BaseBackend,
        instance: str,
        id: str,
        life: Life,
        start_of: Callable[[int], int | None],
        observer: Observer,
        family: str = "",
    ) -> None:
        self.life = life
        self._backend = backend
        self._instance = instance
        self._id = id
        self._start_of = start_of
        self._observer = observer
        self._family = family
        self._others: list[WorkerRecord] = []  # who lived at the last look
        self._first_seen: dict[str, float] = {}  # by the store's clock
        self._twins: set[str] = set()  # those that were warned of
        self._told: dict[str, str] = {}  # what they say of themselves

    async def find_dead(self, part: str = "") -> set[str]:
        """Those that are dead for certain. `part` narrows them to one of the processes of a daemon.

        Raises StoreError.
        """
        for _ in range(_LOOKS):
            verdicts = await self._judge_all(part)
            if "alive" not in verdicts.values():
                break
            await asyncio.sleep(_PAUSE)
        return {id for id, verdict in verdicts.items() if verdict == "dead"}

    async def look_for_twins(self) -> None:
        """See who lives, and warn once of each that has our name. Raises StoreError."""
        for id, verdict in (await self._judge_all("")).items():
            if verdict == "alive" and id not in self._twins:
                self._twins.add(id)
                self._observer.event(
                    "daemon.warning",
                    warning=f"another living daemon has the identity {self._instance} of this one:"
                    f" {id}, {self._told[id]}. Their jobs are safe, but after a crash they are"
                    " taken back only when their leases end: give one of them another machine id,"
                    " host name or control_socket",
                    twin=id,
                )

    def shared(self, queues: AbstractSet[str]) -> AbstractSet[str]:
        """Those of the queues in which others, by the last look, may leave their jobs to us."""
        shared: AbstractSet[str] = set()
        for record in self._others:
            if len(shared) == len(queues):
                break
            if not self._is_family(record):
                shared |= serving_of(record.info).may_serve(queues)
        return shared

    def _is_family(self, record: WorkerRecord) -> bool:
        """Whether our parent sees its death; a twin's on another host it does not."""
        if not self._family or not record.id.startswith(self._family):
            return False
        return judge(serving_of(record.info), self.life, self._start_of) != "unknown"

    async def _judge_all(self, part: str) -> dict[str, Verdict]:
        verdicts: dict[str, Verdict] = {}
        self._told = {}
        self._others = [each for each in await self._backend.workers() if each.id != self._id]
        for record in self._others:
            if not record.id.startswith(f"{self._instance}/{part}"):
                continue
            life = serving_of(record.info)
            verdict = judge(life, self.life, self._start_of)
            if verdict == "unknown" and record.seen > self._first_seen.setdefault(
                record.id, record.seen
            ):
                verdict = "alive"  # its heart goes on beating
            verdicts[record.id] = verdict
            self._told[record.id] = f"process {life.pid} on host {life.host}"
        return verdicts
