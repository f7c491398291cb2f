"""/live of the dashboard: so many streams, one look at the store for all of them."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any, cast

import pytest

from asyncmqd.backends import InMemoryBackend
from asyncmqd.backends.base import BaseBackend
from asyncmqd.web import sse
from asyncmqd.web.api import CannotDo
from asyncmqd.web.dashboard import ticks
from asyncmqd.web.dashboard.ticks import Ticks
from asyncmqd.web.dashboard.visit import Source
from tests.cli.test_jobs import new


class Asking:
    """Whom the pages ask for the store."""

    def __init__(self) -> None:
        self.store = InMemoryBackend()
        self.looked = asyncio.Event()

    async def read(self, work: Callable[[BaseBackend], Awaitable[Any]]) -> Any:
        """What it says."""
        found = await work(self.store)
        self.looked.set()
        return found


async def test_streams_are_limited_and_share_one_look(monkeypatch: pytest.MonkeyPatch) -> None:
    assert sse.MOST_STREAMS == 64
    monkeypatch.setattr(ticks, "MOST_STREAMS", 2)
    monkeypatch.setattr(ticks, "_SPREAD", 0.0)
    monkeypatch.setattr(ticks, "LOOK_EVERY", 0.01)
    asking, may = Asking(), True
    streams = Ticks(cast("Source", asking))
    one, other = (streams.open(lambda: may).parts for _ in range(2))
    assert (await anext(one)).startswith(b"retry: ")
    await anext(other)
    with pytest.raises(CannotDo, match="2 streams already") as refused:
        streams.open(lambda: may)
    assert refused.value.status == 503
    looking = streams._looking
    await asking.looked.wait()
    await asking.store.add("mail", [new("a")])
    assert await anext(one) == b"data: 1\n\n"
    await other.aclose()
    third = streams.open(lambda: may).parts
    await anext(third)
    assert streams._looking is looking
    may = False  # the token is gone
    await asking.store.add("mail", [new("b")])
    ends = await asyncio.gather(*(anext(each, b"ended") for each in (one, third)))
    assert ends == [b"ended", b"ended"]
    assert streams._looking is None
