"""When a reload is answered: not before it is done, and always at last."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from asyncmqd.backends import InMemoryBackend
from asyncmqd.config.load import load
from asyncmqd.daemon import queue_processes
from asyncmqd.daemon.application_import import Application
from asyncmqd.daemon.control_server import Refused
from asyncmqd.daemon.queue_processes import OwnProcess
from asyncmqd.daemon.reload import reloading
from asyncmqd.daemon.reload.preview import Previewer
from asyncmqd.daemon.reload.reloading import Configuration, Reloader
from asyncmqd.daemon.systemd import Systemd
from asyncmqd.observe.observer import Observer
from asyncmqd.runtime.duties import HOPELESS
from asyncmqd.runtime.process.context import ProcessContext
from tests.eventually import LIMIT


class Listener:
    """What systemd is told, by the names of the calls."""

    def __init__(self) -> None:
        self.said: list[str] = []
        self.ready_came = asyncio.Event()

    def reloading(self) -> None:
        self.said.append("reloading")

    def ready(self, _status: str) -> None:
        self.said.append("ready")
        self.ready_came.set()


HEAD = 'backend = "memory://answers"\n'


@pytest.fixture
def config(tmp_path: Path) -> Path:
    path = tmp_path / "queues.toml"
    path.write_text(f"{HEAD}[queues.mail]\n")
    return path


@pytest.fixture
def configuration(config: Path) -> Configuration:
    return Configuration(config, {}, load(config, {}))


@pytest.fixture
async def reloader(config: Path, configuration: Configuration):
    observer, backend = Observer(), InMemoryBackend()
    context = ProcessContext(backend, observer=observer)
    serving = OwnProcess(context, configuration.settings, Application(config, {}), {})
    systemd = Systemd({}, observer)
    made = Reloader(configuration, serving, Previewer(backend), systemd, observer, lambda _: None)
    made.start()
    yield made
    await made.stop()
    await serving.stop()


async def test_nobody_is_answered_before_the_configuration_serves(
    config, configuration, reloader, monkeypatch
):
    gate, look = asyncio.Event(), configuration.look

    async def look_at_the_gate():
        await gate.wait()
        return await look()

    monkeypatch.setattr(configuration, "look", look_at_the_gate)
    config.write_text(f"{HEAD}[queues.mail]\nconcurrency = 7\n")
    answer = reloader.request()
    for _ in range(100):
        await asyncio.sleep(0)
    assert not answer.done()
    gate.set()
    async with asyncio.timeout(LIMIT):
        assert (await answer).generation == 2
    assert configuration.settings.queues["mail"].concurrency == 7


async def test_systemd_is_told_that_a_reload_has_ended_however_it_does(
    config, configuration, reloader, monkeypatch
):
    listener = Listener()
    monkeypatch.setattr(reloader, "_systemd", listener)

    async def break_down():
        raise RuntimeError("a bug")

    monkeypatch.setattr(reloader._serving, "applied", break_down)
    answer = reloader.request()
    async with asyncio.timeout(LIMIT):
        await listener.ready_came.wait()
    assert answer.done()
    assert listener.said == ["reloading", "ready"]


async def test_a_reload_that_breaks_down_says_so_and_the_next_one_goes_on(
    config, configuration, reloader, monkeypatch
):
    """Any number of them: they are no reason to begin the daemon anew."""
    monkeypatch.setattr(reloading, "REST", 0)
    for at in range(HOPELESS + 1):
        config.write_text(f"{HEAD}[queues.mail]\nconcurrency = {at + 1}\n")
        async with asyncio.timeout(LIMIT):
            with monkeypatch.context() as broken:
                broken.setattr(reloader._systemd, "reloading", lambda: 1 / 0)
                with pytest.raises(Refused, match="ZeroDivisionError"):
                    await reloader.request()
            assert (await reloader.request()).generation == at + 2
    assert reloader._serving.context.duties.crashed == []


async def test_a_scanner_that_is_never_imported_ends_in_a_refusal(
    config, configuration, reloader, tmp_path, monkeypatch
):
    monkeypatch.setattr(queue_processes, "IMPORT_LIMIT", 0.05)
    monkeypatch.syspath_prepend(tmp_path)
    leave = tmp_path / "leave"
    (tmp_path / "endless_scanner.py").write_text(
        f"import pathlib, time\nwhile not pathlib.Path({str(leave)!r}).exists(): time.sleep(0.01)\n"
    )
    good = config.read_text()
    config.write_text(f'{HEAD}[queues.mail]\nscanners = ["endless_scanner:scan"]\n')
    with pytest.raises(
        Refused, match=r"'endless_scanner:scan', which is not imported after 0\.05 s"
    ):
        async with asyncio.timeout(LIMIT):
            await reloader.request()
    config.write_text(good)
    async with asyncio.timeout(LIMIT):
        assert (await reloader.request()).generation == 2
    leave.touch()
