"""One ordered line of ids."""

from __future__ import annotations

import heapq

Key = tuple[float, float]


class Line:
    """Ids in the order of their keys: a heap whose outdated entries are passed over."""

    def __init__(self) -> None:
        self._keys: dict[str, Key] = {}
        self._heap: list[tuple[Key, str]] = []

    def __len__(self) -> int:
        return len(self._keys)

    def put(self, id: str, key: Key) -> None:
        self._keys[id] = key
        heapq.heappush(self._heap, (key, id))

    def drop(self, id: str) -> None:
        self._keys.pop(id, None)

    def first(self) -> tuple[Key, str] | None:
        while self._heap:
            key, id = self._heap[0]
            if self._keys.get(id) == key:
                return key, id
            heapq.heappop(self._heap)
        return None

    def ids(self) -> list[str]:
        return sorted(self._keys, key=lambda id: (self._keys[id], id))

    def items(self) -> list[tuple[str, Key]]:
        """All ids with their keys, in no order."""
        return [*self._keys.items()]

    def key(self, id: str) -> Key | None:
        """Its key, if it stands here."""
        return self._keys.get(id)

    def least(self, number: int) -> list[tuple[Key, str]]:
        """The first ones, up to so many."""
        found: dict[str, Key] = {}
        while len(found) < number and (first := self.first()) is not None:
            key, id = heapq.heappop(self._heap)
            found[id] = key
            assert first == (key, id)
        for id, key in found.items():
            heapq.heappush(self._heap, (key, id))
        return [(key, id) for id, key in found.items()]
