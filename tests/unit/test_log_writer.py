"""The way out: real pipes, terminals, sockets and files, with readers that stall, leave, return."""

from __future__ import annotations

import asyncio
import fcntl
import json
import os
import resource
import select
import signal
import socket
import threading
import tty
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import uvloop

from asyncmqd.observe.outlets import File, Outlet, Shared, outlet_of
from asyncmqd.observe.writer import LineWriter
from tests.eventually import LIMIT

KINDS = ("pipe", "terminal", "stream")


class Ends:
    """A writer's descriptor, and the reader's."""

    def __init__(self, kind: str) -> None:
        self._sockets: list[socket.socket] = []
        if kind == "pipe":
            self.reader, self.writer = os.pipe()
        elif kind == "terminal":
            self.reader, self.writer = os.openpty()
            tty.setraw(self.writer)
        else:
            kinds = {"stream": socket.SOCK_STREAM, "datagrams": socket.SOCK_DGRAM}
            self._sockets = list(socket.socketpair(socket.AF_UNIX, kinds[kind]))
            self.reader, self.writer = (end.fileno() for end in self._sockets)

    def read(self, until: Callable[[dict[str, Any]], bool]) -> list[dict[str, Any]]:
        """The lines until one is the last; each has to be valid JSON. Waits for them."""
        data, lines = b"", []
        while not (lines and until(lines[-1])):
            assert self.readable(LIMIT), f"nothing came within {LIMIT} s after {lines[-1:]}"
            data += os.read(self.reader, 1 << 16)
            *whole, data = data.split(b"\n")
            lines += map(json.loads, whole)
        assert data == b"", "more came than was waited for"
        return lines

    def readable(self, within: float = 0) -> bool:
        return bool(select.select([self.reader], [], [], within)[0])

    def close_reader(self) -> None:
        os.close(self.reader)
        self.reader = -1

    def close(self) -> None:
        for end in self._sockets:
            end.close()
        for fd in (self.reader, self.writer) if not self._sockets else ():
            if fd >= 0:
                os.close(fd)


@pytest.fixture
def ends(request: pytest.FixtureRequest) -> Iterator[Ends]:
    made = Ends(getattr(request, "param", "pipe"))
    yield made
    made.close()


@pytest.fixture
def writer_to() -> Iterator[Callable[..., LineWriter]]:
    """Makes writers to a descriptor or an outlet, which report what they dropped."""
    made: list[LineWriter] = []

    def make(to: int | Outlet, **options: Any) -> LineWriter:
        outlet = outlet_of(to) if isinstance(to, int) else to
        made.append(LineWriter(outlet, report, **options))
        return made[-1]

    yield make
    for each in made:
        each.outlet.close()


def report(count: int, reason: str) -> bytes:
    return json.dumps({"dropped": count, "reason": reason}).encode() + b"\n"


def line(number: int, size: int = 1_000) -> bytes:
    head = json.dumps({"n": number, "pad": ""}).encode()
    return head[:-2] + b"x" * (size - len(head) - 1) + head[-2:] + b"\n"


def numbers(lines: list[dict[str, Any]]) -> list[int]:
    return [each["n"] for each in lines if "n" in each]


def is_number(number: int) -> Callable[[dict[str, Any]], bool]:
    return lambda each: each.get("n") == number


def is_report(each: dict[str, Any]) -> bool:
    return "dropped" in each


@pytest.fixture(params=["asyncio", "uvloop"])
def run(request: pytest.FixtureRequest) -> Callable[[Any], Any]:
    """Runs a coroutine in the loop that the daemon has, and in the usual one."""
    if request.param == "asyncio":
        return asyncio.run

    def run_uvloop(work: Any) -> Any:
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            return runner.run(work)

    return run_uvloop


# ---------------------------------------------------------------------- in a turn of the loop


class Counting(File):
    def __init__(self, fd: int) -> None:
        super().__init__(fd)
        self.sends = 0

    def send(self, lines: list[bytes]) -> int:
        self.sends += 1
        return super().send(lines)


def test_the_lines_of_a_turn_leave_together_at_its_end(ends, writer_to, run):
    outlet = Counting(ends.writer)
    writer = writer_to(outlet)

    async def turns() -> None:
        for first in (0, 10):
            for number in range(first, first + 10):
                writer.write(line(number))
            assert not ends.readable()
            await asyncio.sleep(0)
            assert numbers(ends.read(is_number(first + 9))) == list(range(first, first + 10))

    run(turns())
    assert outlet.sends == 2


def test_without_a_loop_each_line_leaves_at_once(ends, writer_to):
    writer = writer_to(ends.writer)
    for number in range(3):
        writer.write(line(number))
        assert numbers(ends.read(is_number(number))) == [number]


def test_a_line_of_a_thread_leaves_while_the_loop_is_stuck(ends, writer_to, run):
    writer = writer_to(ends.writer)

    async def stuck() -> None:
        writer.write(line(0))
        thread = threading.Thread(target=writer.write, args=(line(1),))
        thread.start()
        thread.join()  # the loop stands still until the line was taken
        assert numbers(ends.read(is_number(1))) == [0, 1]

    run(stuck())


def test_a_loop_that_ended_early_takes_no_later_line_with_it(ends, writer_to):
    writer = writer_to(ends.writer)
    loop = asyncio.new_event_loop()
    loop.call_soon(writer.write, line(0))
    loop.call_soon(loop.stop)
    loop.run_forever()
    loop.close()  # before the end of the turn came
    writer.write(line(1))
    assert numbers(ends.read(is_number(1))) == [0, 1]

    async def another() -> None:
        writer.write(line(2))
        await asyncio.sleep(0)

    asyncio.run(another())
    assert numbers(ends.read(is_number(2))) == [2]


# ---------------------------------------------------------------------- a reader that stalls


@pytest.mark.parametrize("ends", KINDS, indirect=True)
def test_a_reader_that_stalls_holds_up_nothing_and_misses_nothing(ends, writer_to, run):
    writer = writer_to(ends.writer)

    async def work() -> list[dict[str, Any]]:
        for number in range(1_000):
            writer.write(line(number))
            if not number % 10:
                await asyncio.sleep(0)
        # Nothing is written any more: what waits leaves by itself.
        return await asyncio.to_thread(ends.read, is_number(999))

    assert numbers(run(work())) == list(range(1_000))
    assert writer.dropped == 0
    assert not fcntl.fcntl(ends.writer, fcntl.F_GETFL) & os.O_NONBLOCK, "neighbours share this"


@pytest.mark.parametrize("ends", KINDS, indirect=True)
def test_what_a_full_buffer_drops_is_told_where_it_is_missing(ends, writer_to, run):
    writer = writer_to(ends.writer, limit=50_000)

    async def work() -> list[dict[str, Any]]:
        for number in range(2_000):
            writer.write(line(number))
            if not number % 10:
                await asyncio.sleep(0)
        lines = await asyncio.to_thread(ends.read, is_report)
        writer.write(line(2_000))
        return lines + await asyncio.to_thread(ends.read, is_number(2_000))

    *kept, told, last = run(work())
    assert numbers(kept) == list(range(len(kept)))
    assert told == {"dropped": 2_000 - len(kept), "reason": "buffer full"}
    assert writer.dropped == told["dropped"] > 0
    assert last["n"] == 2_000


def test_a_long_turn_is_no_stalled_reader(tmp_path, writer_to, run):
    with (tmp_path / "log").open("wb") as stream:
        writer = writer_to(stream.fileno(), limit=10_000)

        async def turn() -> None:
            for number in range(1_000):
                writer.write(line(number))

        run(turn())
        writer.flush()
    assert writer.dropped == 0
    lines = (tmp_path / "log").read_bytes().splitlines()
    assert [json.loads(each)["n"] for each in lines] == list(range(1_000))


def test_a_line_that_was_cut_off_goes_on_where_it_was(ends, writer_to):
    writer = writer_to(ends.writer)
    fcntl.fcntl(ends.writer, fcntl.F_SETPIPE_SZ, 4_096)
    for number in range(4):
        writer.write(line(number, 3_000))
    data = os.read(ends.reader, 1 << 16)
    assert not data.endswith(b"\n"), "the pipe had room for whole lines: nothing is tested"
    while data.count(b"\n") < 4:
        writer.flush()
        data += os.read(ends.reader, 1 << 16)
    assert data == b"".join(line(number, 3_000) for number in range(4))


def test_without_a_loop_each_further_line_is_an_attempt(ends, writer_to):
    writer = writer_to(ends.writer)
    for number in range(200):
        writer.write(line(number))
    assert len(os.read(ends.reader, 1 << 20)) < 200_000
    writer.write(line(200))
    assert ends.readable()


def test_a_stalled_line_of_a_thread_is_tried_again_by_the_loop(ends, writer_to, run):
    writer = writer_to(ends.writer)

    def job() -> None:
        for number in range(1, 200):
            writer.write(line(number))

    async def work() -> list[dict[str, Any]]:
        writer.write(line(0))
        await asyncio.sleep(0)
        await asyncio.to_thread(job)
        return await asyncio.to_thread(ends.read, is_number(199))

    assert numbers(run(work())) == list(range(200))


# ---------------------------------------------------------------------- a reader that goes away


@pytest.mark.parametrize("ends", ["pipe", "stream"], indirect=True)
def test_a_closed_pipe_drops_and_counts(ends, writer_to, run):
    writer = writer_to(ends.writer)
    if ends._sockets:
        ends._sockets[0].close()
    else:
        ends.close_reader()

    async def work() -> None:
        for number in range(30):
            writer.write(line(number))
            await asyncio.sleep(0)

    run(work())
    writer.flush()
    assert writer.dropped == 30


def test_a_pipe_whose_reader_was_gone_at_the_start(ends, writer_to):
    ends.close_reader()
    writer = writer_to(ends.writer)
    writer.write(line(0))
    assert writer.dropped == 1


def test_a_reader_that_returns_is_told(tmp_path, writer_to):
    path = tmp_path / "fifo"
    os.mkfifo(path)
    first = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
    ours = os.open(path, os.O_WRONLY)
    writer = writer_to(ours)
    fcntl.fcntl(ours, fcntl.F_SETPIPE_SZ, 4_096)
    for number in range(4):
        writer.write(line(number, 3_000))
    begun = os.read(first, 2_000)
    os.close(first)
    writer.write(line(4, 3_000))
    assert writer.dropped > 0
    again = os.open(path, os.O_RDONLY)
    data = begun + os.read(again, 1 << 16)
    while b"dropped" not in data:
        writer.flush()
        data += os.read(again, 1 << 16)
    writer.write(line(5))
    data += os.read(again, 1 << 16)
    os.close(ours)
    os.close(again)
    *kept, told, last = map(json.loads, data.splitlines())
    assert told == {"dropped": 5 - len(kept), "reason": "Broken pipe"}
    assert writer.dropped == told["dropped"]
    assert numbers([*kept, last]) == [*range(len(kept)), 5]


# ---------------------------------------------------------------------- other ways out


def test_a_pipe_that_cannot_be_opened_anew_blocks_nobody_either(ends, writer_to, run):
    writer = writer_to(Shared(ends.writer), limit=50_000)

    async def work() -> list[dict[str, Any]]:
        for number in range(1_000):
            writer.write(line(number, 250))
            if not number % 10:
                await asyncio.sleep(0)
        return await asyncio.to_thread(ends.read, is_report)

    *kept, told = run(work())
    assert numbers(kept) == list(range(len(kept)))
    assert told["dropped"] == 1_000 - len(kept)
    assert not fcntl.fcntl(ends.writer, fcntl.F_GETFL) & os.O_NONBLOCK


@pytest.mark.parametrize("ends", ["terminal"], indirect=True)
def test_a_terminal_that_cannot_be_opened_anew(ends, writer_to):
    writer = writer_to(Shared(ends.writer))
    writer.write(line(0, 250))
    assert numbers(ends.read(is_number(0))) == [0]


@pytest.mark.parametrize("ends", ["datagrams"], indirect=True)
def test_a_socket_of_messages_gets_one_for_each_line(ends, writer_to):
    writer = writer_to(ends.writer, limit=2_000)
    count = 0
    while not writer.dropped:  # more than any queue takes
        writer.write(line(count))
        count += 1
    got: list[dict[str, Any]] = [{}]
    while not is_report(got[-1]):
        writer.flush()
        got.append(json.loads(os.read(ends.reader, 1 << 16)))
    assert numbers(got) == list(range(count - 1))
    assert got[-1] == {"dropped": 1, "reason": "buffer full"}


def test_a_full_disk_drops_and_counts(writer_to):
    with open("/dev/full", "wb") as stream:
        writer = writer_to(stream.fileno())
        writer.write(line(0))
        writer.write(line(1))
    assert writer.dropped == 2


def test_a_disk_that_was_full_has_no_half_line(tmp_path, writer_to):
    path = tmp_path / "log"
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    with path.open("wb") as stream:
        writer = writer_to(stream.fileno())
        resource.setrlimit(resource.RLIMIT_FSIZE, (10_000, hard))
        try:
            for number in range(6):
                writer.write(line(number, 3_000))
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
        assert path.stat().st_size == 10_000
        writer.write(line(6, 3_000))
        writer.flush()
    lines = list(map(json.loads, path.read_bytes().splitlines()))
    assert numbers(lines) == [0, 1, 2, 3]
    assert lines[-1] == {"dropped": 3, "reason": "File too large"}


# ---------------------------------------------------------------------- threads, signals, the end


def test_lines_of_many_threads_stay_whole(ends, writer_to):
    writer = writer_to(ends.writer)

    def job(first: int) -> None:
        for number in range(first, first + 300):
            writer.write(line(number))

    threads = [threading.Thread(target=job, args=(first,)) for first in range(0, 2_400, 300)]
    got: list[dict[str, Any]] = []
    reading = threading.Thread(target=lambda: got.extend(ends.read(is_number(-1))))
    reading.start()
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    writer.write(line(-1))
    writer.finish(20)
    reading.join()
    assert sorted(numbers(got)) == list(range(-1, 2_400))
    for first in range(0, 2_400, 300):
        assert [n for n in numbers(got) if first <= n < first + 300] == sorted(
            n for n in numbers(got) if first <= n < first + 300
        )


def test_a_line_from_within_the_writing_of_a_line(tmp_path, writer_to):
    """Signal handlers and finalisers log wherever they please."""
    handled = 0
    with (tmp_path / "log").open("wb") as stream:
        writer = writer_to(stream.fileno())

        def handle(*_: object) -> None:
            nonlocal handled
            handled += 1
            writer.write(line(-handled))

        before = signal.signal(signal.SIGALRM, handle)
        signal.setitimer(signal.ITIMER_REAL, 0.0001, 0.0001)
        try:
            count = 0
            while handled < 300:
                writer.write(line(count))
                count += 1
        finally:
            signal.setitimer(signal.ITIMER_REAL, 0)
            signal.signal(signal.SIGALRM, before)
    lines = list(map(json.loads, (tmp_path / "log").read_bytes().splitlines()))
    assert sorted(numbers(lines)) == list(range(-handled, count)[: handled + count])
    assert writer.dropped == 0


def test_the_last_flush_waits_for_a_reader_but_not_for_ever(ends, writer_to):
    writer = writer_to(ends.writer)
    for number in range(300):
        writer.write(line(number))
    writer.finish(0.01)  # nobody reads
    got: list[dict[str, Any]] = []
    reading = threading.Thread(target=lambda: got.extend(ends.read(is_number(299))))
    reading.start()
    writer.finish(20)
    reading.join()
    assert numbers(got) == list(range(300))
