"""Which blocked jobs wait for which others, and for which ghosts."""

from __future__ import annotations

from collections.abc import Collection


class Edges:
    """A job that waits for several is free when the last of them has ended."""

    def __init__(self) -> None:
        self._parents: dict[str, set[str]] = {}  # of each blocked job
        self._children: dict[str, dict[str, None]] = {}  # in the order in which they came
        self.awaited: dict[str, float] = {}  # ghosts, to the ends of their leases

    def __len__(self) -> int:
        return len(self._parents)

    def parents(self, child: str) -> tuple[str, ...]:
        return tuple(sorted(self._parents.get(child, ())))

    def children(self, parent: str) -> list[str]:
        return [*self._children.get(parent, ())]

    def add(self, child: str, parents: Collection[str]) -> None:
        self._parents[child] = set(parents)
        for parent in parents:
            self._children.setdefault(parent, {})[child] = None

    def forget(self, child: str) -> None:
        """It waits for nothing any more."""
        for parent in self._parents.pop(child, ()):
            self._children[parent].pop(child, None)
            if not self._children[parent]:
                del self._children[parent]

    def pay(self, parent: str) -> list[str]:
        """A job has ended, or is deleted: the jobs that are free now. Twice does nothing."""
        free = []
        for child in self._children.pop(parent, {}):
            self._parents[child].discard(parent)
            if not self._parents[child]:
                del self._parents[child]
                free.append(child)
        return free
