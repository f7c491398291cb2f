"""The contract of a store: its errors, and the seven faces joined (contract/).

A store decides nothing. It applies what `domain` decided, if the job is still where the decision
found it; its clock is the only one that judges leases and due times. One contract suite
(tests/contract) holds all stores together.

Times that come out are Unix seconds of the store's clock; durations that go in are seconds.
"""

from __future__ import annotations

import abc

import msgspec

from asyncmqd.backends.contract.events import WATCHED, EventStore
from asyncmqd.backends.contract.history import HistoryStore
from asyncmqd.backends.contract.insight import Insight
from asyncmqd.backends.contract.jobs import (
    ASSIGNED,
    RECALLED,
    Assigned,
    Extender,
    Held,
    JobStore,
    Take,
    Turn,
    Waited,
)
from asyncmqd.backends.contract.operations import OperationRecord, Operations, is_whole
from asyncmqd.backends.contract.reading import SEARCH_PAGE, Reading
from asyncmqd.backends.contract.registry import Registry, ScheduleRecord, WorkerRecord
from asyncmqd.backends.contract.upkeep import PAGE, KeyOutlook, Lapsed, Outlook, Upkeep
from asyncmqd.domain.codec import DEFAULT_PAYLOAD_LIMIT

__all__ = [
    "ASSIGNED",
    "PAGE",
    "RECALLED",
    "SEARCH_PAGE",
    "WATCHED",
    "Assigned",
    "BaseBackend",
    "Extender",
    "Held",
    "KeyOutlook",
    "Lapsed",
    "Migration",
    "OperationRecord",
    "Outlook",
    "ScheduleRecord",
    "StoreError",
    "StoreOutdated",
    "StoreRefused",
    "StoreUncertain",
    "Take",
    "Turn",
    "Waited",
    "WorkerRecord",
    "is_whole",
]


class StoreError(Exception):
    """The store cannot do it now: it is down, full, read-only or slow. Trying again may help."""


class StoreUncertain(StoreError):
    """The answer did not come: the store may have done what was asked, or may do it yet."""

    job_ids: tuple[str, ...] = ()  # of the jobs that a producer may have added


class StoreRefused(StoreError):
    """The store will never do it as asked: wrong credentials, a foreign or newer layout."""


class StoreOutdated(StoreRefused):
    """The store has an older layout; `BaseBackend.migrate` brings it up to date."""


class Migration(msgspec.Struct, frozen=True):
    """A store was brought from one layout to another."""

    before: int
    after: int
    backup: str | None = None  # the file that holds the store as it was


class BaseBackend(
    JobStore, Upkeep, Reading, Registry, HistoryStore, Operations, EventStore, Insight
):
    """A store of jobs.

    Every verb takes and returns many, is atomic for each job, and raises StoreError when the store
    cannot be reached; then the caller does not know whether it was done, and asks again: `add` is
    idempotent by id, `apply` by (id, token). Instances may be used from any event loop and
    thread, and connect at their first use; what they have for a loop ends with it.
    """

    url: str  # for people: without user and password
    # Whether all who use the store are on this host, so that a daemon may migrate it at its start.
    one_host = False
    # Whether an instance in use holds threads, until it is closed or forgotten.
    has_threads = False
    timeout: float | None = None
    """Seconds from the call that an enqueue may take; None: as long as the store's own calls."""
    payload_limit: int = DEFAULT_PAYLOAD_LIMIT
    """Bytes of a payload that producers may add with this instance. Of a longer one a claim brings
    just so much that it is seen to be too long. Whoever opens the store says it; a reload of the
    daemon changes it."""

    @property
    def secret_url(self) -> str:
        """The URL by which the same store is opened elsewhere; it may hold a password."""
        return self.url

    @abc.abstractmethod
    async def connect(self) -> None:
        """Reach the store, create or check its layout. Other verbs do this by themselves.

        Raises StoreError when it cannot be reached, StoreRefused when it never will be, and
        StoreOutdated when `migrate` would help.
        """

    async def migrate(self) -> Migration | None:
        """Bring an older layout to that of this release; None when it has that already.

        Whoever still runs an older release is refused from then on; while such a one has a
        heartbeat, nothing is done. Cut off at any point, it may be called again. Raises StoreError
        and StoreRefused.
        """
        return None

    @abc.abstractmethod
    async def close(self) -> None:
        """Free threads, and what the running loop has; it may be used again afterwards."""

    async def warnings(self) -> list[str]:
        """What an administrator should know about the store's set-up; empty if all is well."""
        return []

    async def durability_warning(self) -> str:
        """Why jobs that the store has are not safe in it now; empty if they are.

        Asked again and again, because a server's set-up may change. Raises StoreError.
        """
        return ""
