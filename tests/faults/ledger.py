"""The ledger: what producers tried and were promised, what tasks did, and the verdict over both.

All of it is written outside of the store, by the processes themselves, a line for each event in a
file opened for appending: lines of several processes do not mix, and what a killed process wrote
stays. A job counts as accepted only once the store has answered its producer. One that was sent and
not answered (the producer died, the reply was lost) is unknown: it may exist or not.
"""

from __future__ import annotations

import asyncio
import os
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from asyncmqd.backends.base import BaseBackend, StoreError
from asyncmqd.backends.factory import open_backend
from asyncmqd.client.pending import CallOptions, add_all, pending
from asyncmqd.domain.job import Record
from tests.daemon.harness import Store
from tests.faults.forked import ForkedDaemon

QUEUE = "mail"
BATCH = 50  # jobs that a producer sends at once
PAUSE = 0.02  # seconds until it sends again what was refused


@dataclass(frozen=True)
class Order:
    """What a producer is to enqueue, and where it notes what it did."""

    url: str
    notes: str
    ids: Sequence[str]
    task: str = "mark"
    args: Sequence[object] = ()
    delay: float = 0.0
    batch: int = BATCH
    pause: float = 0.0  # seconds between two batches
    key: str | None = None  # of all of them


def note(path: str, word: str, ids: Sequence[str]) -> None:
    """Write a line for each id, in one write."""
    end = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT)
    os.write(end, "".join(f"{word} {each}\n" for each in ids).encode())
    os.close(end)


async def produce(order: Order) -> None:
    """Enqueue in batches: each until the store has taken it, as an application would.

    For `fork`. The ids are the producer's own, so that a batch may be sent again.
    """
    backend = open_backend(order.url)
    try:
        for at in range(0, len(order.ids), order.batch):
            ids = order.ids[at : at + order.batch]
            note(order.notes, "attempted", ids)
            while not await _add(order, backend, ids):  # noqa: ASYNC110 - no event tells
                await asyncio.sleep(PAUSE)
            note(order.notes, "accepted", ids)
            await asyncio.sleep(order.pause)
    finally:
        await backend.close()


async def _add(order: Order, backend: BaseBackend, ids: Sequence[str]) -> bool:
    options = [CallOptions(job_id=each, delay=order.delay, key=order.key) for each in ids]
    jobs = [pending(order.task, order.args, {}, each) for each in options]
    try:
        await add_all(backend, QUEUE, jobs)
    except StoreError as error:
        note(order.notes, "refused", [str(error).replace("\n", " ")])
        return False
    return True


@dataclass(frozen=True)
class Verdict:
    """How many jobs each thing happened to."""

    attempted: int
    accepted: int
    executed: int
    lost: list[str]  # accepted, and never run to the end or in another state; with that state
    unexpected: list[str]  # run, though nobody tried to enqueue them
    doubled: int  # runs to the end beyond the first, over all jobs
    recovered: int  # jobs that were taken from a dead holder
    overwritten: list[str]  # the end state names another holder than the last that ran it

    def __str__(self) -> str:
        return (
            f"accepted {self.accepted}, lost {len(self.lost)}, overwritten {len(self.overwritten)},"
            f" doubled {self.doubled}, recovered {self.recovered}"
        )

    def check(self, doubled: int = 0) -> None:
        """Nothing lost, nothing invented, nothing overwritten, at most so many extra runs."""
        assert not self.lost, f"lost: {self.lost[:10]}"
        assert not self.unexpected, f"never enqueued: {self.unexpected[:10]}"
        assert not self.overwritten, f"overwritten: {self.overwritten[:10]}"
        assert self.doubled <= doubled, f"{self} (at most {doubled} doubled)"


def judge(
    notes: Path, daemons: Sequence[ForkedDaemon], store: Store, end: str = "completed"
) -> Verdict:
    """The verdict, when all is over: every accepted job has to have ended."""
    attempted, accepted = read(notes, "attempted"), read(notes, "accepted")
    runs = daemons[0].tally()
    records = records_of(store, sorted(accepted))
    ended = {each.id for each in records if each.state == end}
    lost = sorted(accepted - ended | (accepted - runs.keys()))
    states = {each.id: f"{each.state}, {each.crashes} crashes" for each in records}
    events = [event for daemon in daemons for event in daemon.history]
    return Verdict(
        attempted=len(attempted),
        accepted=len(accepted),
        executed=len(runs),
        lost=[f"{id} ({states.get(id, 'gone')}, {runs[id]} runs)" for id in lost],
        unexpected=sorted(runs.keys() - attempted),
        doubled=runs.total() - len(runs),
        recovered=len({e["job_id"] for e in events if e["event"] == "job.recovered"}),
        overwritten=_overwritten(events, end),
    )


def _overwritten(events: Sequence[dict], end: str) -> list[str]:
    """Jobs that ended twice: a stale holder's end was written over another's."""
    ends = Counter(event["job_id"] for event in events if event["event"] == f"job.{end}")
    return sorted(job for job, count in ends.items() if count > 1)


def read(notes: Path, word: str) -> set[str]:
    """What the producers noted with this word."""
    lines = notes.read_text().splitlines() if notes.exists() else []
    return {line.split(" ", 1)[1] for line in lines if line.startswith(f"{word} ")}


def records_of(store: Store, ids: Sequence[str]) -> list[Record]:
    """What the store has of these jobs."""
    found = store.do(lambda backend: backend.get(QUEUE, ids))
    return [each for each in found if each is not None]
