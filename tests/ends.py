"""The two ends of a pipe, terminal or socket, and lines to send through them."""

from __future__ import annotations

import json
import os
import select
import socket
import tty
from collections.abc import Callable
from typing import Any

from tests.eventually import LIMIT


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
        if self._sockets:
            self._sockets[0].close()
        else:
            os.close(self.reader)
            self.reader = -1

    def close(self) -> None:
        for end in self._sockets:
            end.close()
        for fd in (self.reader, self.writer) if not self._sockets else ():
            if fd >= 0:
                os.close(fd)


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
