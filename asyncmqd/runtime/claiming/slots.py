"""How many jobs may run at once: a count that can change while they run."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Protocol

from asyncmqd.domain.loop_tasks import begin

POLLS = 2  # round trips at once: Python runs the jobs of one while the store does the other
_SPLIT = 16  # slots from which on they are shared out between the polls
_MANY = 1_000


class Slots(Protocol):
    """What the claim loop needs of a concurrency limit."""

    @property
    def free(self) -> int:
        """How many may be free, at most."""

    @property
    def share(self) -> int:
        """How many one round trip takes at most, to leave the other one its own."""

    @property
    def single(self) -> bool:
        """Whether a round trip that claims leaves no slot to another one, at any time."""

    def take(self, limit: int) -> int:
        """Take up to `limit` free slots; how many there were."""

    def give(self, count: int = 1) -> None:
        """Give slots back."""

    def call_when_free(self, callback: Callable[[], None]) -> None:
        """Call once, when a slot that is taken now has become free."""


class OwnSlots:
    """The slots of one worker; `resize` may leave more taken than there are, for a while."""

    def __init__(self, size: int) -> None:
        self.size = size
        self.taken = 0

    @property
    def free(self) -> int:
        """How many are free."""
        return max(0, self.size - self.taken)

    @property
    def share(self) -> int:
        """A half of many slots, all of few."""
        return self.size // POLLS if self.size >= _SPLIT else max(1, self.size)

    @property
    def single(self) -> bool:
        """Whether there is but one."""
        return self.size == 1

    def take(self, limit: int) -> int:
        """Take up to `limit` free slots; how many there were."""
        count = min(limit, self.free)
        self.taken += count
        return count

    def give(self, count: int = 1) -> None:
        """Give slots back."""
        self.taken -= count

    def call_when_free(self, callback: Callable[[], None]) -> None:
        """Nothing to do: only the worker itself gives slots back."""

    def resize(self, size: int) -> None:
        """Change the number of slots; jobs that run beyond it finish."""
        self.size = size


class SharedSlots:
    """The slots of an `asyncio.Semaphore` that others may hold too."""

    def __init__(self, semaphore: asyncio.Semaphore) -> None:
        self._semaphore = semaphore
        self._waiter: asyncio.Task[bool] | None = None

    @property
    def free(self) -> int:
        """Many or none: a semaphore does not tell how many there are."""
        waited = self._waiter is not None and self._waiter.done()
        return _MANY if waited or not self._semaphore.locked() else 0

    @property
    def share(self) -> int:
        """All that can be had: nothing is known of the others' needs."""
        return _MANY

    @property
    def single(self) -> bool:
        """A semaphore does not tell."""
        return False

    def take(self, limit: int) -> int:
        """Take up to `limit` free slots; how many there were."""
        count = 0
        if limit and self._waiter is not None and self._waiter.done():
            self._waiter = None  # the slot that it waited for is ours
            count = 1
        while count < limit and not self._semaphore.locked():
            # An unlocked semaphore is acquired without suspending; there is no call that says so.
            self._step(self._semaphore.acquire())
            count += 1
        return count

    @staticmethod
    def _step(acquiring: object) -> None:
        try:
            acquiring.send(None)  # type: ignore[attr-defined]
        except StopIteration:
            return
        raise AssertionError("an unlocked semaphore suspended its caller")

    def give(self, count: int = 1) -> None:
        """Give slots back."""
        for _ in range(count):
            self._semaphore.release()

    def call_when_free(self, callback: Callable[[], None]) -> None:
        """Wait for a slot in turn with the semaphore's other users."""
        if self._waiter is None:
            self._waiter = begin(self._semaphore.acquire())
            self._waiter.add_done_callback(lambda _: callback())

    def close(self) -> None:
        """Give up waiting."""
        waiter, self._waiter = self._waiter, None
        if waiter is None:
            return
        if waiter.done() and not waiter.cancelled():
            self._semaphore.release()
        waiter.cancel()
