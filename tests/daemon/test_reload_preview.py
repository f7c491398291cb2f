"""What the store is asked before a reload, alone, in the test's own loop."""

from __future__ import annotations

import asyncio

import pytest

from asyncmqd.backends.factory import open_backend
from asyncmqd.config.diff import diff
from asyncmqd.config.models import Settings
from asyncmqd.config.tables import read
from asyncmqd.daemon.reload.preview import Previewer

DATA = {"backend": "memory://", "control_socket": "/run/a.sock"}
OLD = read(Settings, DATA | {"queues": {"mail": {}, "old": {}}})
NEW = read(Settings, DATA | {"queues": {"mail": {"concurrency": 3}}})


@pytest.fixture
async def backend(server):
    backend = open_backend(server.url)
    await backend.connect()
    yield backend
    await backend.close()


def _looks() -> int:
    return sum("_look" in repr(task.get_coro()) for task in asyncio.all_tasks())


async def test_calls_to_a_store_that_hangs_do_not_pile_up(server, backend):
    previewer = Previewer(backend)
    server.freeze()
    try:
        told = await asyncio.gather(*(previewer.of(diff(OLD, NEW)) for _ in range(5)))
        assert _looks() == 1
        told.append(await previewer.of(diff(OLD, NEW)))
        assert _looks() == 1
    finally:
        server.thaw()
    assert all("the store did not answer" in each.warnings[0] for each in told)
    async with asyncio.timeout(10):
        while (await previewer.of(diff(OLD, NEW))).warnings:
            pass
    assert _looks() == 0


@pytest.fixture
def patient(monkeypatch):
    """Whoever waits for the store waits for longer than the test."""
    monkeypatch.setattr("asyncmqd.daemon.reload.preview.ASK_LIMIT", 60.0)


async def test_a_store_that_is_gone_is_not_waited_for(server, backend, patient):
    server.stop()
    async with asyncio.timeout(20):
        preview = await Previewer(backend).of(diff(OLD, NEW))
    assert preview.values["jobs_left"] == {"old": None}


async def test_a_store_is_not_asked_what_is_of_no_use(server, backend, patient):
    server.freeze()
    try:
        async with asyncio.timeout(20):
            preview = await Previewer(backend).of(diff(NEW, OLD))
    finally:
        server.thaw()
    assert preview.lines == ["+ queue old: start", "~ queue mail: concurrency: 3 -> 10"]
