"""What jobs cost, and whether the rate of their queue lets them start."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol

from asyncmqd.domain.shared_limits import Bucket


class Priced(Protocol):
    """A job in memory."""

    cost: int


class Purse:
    """The tokens of a queue in one claim; `bucket` is that of its rate over all daemons, if any."""

    def __init__(self, rows: Mapping[str, Priced], bucket: Bucket | None) -> None:
        self.is_empty = False  # for the job whose turn it is
        self._rows = rows
        self._bucket = bucket

    def cost(self, id: str) -> int:
        """What a job costs."""
        return self._rows[id].cost

    def pays(self, id: str) -> bool:
        """Take what the job costs whose turn it is, if that is there."""
        self.is_empty = self._bucket is not None and not self._bucket.pay(self.cost(id))
        return not self.is_empty
