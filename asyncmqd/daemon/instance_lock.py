"""Who this daemon is, and that it is the only one of that name on this file system: so it may take
back the claims of its former selves here. Whether another host has the same name, the store knows.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import socket
import stat
from pathlib import Path

from asyncmqd.domain.former_self import Life
from asyncmqd.runtime.forks import keep
from asyncmqd.runtime.own_identity import own_life

_MACHINE_ID = Path("/etc/machine-id")


class CannotStart(Exception):
    """The daemon may not run here and now; the message says why."""


def instance_id(control_socket: Path) -> str:
    """The name that this daemon has in all its lives: `HOST-DIGEST`.

    The digest covers machine id, host name and control socket. The host name is in it because
    containers of one image share a machine id, and would take each other for their former selves.
    """
    host = socket.gethostname()
    try:
        machine = _MACHINE_ID.read_text().strip()
    except OSError:
        machine = ""
    whole = "\0".join((machine, host, os.path.realpath(control_socket)))
    return f"{host}-{hashlib.sha256(whole.encode()).hexdigest()[:12]}"


class Instance:
    """Holds the lock of an instance until the process ends, however it ends."""

    def __init__(self, control_socket: Path) -> None:
        self.id = instance_id(control_socket)
        self.path = control_socket.parent / f"{self.id}.lock"
        self._socket = control_socket
        self._fd: int | None = None

    @property
    def life(self) -> Life:
        """What tells this life of the instance from the others, once it has the lock."""
        return own_life(self._fd)

    def lock(self) -> None:
        """Become the one daemon of this control socket. Raises CannotStart."""
        prepare(self._socket.parent)
        while self._fd is None:
            fd = self._open()
            try:
                fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                os.close(fd)
                raise CannotStart(
                    f"another daemon runs with the control socket {self._socket}:"
                    " give this one a control_socket of its own"
                ) from None
            # A cleaner of old files may have deleted it since it was opened: then nobody sees
            # our lock, and the next daemon would make a new file and lock that.
            if _is_still(self.path, fd):
                self._fd = keep(fd)  # a forked child that lives on would hold the lock
            else:
                os.close(fd)

    def _open(self) -> int:
        # Not waiting for the other end of what may be a pipe.
        flags = os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK
        try:
            fd = os.open(self.path, flags, 0o600)
        except OSError as error:
            reason = f"{error.strerror}"
            if isinstance(error, PermissionError):
                reason = f"one that user {os.geteuid()} may not write"
            raise CannotStart(f"{self.path}: expected a lock file, got {reason}") from None
        found = os.fstat(fd)
        if not stat.S_ISREG(found.st_mode) or found.st_nlink > 1:
            os.close(fd)
            raise CannotStart(f"{self.path}: expected a lock file, got another kind or a hard link")
        return fd


def _is_still(path: Path, fd: int) -> bool:
    try:
        return os.path.samestat(os.fstat(fd), path.lstat())
    except FileNotFoundError:
        return False


def prepare(directory: Path) -> None:
    """Make the directory; refuse one that somebody else put there to get at our socket."""
    try:
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        itself, owner = directory.lstat(), directory.stat()
    except OSError as error:
        raise CannotStart(
            f"control_socket: expected a directory {directory}, got {error.strerror}"
        ) from None
    for found in (itself, owner):  # two of them if it is a link, which may lead to one of ours
        if found.st_uid not in {0, os.geteuid()}:
            raise CannotStart(
                f"control_socket: expected a directory of root or of user {os.geteuid()},"
                f" got {directory} of user {found.st_uid}"
            )
    if owner.st_mode & stat.S_IWOTH and not owner.st_mode & stat.S_ISVTX:
        raise CannotStart(
            f"control_socket: expected a directory that not everybody writes, got {directory}"
        )
