"""`Kin`: who else goes by this process's name. Former selves, and on other hosts perhaps a twin."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from asyncmqd.backends.base import BaseBackend
from asyncmqd.domain.life import Life, Verdict, judge, life_of
from asyncmqd.observe.events import Observer

_LOOKS = 20  # at a process that was killed just now, until it is gone
_PAUSE = 0.05  # seconds between two of them


class Kin:
    """The processes whose name is `instance`, but for the one with this `id`, whose `life` is ours.

    `start_of` is that of `domain.life.judge`.
    """

    def __init__(
        self,
        backend: BaseBackend,
        instance: str,
        id: str,
        life: Life,
        start_of: Callable[[int], int | None],
        observer: Observer,
    ) -> None:
        self.life = life
        self._backend = backend
        self._instance = instance
        self._id = id
        self._start_of = start_of
        self._observer = observer
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
        """Warn once of each that lives. Raises StoreError."""
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

    async def _judge_all(self, part: str) -> dict[str, Verdict]:
        verdicts: dict[str, Verdict] = {}
        self._told = {}
        for record in await self._backend.workers():
            if record.id == self._id or not record.id.startswith(f"{self._instance}/{part}"):
                continue
            life = life_of(record.info)
            verdict = judge(life, self.life, self._start_of)
            if verdict == "unknown" and record.seen > self._first_seen.setdefault(
                record.id, record.seen
            ):
                verdict = "alive"  # its heart goes on beating
            verdicts[record.id] = verdict
            self._told[record.id] = f"process {life.pid} on host {life.host}"
        return verdicts
