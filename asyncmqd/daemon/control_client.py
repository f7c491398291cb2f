"""The other end of the control socket, for code without an event loop."""

from __future__ import annotations

import contextlib
import math
import os
import socket
import stat
import struct
from collections.abc import Mapping
from itertools import pairwise
from pathlib import Path
from typing import Any

import msgspec

from asyncmqd.config.control_socket_path import usual_control_socket
from asyncmqd.config.files import read_files
from asyncmqd.daemon.control_protocol import HEADER, REPLY_LIMIT, Reply, Request, pack
from asyncmqd.daemon.socket_peers import peer_of

_TIME = struct.Struct("ll")  # seconds and microseconds, as the kernel takes them
_ROOT = 0
ANSWER_LIMIT = 60.0  # seconds; a reload imports scanners, all else is quick


class NoDaemon(Exception):
    """There is no daemon to ask, or it does not answer; the message says which and where."""


class NoneRuns(NoDaemon):
    """Nobody listens there."""


def ask(
    control_socket: Path, command: str, timeout: float = ANSWER_LIMIT, **arguments: Any
) -> Reply:
    """The daemon's reply. `timeout` is in seconds. Raises NoDaemon."""
    with socket.socket(socket.AF_UNIX) as line:
        # Not yet by settimeout: that makes connect give up at once where others queue before us.
        line.setsockopt(socket.SOL_SOCKET, socket.SO_SNDTIMEO, _TIME.pack(math.ceil(timeout), 0))
        try:
            line.connect(os.fspath(control_socket))
            line.settimeout(timeout)
            _see_who_serves(line, control_socket)
            with contextlib.suppress(BrokenPipeError):  # refused before it was asked: it says why
                line.sendall(pack(Request(command, arguments)))
            return _receive(line)
        except (TimeoutError, BlockingIOError):
            raise NoDaemon(
                f"the daemon at {control_socket} did not answer in {timeout:g} s"
            ) from None
        except (FileNotFoundError, ConnectionRefusedError):
            raise NoneRuns(
                f"no daemon runs at {control_socket} [systemctl start asyncmqd]"
            ) from None
        except PermissionError:
            raise NoDaemon(
                f"the daemon at {control_socket} may not be asked by user {os.geteuid()}:"
                " expected root, the daemon's user or its group"
            ) from None
        except (OSError, EOFError, ValueError, RecursionError) as error:
            raise NoDaemon(f"the daemon at {control_socket} cannot be asked: {error}") from None


def _see_who_serves(line: socket.socket, control_socket: Path) -> None:
    """Believe root, this user, and whoever owns the directory of the socket. Raises NoDaemon.

    The last only where not everybody can make such a directory, or a link that leads to it: in
    /tmp anybody comes first.
    """
    user, _ = peer_of(line)
    directory = control_socket.absolute().parent
    trusted = {_ROOT, os.geteuid()}
    if not _anybody_could_make(directory, trusted):
        trusted.add(directory.stat().st_uid)
    if user not in trusted:
        raise NoDaemon(
            f"the daemon at {control_socket} is not trusted: expected a daemon of user"
            f" {', '.join(map(str, sorted(trusted)))}, got one of user {user}"
        )


def _anybody_could_make(directory: Path, trusted: set[int]) -> bool:
    """Whether it, or a link on the way to it, may be of somebody who came first."""
    for each, above in pairwise([directory, *directory.parents]):
        if _everybody_writes(above) and each.lstat().st_uid not in trusted:
            return True
    # Where the names lead, as the kernel sees it: resolve() goes astray below /proc/PID/root.
    return _everybody_writes(directory / "..")


def _everybody_writes(directory: Path) -> bool:
    return bool(directory.stat().st_mode & stat.S_IWOTH)


def _receive(line: socket.socket) -> Reply:
    with line.makefile("rb") as stream:
        header = stream.read(HEADER.size)
        if len(header) < HEADER.size:
            raise EOFError("it closed the connection")
        (size,) = HEADER.unpack(header)
        if size > REPLY_LIMIT:
            raise EOFError(f"its answer is {size} bytes long")
        return msgspec.json.decode(stream.read(size), type=Reply)


def find_socket(config: Path, environ: Mapping[str, str]) -> Path:
    """Where the daemon of this configuration listens.

    Only that one key is looked at. The rest may be wrong, and the daemon, which runs with the one
    before, is the one to say so; or it may not be ours to read, like the unit's credentials for
    the `reload` that systemd starts.
    """
    if named := environ.get("ASYNCMQD_CONTROL_SOCKET"):
        return Path(named)
    for layer in reversed(list(read_files(config))):
        named = layer.data.get("control_socket")
        if isinstance(named, str):
            return Path(named)
    return usual_control_socket(environ, config.stem)
