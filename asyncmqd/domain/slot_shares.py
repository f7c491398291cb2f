"""How the queues of a process share its slots: `max_concurrency`, and the `weight` of each queue.

The next slot is for the queue that holds the fewest for its weight, of those that want one. Beside
that, one slot is kept for each queue that holds none, so that nobody waits for jobs of others that
take long. What a queue does not want is for the others at once.
"""

from __future__ import annotations

import heapq
import itertools

_Turn = tuple[float, int, int, "Share"]

_MOST_STALE = 64  # turns that count no more, beside four for each share


class Share:
    """What one queue holds of the slots. Only `SlotShares` changes it."""

    __slots__ = ("held", "kept", "served", "turn", "wants", "weight")

    def __init__(self) -> None:
        self.weight = 1
        self.held = 0  # slots
        self.kept = False  # whether it is served: one slot is kept for it while it holds none
        self.wants = False  # more than it holds
        self.served = 0  # which slot it took last, of all that were ever taken
        self.turn: _Turn | None = None  # its place among those that want one


class SlotShares:
    """Decides which queue may take how many slots. Each decision is O(log n) in the queues.

    Never more than `cap` are taken. A `cap` that comes down takes no slot from anybody.
    """

    def __init__(self, cap: int = 0) -> None:
        self.cap = cap
        self.held = 0  # by all shares
        self.kept = 0  # shares for which a slot is kept, in use or not
        self._idle = 0  # those of them that hold none
        self._weights = 0  # of them
        self._served = 0
        self._numbers = itertools.count()
        self._turns: list[_Turn] = []  # a heap; some count no more

    # ------------------------------------------------------------------ who has a share

    def keep(self, share: Share, weight: int) -> None:
        """The queue is served, and has this weight: keep a slot for it."""
        self.drop(share)
        share.kept, share.weight = True, weight
        self.kept += 1
        self._weights += weight
        self._idle += not share.held
        self._enter(share)

    def drop(self, share: Share) -> None:
        """The queue is not served any more, but may still hold slots."""
        if share.kept:
            share.kept = False
            self.kept -= 1
            self._weights -= share.weight
            self._idle -= not share.held

    # ------------------------------------------------------------------ what they hold

    def hold(self, share: Share, held: int) -> None:
        """It holds so many now, be it more or less than before, and more than it may."""
        if held > share.held:
            self._served += 1
            share.served = self._served
        if share.kept:
            self._idle += (not held) - (not share.held)
        self.held += held - share.held
        share.held = held
        self._enter(share)

    def want(self, share: Share, wants: bool) -> None:
        """Whether it would hold more than it does."""
        if share.wants != wants:
            share.wants = wants
            self._enter(share)

    # ------------------------------------------------------------------ who may have more

    def allowed(self, share: Share) -> int:
        """How many more it may take now."""
        left = self._left(share)
        if left <= 0:
            return 0
        other = self._first_but(share)
        if other is None:
            return left
        assured = max(self._assured(share), 1) - share.held
        return max(0, min(left, max(assured, _before(share, other))))

    @property
    def next(self) -> Share | None:
        """Whose turn it is; None: nobody wants a slot, or none is left for who does."""
        turn = self._first()
        return turn if turn is not None and self._left(turn) > 0 else None

    def _left(self, share: Share) -> int:
        keeps = share.kept and not share.held
        return slots_left(self.cap, self.held, self._idle - keeps, keeps=keeps)

    def _assured(self, share: Share) -> int:
        """What it may hold even if others want slots and do not take them.

        All shares have so many, and one each, at the same time.
        """
        if not share.kept:
            return 0
        return max(0, self.cap - self.kept) * share.weight // self._weights

    # ------------------------------------------------------------------ turns

    def _enter(self, share: Share) -> None:
        """Give it the place that it has now."""
        share.turn = None
        if share.wants:
            number = next(self._numbers)
            share.turn = (share.held / share.weight, share.served, number, share)
            heapq.heappush(self._turns, share.turn)
            if len(self._turns) > _MOST_STALE + 4 * self.kept:
                self._turns = [turn for turn in self._turns if turn[-1].turn is turn]
                heapq.heapify(self._turns)

    def _first(self) -> Share | None:
        turns = self._turns
        while turns and turns[0][-1].turn is not turns[0]:
            heapq.heappop(turns)
        return turns[0][-1] if turns else None

    def _first_but(self, share: Share) -> Share | None:
        """The first of the others."""
        if self._first() is not share:
            return self._first()
        own = heapq.heappop(self._turns)
        other = self._first()
        heapq.heappush(self._turns, own)
        return other


def slots_left(cap: int, held: int, idle: int, *, keeps: bool) -> int:
    """The free slots of so many, without those that are kept for `idle` other queues.

    `keeps` says that one of the free slots is kept for this queue. After a reload more may be kept
    than there are: then a queue that holds none takes what is free.
    """
    free = cap - held
    return max(min(1, free), free - idle) if keeps else free - idle


def _before(share: Share, other: Share) -> int:
    """How many slots are for one share before it is the other's turn."""
    level = other.held * share.weight
    number = -(-level // other.weight) - share.held
    tie = share.held * other.weight == level
    return 1 if tie and share.served < other.served else number
