"""Lines of a child on their way through the daemon: whole, in order, and never too much of them."""

from __future__ import annotations

import os
import time
import tracemalloc
from collections.abc import Iterator

import pytest

from asyncmqd.daemon.children.log_forwarding import PART_LIMIT, LogForwarder
from asyncmqd.observe.line_writer import LineWriter
from asyncmqd.observe.log_sinks import File


@pytest.fixture
def out(tmp_path) -> Iterator[File]:
    fd = os.open(tmp_path / "log", os.O_RDWR | os.O_CREAT)
    yield File(fd, shared=True)
    os.close(fd)


def forwarder_to(out: File) -> tuple[LogForwarder, LineWriter]:
    writer = LineWriter(out, lambda count, _: b"%d dropped\n" % count)
    return LogForwarder(writer), writer


async def test_lines_are_passed_on_once_they_are_whole(out, tmp_path):
    forwarder, writer = forwarder_to(out)
    for part in (b"o", b"ne\ntwo\nth", b"r", b"ee", b"\n", b"four\nfi"):
        forwarder.data_received(part)
    writer.flush()
    assert (tmp_path / "log").read_bytes() == b"one\ntwo\nthree\nfour\n"


async def test_a_line_that_never_ends_is_passed_on_in_parts(out, tmp_path):
    forwarder, writer = forwarder_to(out)
    part = b"x" * 65_536
    tracemalloc.start()
    for _ in range(1_000):
        forwarder.data_received(part)
        writer.flush()
    _, most = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    forwarder.data_received(b"\nnext\n")
    writer.flush()
    *lines, following = (tmp_path / "log").read_bytes().splitlines()
    assert following == b"next"
    assert sum(map(len, lines)) == 1_000 * len(part)
    assert max(map(len, lines)) <= PART_LIMIT
    assert most < 8 * PART_LIMIT


async def test_the_end_of_a_line_is_looked_for_in_what_is_new_only(out):
    """A line in very small parts costs as much as one in large ones, but for the calls."""
    forwarder, _ = forwarder_to(out)

    def cost(size: int) -> float:
        """Processor time, for others may have the processor meanwhile."""
        began = time.process_time()
        for _ in range(size):
            forwarder.data_received(b"x")
        took = time.process_time() - began
        forwarder.data_received(b"\n")
        return took

    cost(1_000)
    assert cost(400_000) < 200 * cost(20_000), "twenty times as much, and 400 if it were square"
