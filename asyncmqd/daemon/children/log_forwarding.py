"""Log lines of a child process on their way to the daemon's standard output.

Processes that share a pipe, a terminal or a stream tear each other's lines: what is longer than
PIPE_BUF, or finds little room, is written in parts. So the daemon alone writes there. A file or the
journal takes lines from all of them.
"""

from __future__ import annotations

import asyncio
import os

from asyncmqd.observe.line_writer import LineWriter
from asyncmqd.observe.log import Format

PART_LIMIT = 1024 * 1024  # bytes of a line that wait for its end


def forwarded_format(format: Format) -> Format:
    """What a child, which writes into a pipe, is told of the format."""
    if format == "auto":
        return "console" if os.isatty(1) else "json"
    return format


class LogForwarder(asyncio.Protocol):
    """Takes what a child writes, and passes on each line once it is whole.

    Of a line that does not end, each `PART_LIMIT` bytes become a line of their own. Our own lines
    are shorter by far; a fork of the child may write anything.
    """

    def __init__(self, writer: LineWriter) -> None:
        self.ended = asyncio.Event()
        self._writer = writer
        self._begun = bytearray()  # a line whose end has not come

    def data_received(self, data: bytes) -> None:
        """Some lines came, or parts of them."""
        *ends, begun = data.split(b"\n")  # of the new data only: the others were looked through
        for end in ends:
            self._gather(end)
            self._pass_on()
        self._gather(begun)

    def _gather(self, part: bytes) -> None:
        if self._begun and len(self._begun) + len(part) > PART_LIMIT:
            self._pass_on()
        self._begun += part

    def _pass_on(self) -> None:
        self._writer.write(bytes(self._begun) + b"\n")
        self._begun.clear()

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002
        """The child is gone. A line that it had no time to finish is none."""
        self.ended.set()
