"""`Unacknowledged`: the ends and the progress of runs that the store has not been told of yet."""

from __future__ import annotations

import asyncio
import threading
from collections import defaultdict
from collections.abc import Sequence
from typing import NamedTuple

import msgspec

from asyncmqd.domain.change import Answer, Change
from asyncmqd.domain.settle import update_progress
from asyncmqd.observe.listeners import Ended, Kind
from asyncmqd.runtime.claiming.limit_declaration import Declaring
from asyncmqd.runtime.execution.run import Run
from asyncmqd.runtime.process.context import ProcessContext

_NOT_STARTED = frozenset({"park", "expire"})
"""Edges of jobs whose task was not called."""


class Batch(NamedTuple):
    """What one round trip carries."""

    ended: list[tuple[Run, Change]]
    progressed: list[Run]
    changes: list[Change]  # of both, in this order


class Unacknowledged:
    """Gathers what happens to the runs of one worker while a round trip is under way.

    `wakeup` is set when there is progress to carry; who adds an end sets it himself.
    """

    def __init__(
        self, context: ProcessContext, declaring: Declaring, queue: str, wakeup: asyncio.Event
    ) -> None:
        self.queue = queue
        self._leases = context.leases
        self._observer = context.observer
        self._declaring = declaring
        self.ended: list[tuple[Run, Change]] = []
        self.progressed: dict[str, Run] = {}
        self._wakeup = wakeup
        self._loop = asyncio.get_running_loop()
        self._thread = threading.get_ident()

    def __bool__(self) -> bool:
        return bool(self.ended or self.progressed)

    def add_end(self, run: Run, change: Change) -> None:
        """A run has ended so. Progress that the store may not have yet goes with it, unless the
        job runs again: then it has none.
        """
        if not run.begun or change.edge in _NOT_STARTED:
            change = self._as_unstarted(run, change)
        if run.progress is not None:
            self.progressed.pop(run.id, None)
            if change.progress is None:
                change = msgspec.structs.replace(change, progress=run.progress)
        self.ended.append((run, change))

    def _as_unstarted(self, run: Run, change: Change) -> Change:
        if self._declaring.known is not None:
            change = msgspec.structs.replace(change, unstarted=True)
        # A run that has not begun was no attempt.
        return change if run.begun else msgspec.structs.replace(change, attempt=None)

    def report(self, run: Run, progress: bytes) -> None:
        """Progress of a run, from whatever thread."""
        if threading.get_ident() == self._thread:
            self._add_progress(run, progress)
        else:
            self._loop.call_soon_threadsafe(self._add_progress, run, progress)

    def _add_progress(self, run: Run, progress: bytes) -> None:
        if not run.ended:
            run.progress = progress
            self.progressed[run.id] = run
            self._wakeup.set()

    def take(self) -> Batch:
        """All there is, for a round trip to carry."""
        ended, self.ended = self.ended, []
        progressed = [*self.progressed.values()]
        self.progressed = {}
        changes = [change for _, change in ended]
        changes += [update_progress(run.claim, run.progress or b"") for run in progressed]
        return Batch(ended, progressed, changes)

    def put_back(self, batch: Batch) -> None:
        """The round trip failed: the next one carries it again, or what is newer."""
        self.ended = batch.ended + self.ended
        for run in batch.progressed:
            if not run.ended:  # an end took it along
                self.progressed[run.id] = run

    def note_answers(self, batch: Batch, answers: Sequence[Answer]) -> None:
        """What the store answered to a batch: drop what is settled, explain what was refused."""
        settled: list[Run] = []
        applied: defaultdict[Kind, Ended] = defaultdict(Ended)
        alike, edge, task = Ended(), "", ""  # those of one kind mostly follow each other
        for (run, change), answer in zip(batch.ended, answers, strict=False):
            if answer in {"applied", "already"}:
                settled.append(run)
                its_task = run.spec.task if run.spec is not None else ""
                if change.edge != edge or its_task != task:
                    edge, task = change.edge, its_task
                    alike = applied[self.queue, edge, task]
                alike.append((change, run.claim, run.duration))
            else:
                self._leases.explain(run)
        self._leases.drop(*settled)
        self._observer.changes(applied)
        rest = slice(len(batch.ended), None)
        for run, change, answer in zip(
            batch.progressed, batch.changes[rest], answers[rest], strict=False
        ):
            if answer == "applied" and run.progress is change.progress:
                run.progress = None  # unless there is newer by now

    def abandon(self, error: Exception) -> None:
        """The store does not answer, and our time is over. Leases will bring the jobs back."""
        if self.ended:
            self._observer.event(
                "queue.acks_lost", queue=self.queue, jobs=len(self.ended), error=str(error)
            )
        self._leases.drop(*(run for run, _ in self.ended))
        self.ended.clear()
