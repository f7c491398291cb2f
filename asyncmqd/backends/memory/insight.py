"""What only people ask of the store in memory."""

from __future__ import annotations

from asyncmqd.backends.contract.insight import KEYS_LOOKED_AT
from asyncmqd.backends.memory.events import InMemoryEvents
from asyncmqd.backends.memory.keys import QueueKeys
from asyncmqd.domain.in_line import InLine
from asyncmqd.domain.key_backlog import BusyKey, KeyBacklog, most_first
from asyncmqd.domain.marks import KEPT_FOR, Marked, first_to_go, marked
from asyncmqd.domain.states import KEYED, State


class InMemoryInsight(InMemoryEvents):
    """The face of insight; `store.InMemoryBackend` has the others."""

    async def attempts(self, queue: str, id: str) -> bytes:
        with self._store.lock:
            row = self._store.queues[queue].rows.get(id)
            return b"" if row is None else row.attempts

    async def key_backlog(self, queue: str, most: int) -> KeyBacklog:
        with self._store.lock:
            data = self._store.queues[queue]
            waiting, of = data.lanes.backlog(KEYS_LOOKED_AT)
            keys = QueueKeys(data, self._now())
            found = [
                BusyKey(key, number, keys.held(key)[0]) for key, number in most_first(waiting, most)
            ]
        return KeyBacklog(found, len(waiting), of)

    async def in_line(self, queue: str, id: str) -> InLine | None:
        with self._store.lock:
            data = self._store.queues[queue]
            row = data.rows.get(id)
            if row is None or row.place not in {State.WAITING, KEYED}:
                return None
            return data.lanes.in_line(row.key, id, row.priority, data.lines[State.WAITING])

    async def mark(self, id: str, mark: bytes) -> None:
        with self._store.lock:
            now, marks = self._now(), self._store.marks
            marks.setdefault(id, (now, mark))
            kept = {id: each for id, each in marks.items() if each[0] > now - KEPT_FOR}
            if goes := first_to_go({id: at for id, (at, _) in kept.items()}):
                del kept[goes]
            self._store.marks = kept

    async def marks(self) -> list[Marked]:
        with self._store.lock:
            found = (marked(*each) for each in self._store.marks.values())
            return [each for each in found if each is not None]
