"""Programs that are started by our loop: as by asyncio's own, whatever else goes on."""

from __future__ import annotations

import asyncio
import os
import signal
from asyncio.subprocess import PIPE, STDOUT
from collections.abc import Coroutine, Iterator
from typing import Any, NoReturn

import pytest

from asyncmqd.daemon.started_programs import UNKNOWN, ProgramsLoop

start = asyncio.create_subprocess_exec


def run(work: Coroutine[Any, Any, Any]) -> Any:
    with asyncio.Runner(loop_factory=ProgramsLoop) as runner:
        return runner.run(asyncio.wait_for(work, 60))


async def write_on(stream: asyncio.StreamWriter) -> NoReturn:
    while True:
        stream.write(b"text")
        await stream.drain()


@pytest.fixture
def child_signal() -> Iterator[None]:
    before = signal.getsignal(signal.SIGCHLD)
    yield
    signal.signal(signal.SIGCHLD, before)


def test_what_it_reads_writes_and_ends_with() -> None:
    async def play() -> tuple[Any, ...]:
        cat = await start("cat", stdin=PIPE, stdout=PIPE)
        text, _ = await cat.communicate(b"text" * 100_000)
        shell = await asyncio.create_subprocess_shell(
            "echo out; echo err >&2; exit 4", stdout=PIPE, stderr=STDOUT
        )
        said, _ = await shell.communicate()
        return len(text), cat.returncode, said, shell.returncode

    assert run(play()) == (400_000, 0, b"out\nerr\n", 4)


def test_what_the_names_of_its_streams_lead_to_can_be_opened() -> None:
    async def play() -> tuple[bytes, bytes]:
        named = "cat /dev/stdin >/dev/stdout; cat /proc/self/fd/0; echo err >/dev/stderr"
        shell = await asyncio.create_subprocess_shell(named, stdin=PIPE, stdout=PIPE, stderr=PIPE)
        return await shell.communicate(b"text")

    assert run(play()) == (b"text", b"err\n")


def test_each_has_its_own_code() -> None:
    async def play() -> list[int]:
        programs = [await start("sh", "-c", f"exit {code}") for code in range(5)]
        return [await program.wait() for program in programs]

    assert run(play()) == [*range(5)]


def test_one_that_is_not_there() -> None:
    with pytest.raises(FileNotFoundError):
        run(start("no-such-program"))


def test_programs_that_read_nothing() -> None:
    """uvloop's own raise a RuntimeError for some of them."""

    async def play() -> None:
        for _ in range(4):
            program = await start("true", stdin=PIPE, stdout=PIPE)
            assert await program.communicate(b"text") == (b"", None)
            program = await start("true", stdin=PIPE)
            assert program.stdin is not None
            with pytest.raises(ConnectionError):
                await write_on(program.stdin)
            assert await program.wait() == 0

    run(play())


def test_its_end_is_not_that_of_its_pipes() -> None:
    """What it has started may hold them for longer."""

    async def play() -> int:
        holding = await start("sh", "-c", "sleep 1000 & echo $!; exit 3", stdout=PIPE)
        assert holding.stdout is not None
        child = int(await holding.stdout.readline())
        code = await holding.wait()
        os.kill(child, signal.SIGKILL)
        assert await holding.stdout.read() == b""
        return code

    assert run(play()) == 3


def test_an_end_is_seen_without_the_signal(child_signal: None) -> None:
    async def play() -> int:
        program = await start("sleep", "1000")
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        program.kill()
        return await program.wait()

    assert run(play()) == -signal.SIGKILL


def test_an_end_whose_code_nobody_can_tell_is_no_success(
    child_signal: None, caplog: pytest.LogCaptureFixture
) -> None:
    async def play() -> list[int | None]:
        taken = await start("sleep", "1000")
        taken.kill()
        os.waitid(os.P_PID, taken.pid, os.WEXITED)  # noqa: ASYNC222 - before the loop can
        signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # from now on the kernel keeps none
        ignored = await start("sh", "-c", "exit 0", stdout=PIPE)
        await ignored.communicate()
        return [await taken.wait(), ignored.returncode]

    assert run(play()) == [UNKNOWN, UNKNOWN]
    assert caplog.text.count("expected to learn how it ended") == 2


def test_an_end_is_seen_without_a_descriptor_for_it(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> NoReturn:
        raise OSError("as on a kernel before 5.3")

    async def play() -> int:
        return await (await start("sh", "-c", "exit 9")).wait()

    monkeypatch.setattr(os, "pidfd_open", refuse)
    assert run(play()) == 9


def test_a_start_that_is_given_up_leaves_no_program() -> None:
    async def play() -> None:
        starting = asyncio.create_task(start("sleep", "1000", stdout=PIPE))
        await asyncio.sleep(0)
        starting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await starting

    run(play())
