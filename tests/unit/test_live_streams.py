"""Streams that tell browsers of changes: however many there are, one look serves all."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from asyncmqd.web.dashboard import ticks
from asyncmqd.web.dashboard.ticks import Ticks

STREAMS = 50


class Changing:
    """A store in which something has changed at each look."""

    def __init__(self) -> None:
        self.looks = 0

    async def read(self, _: object) -> bytes:
        self.looks += 1
        return b"%d" % self.looks


def test_one_look_serves_all_streams_and_none_goes_on_without_them(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(ticks, "_SPREAD", 0.0)

    async def run() -> Changing:
        source: Any = Changing()
        streams = Ticks(source, lambda: None)
        opened = [streams.open(lambda: True).parts for _ in range(STREAMS)]
        for each in opened:
            assert (await anext(each)).startswith(b"retry: ")
        for expected in (b"event: state\ndata: ", b"data: "):
            [told] = {*await asyncio.gather(*map(anext, opened))}
            assert told.startswith(expected)
        for each in opened:
            await each.aclose()
        await asyncio.sleep(0)  # the look ends
        assert len(asyncio.all_tasks()) == 1  # this one
        return source

    assert asyncio.run(run()).looks == 2
