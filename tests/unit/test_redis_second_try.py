"""What is told of a call that was sent, whose connection broke, and whose second try is refused."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from asyncmqd.backends.base import StoreError, StoreRefused, StoreUncertain
from asyncmqd.backends.redis.address import parse
from asyncmqd.backends.redis.by_thread import ByThread
from asyncmqd.backends.redis.connect import link_to

LOST = b""  # the connection is closed once the call was read
ADD, WAIT = ("SET", "a", "b"), ("WAIT", "1", "0")
LATER = {
    "too many": b"-ERR max number of clients reached\r\n",
    "loading": b"-LOADING Redis is loading the dataset in memory\r\n",
    "replica": b"-READONLY You can't write against a read only replica.\r\n",
    "full": b"-OOM command not allowed when used memory > 'maxmemory'.\r\n",
    "no right": b"-NOPERM this user has no permissions to run the 'set' command\r\n",
}


@asynccontextmanager
async def _server(*answers: bytes) -> AsyncIterator[str]:
    """Its URL: one answer for each call, and another connection after a lost one."""
    left = list(answers)

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while left and await reader.read(65_536):
            answer = left.pop(0)
            writer.write(answer)
            if answer == LOST:
                break
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    async with server:
        yield f"redis://127.0.0.1:{server.sockets[0].getsockname()[1]}?timeout=5"


async def _told(*answers: bytes, again: bool = True) -> StoreError:
    """The same in an event loop and by a thread without one."""
    commands = [ADD, *[WAIT] * (b"\r\n-" in answers[0])]
    async with _server(*answers) as url:
        link = link_to(parse(url))
        with pytest.raises(StoreError) as caught:
            await link.run(*commands, again=again)
        await link.close()
    async with _server(*answers) as url:
        own = ByThread(parse(url))
        with pytest.raises(StoreError) as also:
            await asyncio.to_thread(own.run, lambda run: run(commands, again=again))
        own.close()
    assert type(also.value) is type(caught.value)
    return caught.value


@pytest.mark.parametrize("later", LATER)
async def test_a_lost_try_may_be_stored_whatever_the_second_is_told(later: str) -> None:
    assert type(await _told(LOST, LATER[later])) is StoreUncertain


@pytest.mark.parametrize("later", LATER)
async def test_what_was_done_by_one_who_is_no_master_any_more_may_be_stored(later: str) -> None:
    done = b"+OK\r\n-UNBLOCKED force unblock from blocking operation, instance state changed\r\n"
    assert type(await _told(done, LATER[later] + b"+OK\r\n")) is StoreUncertain


@pytest.mark.parametrize("later", LATER)
async def test_a_try_that_was_refused_is_not_stored(later: str) -> None:
    kind = StoreRefused if later == "no right" else StoreError
    assert type(await _told(LATER[later], again=False)) is kind
    for first in ("too many", "loading", "replica"):
        assert type(await _told(LATER[first], LATER[later])) is kind
