"""What a `sqlite://` URL says."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Literal
from urllib.parse import parse_qsl, unquote

import msgspec

from asyncmqd.backends import call_timeouts

TIMEOUT = 20.0  # seconds; another process may hold the file for 15
Synchronous = Literal["FULL", "NORMAL"]


class Address(msgspec.Struct, frozen=True):
    """A file and how it is written.

    `synchronous` FULL: what was answered outlives a loss of power, but for what a boot ends in any
    case (heartbeats, renewals of leases, events for watchers). NORMAL: it outlives the death
    of every process, but a loss of power may take back the last moments; nothing gets damaged.
    `timeout`: the seconds that a call may take.
    """

    url: str
    path: Path  # links resolved: the file's neighbours are found by its one true name
    named: Path  # as the URL says, links and all
    synchronous: Synchronous = "FULL"
    timeout: float = TIMEOUT


def parse(url: str) -> Address:
    """Read a URL like `sqlite:///var/lib/x.db?synchronous=NORMAL`. Raises ValueError."""
    rest, _, query = url.removeprefix("sqlite://").partition("?")
    path = unquote(rest)
    if not path.startswith("/") or path.endswith("/") or "\0" in path:
        raise ValueError(
            "backend: expected an absolute path like sqlite:///var/lib/asyncmqd/jobs.db,"
            f" got {url!r}"
        )
    synchronous: Synchronous = "FULL"
    timeout = TIMEOUT
    for name, value in parse_qsl(query, keep_blank_values=True):
        match name:
            case "synchronous":
                synchronous = _synchronous(url, value)
            case "timeout":
                timeout = call_timeouts.seconds(url, value)
            case _:
                raise ValueError(
                    f"backend: expected the option synchronous or timeout in {url!r}, got {name!r}"
                )
    return Address(url, Path(os.path.realpath(path)), Path(path), synchronous, timeout)


def _synchronous(url: str, value: str) -> Synchronous:
    match value.upper():
        case "FULL":
            return "FULL"
        case "NORMAL":
            return "NORMAL"
    raise ValueError(f"backend: expected synchronous=FULL or NORMAL in {url!r}, got {value!r}")
