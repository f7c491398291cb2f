"""When lines leave: at the end of a turn, at once, or when a reader that stalled is back."""

from __future__ import annotations

import asyncio
import fcntl
import json
import os
import signal
import sys
import threading
from typing import Any

import pytest

from asyncmqd.observe.line_writer import LineWriter
from asyncmqd.observe.log_sinks import File
from tests.ends import is_number, is_report, line, numbers

KINDS = ("pipe", "terminal", "stream")

# ---------------------------------------------------------------------- in a turn of the loop


class Counting(File):
    def __init__(self, fd: int) -> None:
        super().__init__(os.dup(fd), shared=True)
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


def write_and_interrupt(writer: LineWriter, moment: int) -> bool:
    """Write line 0, and line 1 from within, after so many calls and returns (Python has signal
    handlers run at these). Whether the moment came.
    """
    left = moment

    def count(*_: object) -> None:
        nonlocal left
        left -= 1
        if left == 0:
            writer.write(line(1))

    sys.setprofile(count)
    try:
        writer.write(line(0))
    finally:
        sys.setprofile(None)
    return left <= 0


@pytest.mark.parametrize("ends", ["stream"], indirect=True)
def test_a_line_from_within_at_each_moment_of_a_write(ends, writer_to):
    writer = writer_to(ends.writer)
    moment = 1
    while write_and_interrupt(writer, moment):
        came = list(map(json.loads, os.read(ends.reader, 1 << 16).splitlines()))
        assert sorted(numbers(came)) == [0, 1], f"moment {moment}"
        assert writer._size == 0, f"moment {moment}"
        moment += 1
    assert moment > 30


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
