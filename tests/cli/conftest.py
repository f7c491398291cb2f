"""`asyncmq` as its users see it: arguments in, lines and an exit code out, on stores that last."""

from __future__ import annotations

import asyncio
import functools
import json
import os
import subprocess
import sys
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar
from uuid import uuid4

import pytest

from asyncmqd.backends.base import BaseBackend
from asyncmqd.backends.factory import open_backend
from asyncmqd.cli import asyncmq as program
from asyncmqd.cli.asyncmq import main
from tests.contract.conftest import server as server  # noqa: PLC0414 - a fixture is found by name
from tests.servers import USUAL, RedisServer

APPLICATION = Path(__file__).parent / "app"
SCRIPT = Path(sys.executable).with_name("asyncmq")  # what pip installed

Result = TypeVar("Result")


@dataclass(frozen=True)
class Answer:
    """What a command said, and how it ended."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        """Standard output, which must be one JSON document."""
        assert self.code == 0, self
        return json.loads(self.out)

    @property
    def rows(self) -> list[list[str]]:
        """Standard output as awk sees it, without the headings."""
        assert self.code == 0, self
        return [line.split() for line in self.out.splitlines()[1:]]


Operator = Callable[..., Answer]


@pytest.fixture(params=["sqlite", USUAL])
def store_url(
    request: pytest.FixtureRequest, tmp_path: Path, server: Callable[[str], RedisServer]
) -> str:
    """The URL of an empty store. That in memory is for who asks for it: no command reaches it."""
    if request.param == "memory":
        return f"memory://{uuid4()}"
    if request.param == "sqlite":
        return f"sqlite://{tmp_path}/jobs.db"
    redis = server(request.param)
    redis.flush()
    return redis.url


@pytest.fixture(autouse=True, scope="session")
def built_once() -> Iterator[None]:
    """A process builds its commands when it starts, which takes longer than most of them run."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(program, "command_line", functools.cache(program.command_line))
        yield


@pytest.fixture(autouse=True)
def bare_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """No test depends on what the shell says."""
    for name in ("ASYNCMQD_BACKEND", "ASYNCMQD_CONFIG", "FORCE_COLOR"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str]) -> Operator:
    """Runs `asyncmq` in this process, with no store configured."""

    def run(*arguments: str) -> Answer:
        with pytest.raises(SystemExit) as ended:
            main(arguments)
        out, err = capsys.readouterr()
        assert "Traceback" not in err
        return Answer(ended.value.code, out, err)

    return run


@pytest.fixture
def asyncmq(run: Operator, monkeypatch: pytest.MonkeyPatch, store_url: str) -> Operator:
    """Runs `asyncmq` in this process, on the test's store."""
    monkeypatch.setenv("ASYNCMQD_BACKEND", store_url)
    return run


@pytest.fixture
def in_store(store_url: str) -> Callable[[Callable[[BaseBackend], Awaitable[Result]]], Result]:
    """Does something to the test's store, as an application would."""

    def do(work: Callable[[BaseBackend], Awaitable[Result]]) -> Result:
        async def run() -> Result:
            store = open_backend(store_url)
            try:
                return await work(store)
            finally:
                await store.close()

        return asyncio.run(run())

    return do


@pytest.fixture
def spawn(store_url: str) -> Iterator[Callable[..., subprocess.Popen[str]]]:
    """Starts the real `asyncmq` on the test's store, in the application's directory."""
    running: list[subprocess.Popen[str]] = []

    def start(*arguments: str, **options: Any) -> subprocess.Popen[str]:
        environ = {**os.environ, "ASYNCMQD_BACKEND": store_url}
        pipes = dict.fromkeys(("stdin", "stdout", "stderr"), subprocess.PIPE)
        process = subprocess.Popen(
            [SCRIPT, *arguments],
            env=environ,
            cwd=APPLICATION,
            text=True,
            **{**pipes, **options},
        )
        running.append(process)
        return process

    yield start
    for process in running:
        process.kill()
        process.communicate()


class ServingWorker:
    """A running `asyncmq worker start`, watched through its log."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self.process = process
        self.events: list[dict[str, Any]] = []

    def wait_for(self, event: str) -> dict[str, Any]:
        """The first event of that name from here on. The test's time limit bounds it."""
        assert self.process.stdout is not None
        for line in self.process.stdout:
            self.events.append(json.loads(line))
            if self.events[-1]["event"] == event:
                return self.events[-1]
        raise AssertionError(f"ended without {event}: {self.events} {self.process.stderr.read()}")

    def end(self, signum: int) -> int:
        """Send a signal; the exit code."""
        self.process.send_signal(signum)
        return self.process.wait()


@pytest.fixture
def worker(spawn: Callable[..., subprocess.Popen[str]]) -> Callable[..., ServingWorker]:
    """Starts a worker of the queue `mail`, and waits until it serves."""

    def start(*options: str) -> ServingWorker:
        arguments = ("worker", "start", "mail", "--tasks", "shop", "--log-format", "json")
        serving = ServingWorker(spawn(*arguments, *options))
        serving.wait_for("queue.started")
        return serving

    return start
