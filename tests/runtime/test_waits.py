"""Waits for results beside a store that fails: for how long it is borne."""

from __future__ import annotations

import asyncio
from collections.abc import Collection, Mapping

import pytest

from asyncmqd import Queue
from asyncmqd.backends import InMemoryBackend
from asyncmqd.backends.base import StoreError
from asyncmqd.client import result_waits
from asyncmqd.domain import clock
from tests.runtime.virtual import virtual


class Failing(InMemoryBackend):
    """Looks are answered; so many sleeps are not."""

    failures = 0

    async def wait_ended(
        self, waited: Mapping[str, Collection[str]], timeout: float
    ) -> dict[str, set[str]]:
        if self.failures:
            self.failures -= 1
            raise StoreError("it is restarted")
        return await super().wait_ended(waited, timeout)


@virtual
async def test_an_outage_in_which_all_gave_up_does_not_count_for_later_waits() -> None:
    loop = asyncio.get_running_loop()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(clock, "monotonic", loop.time)
        store = Failing()
        job = await Queue("mail", store).add("shop.thank")
        await asyncio.sleep(1)
        store.failures = 1_000_000
        with pytest.raises(TimeoutError):
            await job.result(timeout=2)
        await asyncio.sleep(2 * result_waits.PATIENCE)
        store.failures = 1
        with pytest.raises(TimeoutError, match="is waiting after 5 s"):
            await job.result(timeout=5)
