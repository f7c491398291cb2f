"""What the store in memory tells without changing anything."""

from __future__ import annotations

from collections.abc import Sequence

from msgspec.structs import replace

from asyncmqd.backends.base import SEARCH_PAGE
from asyncmqd.backends.memory.registry import InMemoryRegistry
from asyncmqd.backends.memory.rows import Queue, Row, has
from asyncmqd.domain.job import Counts, Record
from asyncmqd.domain.selection import Mark, Searched, Sought
from asyncmqd.domain.states import KEYED, State, state_of


class InMemoryReading(InMemoryRegistry):
    """The face that reads; `store.InMemoryBackend` has the others."""

    async def now(self) -> float:
        return self._now()

    async def get(self, queue: str, ids: Sequence[str]) -> list[Record | None]:
        with self._store.lock:
            rows = self._store.queues[queue].rows
            return [self._record(queue, rows[id]) if id in rows else None for id in ids]

    def _record(self, queue: str, row: Row) -> Record:
        state = state_of(row.place)
        return Record(
            queue=queue,
            id=row.id,
            place=State.WAITING if row.place == KEYED else row.place,
            payload=row.payload if len(row.payload) <= self.payload_limit else b"",
            priority=row.priority,
            token=row.token,
            failures=row.failures,
            crashes=row.crashes,
            solo=row.solo,
            created=row.created,
            due=row.rank if state in {State.DELAYED, State.ACTIVE} else None,
            started=row.started,
            finished=row.rank if state.terminal else None,
            worker=row.worker,
            error=row.error,
            result=row.result,
            progress=row.progress,
            unique=row.unique,
            key=row.key,
            cost=row.cost,
            holder=self._store.queues[queue].holder(row.unique, self._now()),
            waits_for=self._store.queues[queue].edges.parents(row.id),
        )

    async def counts(self, queues: Sequence[str]) -> dict[str, Counts]:
        with self._store.lock:
            return {name: self._counts(self._store.queues[name]) for name in queues}

    def _counts(self, queue: Queue) -> Counts:
        parked = sum(len(queue.lines[place]) for place in queue.parked_places())
        sizes = {str(state): len(queue.lines[state]) for state in State}
        sizes["waiting"] += parked + len(queue.lines[KEYED])
        return Counts(**sizes, parked=parked, paused=queue.pause is not None)

    async def queues(self) -> list[str]:
        with self._store.lock:
            return sorted(
                name for name, queue in self._store.queues.items() if queue.rows or queue.schedules
            )

    def _rows(self, queue: str, state: State) -> list[Row]:
        data = self._store.queues[queue]
        return [data.rows[id] for id in data.ids_in(state)]

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
        with self._store.lock:
            data = self._store.queues[queue]
            marks = data.marks(state, after, newest_first=newest_first)
            rows = [data.rows[id] for id, _ in marks[:page]]
            found = [number for number, row in enumerate(rows) if has(row, sought)][:most]
            looked = found[-1] + 1 if len(found) == most else len(rows)
            records = [self._record(queue, rows[number]) for number in found]
        return Searched(records, looked, marks[looked - 1][1] if looked < len(marks) else None)

    async def list(
        self, queue: str, state: State, offset: int = 0, limit: int = 100, *, payloads: bool = True
    ) -> list[Record]:
        with self._store.lock:
            rows = self._rows(queue, state)
            if state.terminal:
                rows.reverse()
            found = [self._record(queue, row) for row in rows[offset : offset + limit]]
        return found if payloads else [replace(record, payload=b"") for record in found]
