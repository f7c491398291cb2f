"""What one event loop has of a store: connections for its calls, and one on which it is woken."""

from __future__ import annotations

from asyncmqd.backends.redis.address import Address
from asyncmqd.backends.redis.connect import link_to
from asyncmqd.backends.redis.ended_jobs import Endings
from asyncmqd.backends.redis.leases import LeaseClient
from asyncmqd.backends.redis.shared_trips import OUTLOOKS, TURNS, SharedTrips
from asyncmqd.backends.redis.wakeups import Wakeups
from asyncmqd.domain import clock


class Way:
    """A loop's way to the store; all loops share the client of the lease thread."""

    def __init__(self, address: Address, leases: LeaseClient) -> None:
        self.link = link_to(address)
        self.turns = SharedTrips(self.link, TURNS)
        self.outlooks = SharedTrips(self.link, OUTLOOKS)
        prefix = address.prefix

        def base(queue: str) -> str:  # of the keys of a queue
            return f"{prefix}:{{{queue}}}:"

        def queue_of(base: bytes) -> str:
            return base.decode()[len(prefix) + 2 : -2]

        self.wakeups = Wakeups(self.link, prefix, queue_of, address.timeout)
        self.endings = Endings(
            self.link, f"{prefix}:ended:{clock.nonce()}", (base, queue_of), address.timeout
        )
        self._leases = leases
        self.link.on_distrust = self._distrust

    def _distrust(self) -> None:
        self.wakeups.distrust()
        self.endings.distrust()
        self._leases.distrust()

    async def close(self) -> None:
        """Close all connections."""
        await self.wakeups.end()
        await self.endings.end()
        await self.link.close()

    def abandon(self) -> None:
        """Close all sockets, of a loop that is closed."""
        self.wakeups.abandon()
        self.endings.abandon()
        self.link.abandon()
