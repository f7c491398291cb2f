"""One play of random commands: the model and a real store side by side, compared after each."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Iterable
from typing import Any

from asyncmqd.backends.base import BaseBackend
from asyncmqd.backends.memory import InMemoryBackend
from asyncmqd.domain.attempts import attempts_of
from asyncmqd.domain.history import Period
from asyncmqd.domain.job import Record
from asyncmqd.domain.states import LIVE, TERMINAL, State
from tests.contract.audit import audit
from tests.contract.commands import IDS
from tests.contract.company import company
from tests.contract.history import History
from tests.contract.jobs import later
from tests.contract.model import Command, decisions, snapshot
from tests.contract.sides import FAR, Side
from tests.eventually import LIMIT


class Play:
    """Commands to both stores, compared after each."""

    def __init__(self, store: BaseBackend, queue: str) -> None:
        self._clock = 0.0
        model = InMemoryBackend(now=lambda: self._clock)
        self._model = Side(model, queue, company(queue))
        self._store = Side(store, queue, company(queue))
        self.jobs: dict[str, Record] = {}
        self.under_way: list[str] = []  # operations
        self._watched = {queue: IDS}
        self._history = History()

    async def begin(self) -> None:
        for side in (self._model, self._store):
            side.start = await side.backend.now()
            side.watched = await side.backend.watch(FAR)
            await side.backend.wait_ended(self._watched, 0.0)
            await side.company.come(side.backend)

    async def step(self, command: Command) -> None:
        """Play one command. Raises AssertionError where the stores differ or a rule is broken."""
        expected, got = await command.play(self._model), await command.play(self._store)
        assert got == expected
        assert self._store.company.told == self._model.company.told
        reply = got
        self._clock += 0.001
        await later(self._store.backend)
        expected, got = await snapshot(self._model), await snapshot(self._store)
        assert got == expected
        await self._compare_attempts(each.change.id for each in decisions(command))
        for side in (self._model, self._store):
            await audit(side.backend, side.queue)
        await self._hear_of_ends(got)
        self._check(command, got)
        self._history.check(command, reply, got)

    async def end(self) -> None:
        """What both stores tell of the whole play, whatever became of the jobs since."""
        for side in (self._model, self._store):
            found = await side.backend.operations([side.queue])
            under_way = any(each.ended is None for each in found)
            told = await side.backend.beat("host/one", b"{}", 1.0)
            assert (side.queue in told) == under_way, "a heartbeat tells of what there is to carry"
        expected, got = await self._past(self._model), await self._past(self._store)
        assert got == expected
        await self._compare_attempts(self.jobs)

    async def _compare_attempts(self, ids: Iterable[str]) -> None:
        """What the records keep of the attempts of these jobs, but for its times."""
        for id in ids:
            expected, got = [
                [each.told for each in attempts_of(await side.backend.attempts(side.queue, id))]
                for side in (self._model, self._store)
            ]
            assert got == expected

    @staticmethod
    async def _past(side: Side) -> list[tuple[list[int], list[int]]]:
        await side.backend.note({side.queue: Period(1)}, over=True)
        minutes = (await side.backend.history(side.queue)).minutes
        return [(each.counts, each.levels[:4]) for each in minutes]

    async def _hear_of_ends(self, snapshot: dict[str, Any]) -> None:
        """Whoever waits for results is told of all that had not ended before the command."""
        live = {each.id for state in LIVE for each in snapshot["jobs"][state]}
        ended = {id for id, job in self.jobs.items() if job.state in LIVE} - live
        for side in (self._model, self._store):
            missing = set(ended)
            async with asyncio.timeout(LIMIT):
                while missing:
                    told = await side.backend.wait_ended(self._watched, 10 * LIMIT)
                    missing -= told.get(side.queue, set())

    def _check(self, command: Command, snapshot: dict[str, Any]) -> None:
        jobs = {each.id: each for state in State for each in snapshot["jobs"][state]}
        counts = snapshot["counts"]
        for state, found in snapshot["jobs"].items():
            assert {each.state for each in found} <= {state}
            assert getattr(counts, state) == len(found)
        places = Counter(each.id for state in State for each in snapshot["jobs"][state])
        assert set(places.values()) <= {1}, "a job in two places"
        assert (snapshot["next_lapse"] is None) == (not snapshot["jobs"][State.ACTIVE])
        for id in jobs.keys() & self.jobs.keys():
            self._check_life(command, self.jobs[id], jobs[id])
        self.jobs = jobs
        found = snapshot["operations"]
        self.under_way = [id for id, each in found.items() if each.ended is None]
        for side in (self._model, self._store):
            side.tokens = {id: each.token for id, each in jobs.items()}
            side.carriers = {id: each.token for id, each in found.items()}

    @staticmethod
    def _check_life(command: Command, before: Record, after: Record) -> None:
        assert after.token >= before.token, "a token fell"
        if after.state is State.ACTIVE and before.state is not State.ACTIVE:
            assert after.token > before.token, "claimed without a new token"
            assert after.due is not None, "claimed without a lease"
        if before.state in TERMINAL and before.state is not after.state:
            edges = {each.change.edge for each in decisions(command)}
            assert "replay" in edges, "an ended job came back"
