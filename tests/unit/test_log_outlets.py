"""Where lines leave: readers that go away and return, full disks, descriptors of other kinds."""

from __future__ import annotations

import asyncio
import fcntl
import json
import os
import resource
from typing import Any

import pytest

from asyncmqd.observe.log_sinks import Shared
from tests.ends import is_number, is_report, line, numbers

# ---------------------------------------------------------------------- a reader that goes away


@pytest.mark.parametrize("ends", ["pipe", "stream"], indirect=True)
def test_a_closed_pipe_drops_and_counts(ends, writer_to, run):
    writer = writer_to(ends.writer)
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
    writer = writer_to(Shared(os.dup(ends.writer)), limit=50_000)

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
    writer = writer_to(Shared(os.dup(ends.writer)))
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


def test_a_file_that_logrotate_copies_and_cuts_goes_on_at_its_beginning(tmp_path, writer_to):
    log = tmp_path / "log"
    with log.open("wb") as out:  # as `> log` does: not for appending
        writer = writer_to(out.fileno())
        writer.write(line(1))
        writer.flush()
        before = json.loads(log.read_bytes())
        os.truncate(log, 0)
        writer.write(line(2))
        writer.flush()
    assert numbers([before, json.loads(log.read_bytes())]) == [1, 2]
