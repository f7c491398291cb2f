"""Log lines of a child process on their way to the daemon's standard output.

Processes that share a pipe, a terminal or a stream tear each other's lines: what is longer than
PIPE_BUF, or finds little room, is written in parts. So the daemon alone writes there. A file or the
journal takes lines from all of them.
"""

from __future__ import annotations

import asyncio
import os

from asyncmqd.observe.log import Format
from asyncmqd.observe.writer import LineWriter


def relayed_format(format: Format) -> Format:
    """What a child, which writes into a pipe, is told of the format."""
    if format == "auto":
        return "console" if os.isatty(1) else "json"
    return format


class LogRelay(asyncio.Protocol):
    """Takes what a child writes, and passes on each line once it is whole."""

    def __init__(self, writer: LineWriter) -> None:
        self.ended = asyncio.Event()
        self._writer = writer
        self._rest = b""

    def data_received(self, data: bytes) -> None:
        """Some lines came, or parts of them."""
        *lines, self._rest = (self._rest + data).split(b"\n")
        for line in lines:
            self._writer.write(line + b"\n")

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002
        """The child is gone. A line that it had no time to finish is none."""
        self.ended.set()
