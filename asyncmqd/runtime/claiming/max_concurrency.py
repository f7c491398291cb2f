"""`DaemonSlots`: the slots that all queues of a process share, and what a worker sees of them.

Who may take one is decided in domain/slot_shares.py. A worker whose process has no such limit has
the plain `Capacity`, and nothing of this.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

from asyncmqd.domain.slot_shares import Share, SlotShares
from asyncmqd.runtime.claiming.capacity import Capacity, Reservation
from asyncmqd.runtime.claiming.rate_limiter import RateLimiter
from asyncmqd.runtime.claiming.slots import OwnSlots
from asyncmqd.runtime.claiming.start_shortage import Brake


class DaemonSlots:
    """`max_concurrency` of a process, and the queues that share it by weight."""

    def __init__(self) -> None:
        self._slots = SlotShares()
        self._shares: dict[str, Share] = {}  # by queue, those that drain included
        self._waiting: dict[Share, Callable[[], None]] = {}

    def declare(self, cap: int, weights: Mapping[str, int]) -> None:
        """Share so many slots between these queues, from now on."""
        self._slots.cap = cap
        for queue, share in list(self._shares.items()):
            if queue not in weights:
                self._slots.drop(share)
                if not share.held:
                    del self._shares[queue]
        for queue, weight in weights.items():
            share = self._shares.setdefault(queue, Share())
            if not share.kept or share.weight != weight:
                self._slots.keep(share, weight)
        self.wake_next()

    def share(self, queue: str) -> Share:
        """That of a queue."""
        return self._shares.setdefault(queue, Share())

    @property
    def cap(self) -> int:
        """How many slots there are."""
        return self._slots.cap

    def allowed(self, share: Share) -> int:
        """How many more a queue may take now."""
        return self._slots.allowed(share)

    def hold(self, share: Share, held: int) -> None:
        """A queue holds so many now. What it gave back may be for others."""
        self._slots.hold(share, held)
        self.wake_next()

    def want(self, share: Share, call: Callable[[], None]) -> None:
        """A queue has work for more slots than it holds; `call` when one may be there for it."""
        self._slots.want(share, wants=True)
        self._waiting[share] = call

    def want_no_more(self, share: Share) -> None:
        """What it does not hold is for the others."""
        self._waiting.pop(share, None)
        if share.wants:
            self._slots.want(share, wants=False)
            self.wake_next()

    def wake_next(self) -> None:
        """Tell whose turn it is, if that queue waits for it. It may sleep for another reason."""
        share = self._slots.next
        if share is not None and (call := self._waiting.get(share)) is not None:
            call()


class CappedSlots(OwnSlots):
    """The slots of one worker, of which `taken` are in use already, within those of the daemon."""

    def __init__(self, size: int, taken: int, daemon: DaemonSlots, queue: str) -> None:
        super().__init__(size)
        self.taken = taken
        self.daemon = daemon
        self.of_queue = daemon.share(queue)
        daemon.hold(self.of_queue, taken)

    @property
    def free(self) -> int:
        """How many are free, and in turn for this queue."""
        own = self.own_free
        return min(own, self.daemon.allowed(self.of_queue)) if own else 0

    @property
    def single(self) -> bool:
        """Never: queues that share slots take turns by the order in which their polls wake."""
        return False

    @property
    def waits(self) -> bool:
        """Whether it wants slots that it cannot have now."""
        return self.of_queue.wants and self.own_free > 0 and not self.free

    @property
    def own_free(self) -> int:
        """How many are free but for the limit of the daemon."""
        return max(0, self.size - self.taken)

    def take(self, limit: int) -> int:
        """Take up to `limit` free slots; how many there were."""
        count = super().take(limit)
        if count:
            self.daemon.hold(self.of_queue, self.taken)
        return count

    def give(self, count: int = 1) -> None:
        """Give slots back."""
        super().give(count)
        if count:
            self.daemon.hold(self.of_queue, self.taken)


class CappedCapacity(Capacity):
    """Slots and tokens of a worker whose process shares its slots.

    What has wanted a slot goes on to want it while a claim is under way: otherwise another would
    get what this one is about to ask for. It asks for twice as many as the last claim brought,
    and one: what it asks for and does not get nobody else can have until the reply is there.
    """

    slots: CappedSlots

    def __init__(self, slots: CappedSlots, limiter: RateLimiter | None, brake: Brake) -> None:
        super().__init__(slots, limiter)
        self._brake = brake
        self._under_way = 0  # claims
        self._brought = 0  # jobs, by the last claim

    def reserve(self, limit: int) -> Reservation:
        """Take free slots, at most the share of one round trip, and a token for each."""
        reserved = super().reserve(min(limit, 2 * self._brought + 1))
        if reserved.number:
            self._under_way += 1
        return reserved

    def use(self, reserved: Reservation, started: int = 0, kept: int = 0) -> None:
        """Jobs that start now, jobs that keep their slot and token until they do; no more came."""
        if reserved.number:
            self._under_way = max(0, self._under_way - 1)  # it may have begun before the limit
            self._brought = started + kept
        super().use(reserved, started, kept)

    def call_when_available(self, callback: Callable[[], None]) -> None:
        """Call when a slot or a token that is missing now may be there; once, if at all."""
        super().call_when_available(callback)
        if self.slots.own_free and self.tokens != 0 and self._brake.left != 0:
            self.slots.daemon.want(self.slots.of_queue, callback)
        else:
            self._want_no_more()

    def call_no_more(self) -> None:
        """Forget the call: there is nothing to do, as far as is known."""
        super().call_no_more()
        self._want_no_more()

    def _want_no_more(self) -> None:
        if not self._under_way:
            self.slots.daemon.want_no_more(self.slots.of_queue)

    def close(self) -> None:
        """The worker ends, or is limited no more: hold nothing, whatever was lost in a crash."""
        super().close()
        self._under_way = 0
        self.slots.daemon.hold(self.slots.of_queue, 0)
        self._want_no_more()
