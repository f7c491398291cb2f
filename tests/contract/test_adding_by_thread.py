"""What an enqueue means is the same where the caller's own thread does it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence

import pytest

from asyncmqd.backends.base import BaseBackend
from asyncmqd.backends.redis import RedisBackend
from asyncmqd.domain.job import Added, NewJob
from tests.contract.conftest import Opener
from tests.contract.test_adding import *  # noqa: F403 - all of them are collected here, too
from tests.contract.test_large_payloads import *  # noqa: F403
from tests.contract.test_replace import *  # noqa: F403
from tests.contract.test_unique import *  # noqa: F403
from tests.scale import scaled
from tests.servers import KINDS, USUAL

pytestmark = pytest.mark.parametrize("store_url", scaled((USUAL,), KINDS), indirect=True)


class ByThread(RedisBackend):
    """Adds each job by `add_at_once`, and those by a loop that come meanwhile."""

    async def add(self, queue: str, jobs: Sequence[NewJob]) -> list[Added]:
        return [await self._add_it(queue, job) for job in jobs]

    async def _add_it(self, queue: str, job: NewJob) -> Added:
        added = await asyncio.to_thread(self.add_at_once, queue, lambda: job)
        return (await super().add(queue, [job]))[0] if added is None else added


@pytest.fixture
async def open_store(store_url: str) -> AsyncIterator[Opener]:
    instances: list[RedisBackend] = []

    async def opened() -> BaseBackend:
        instances.append(ByThread(store_url))
        await instances[-1].connect()
        return instances[-1]

    yield opened
    for each in instances:
        await each.close()
