"""For tests of the log: a journal that listens, and the set-up of a process undone."""

from __future__ import annotations

import logging
import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TextIO, cast

import structlog

from asyncmqd.observe import captured_streams, log
from asyncmqd.observe.line_writer import LineWriter


class Journald:
    """Stands in for the journal: a real socket, and its protocol read as strictly as it is."""

    writer: LineWriter  # of the process that logs to it

    def __init__(self, path: Path) -> None:
        self.path = str(path)
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.socket.settimeout(20)
        self.socket.bind(self.path)

    def entry(self) -> dict[str, str]:
        """The next entry, as soon as it is there."""
        return parse(self.socket.recv(1 << 20))

    def close(self) -> None:
        self.socket.close()
        os.unlink(self.path)


def parse(datagram: bytes) -> dict[str, str]:
    """The fields of an entry in the journal's native protocol; each may come once."""
    fields: dict[str, str] = {}
    while datagram:
        head, _, datagram = datagram.partition(b"\n")
        name, is_text, value = head.partition(b"=")
        if not is_text:
            size = int.from_bytes(datagram[:8], "little")
            value, end, datagram = datagram[8 : 8 + size], datagram[8 + size], datagram[9 + size :]
            assert end == ord("\n")
        assert name.isupper() or b"_" in name, name
        assert name.decode() not in fields, name
        fields[name.decode()] = value.decode()
    return fields


def journal_stream(stream: TextIO) -> dict[str, str]:
    """The environment in which systemd says that this stream leads to the journal."""
    status = os.fstat(stream.fileno())
    return {"JOURNAL_STREAM": f"{status.st_dev}:{status.st_ino}"}


def captured() -> TextIO:
    """The captured standard output; `sys.stdout` itself is pytest's again when the test begins."""
    return cast("TextIO", captured_streams._captured[0])


@contextmanager
def log_to(stream: TextIO | None, *, capture: bool = False, **options: Any) -> Iterator[LineWriter]:
    """Log to that stream, and as before afterwards."""
    root = logging.getLogger()
    handlers, level = root.handlers, root.level
    writer = log.setup(stream=stream, **options)
    if capture:
        captured_streams.capture_prints()
    try:
        yield writer
    finally:
        captured_streams.release_prints()
        root.handlers = handlers
        root.setLevel(level)
        log._log = None
        structlog.reset_defaults()
        writer.outlet.close()
