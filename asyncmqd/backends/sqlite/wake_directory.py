"""The directory `<database>-wake`, in which those who wait for jobs bind their sockets.

It stands beside the database, and so in a directory in which a whole group may write. A member of
the group could put a link or a directory of its own there, to have the daemon, or root's `asyncmq`,
write and remove files elsewhere. So the directory is opened without following links, its owner must
be somebody to be trusted, and what is in it is only touched through its descriptor.
"""

from __future__ import annotations

import contextlib
import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from functools import lru_cache
from pathlib import Path

_ROOT = 0
_FLAGS = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC

Identity = tuple[int, int]  # device and inode


@lru_cache(maxsize=16)  # each commit asks
def directory_of(database: Path) -> Path:
    """Where the sockets are."""
    return database.with_name(f"{database.name}-wake")


@contextmanager
def opened(database: Path) -> Iterator[int]:
    """The descriptor of the directory. Raises OSError, also where it is not to be trusted."""
    fd = _open(database)
    try:
        yield fd
    finally:
        os.close(fd)


@contextmanager
def made(database: Path) -> Iterator[int]:
    """The same for somebody who is to wait there: it is made if there is none.

    What others put in its place is removed by those who could have made it: root, and whoever
    owns the directory of the database.
    """
    with contextlib.suppress(FileExistsError):
        _make(directory_of(database))
    try:
        fd = _open(database)
    except (PermissionError, NotADirectoryError):  # the latter for a file, and for a link
        if os.geteuid() not in {_ROOT, _owner(database.parent)}:
            raise
        _remove(directory_of(database))
        _make(directory_of(database))
        fd = _open(database)
    try:
        yield fd
    finally:
        os.close(fd)


def socket_in(fd: int, name: str) -> int | None:
    """A descriptor by which the socket of that name can be addressed; None if it is none.

    Looked at and used by one descriptor, so that nobody puts something else in its place between
    the two. A second name could be that of a socket elsewhere.
    """
    found = os.open(name, os.O_PATH | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=fd)
    status = os.fstat(found)
    if stat.S_ISSOCK(status.st_mode) and status.st_nlink == 1:
        return found
    os.close(found)
    return None


def open_to_group(fd: int, name: str) -> None:
    """Let all who may write the database send to the socket of that name.

    By descriptor: by its name, a link that was put in its place would open another file to them.
    """
    found = socket_in(fd, name)
    if found is not None:
        try:
            os.chmod(f"/proc/self/fd/{found}", 0o660)
        finally:
            os.close(found)


def identity(name: str | Path, fd: int | None = None) -> Identity | None:
    """What tells this file from another of the same name; None when there is none."""
    try:
        found = os.stat(name, dir_fd=fd, follow_symlinks=False)
    except OSError:
        return None
    return found.st_dev, found.st_ino


def _open(database: Path) -> int:
    directory = directory_of(database)
    fd = os.open(directory, _FLAGS)
    owner = os.fstat(fd).st_uid
    if owner in {_ROOT, os.geteuid()} or owner in {_owner(database.parent), _owner(database)}:
        return fd
    os.close(fd)
    raise PermissionError(
        f"expected a directory of user {_owner(database.parent)} or of root, got one of"
        f" user {owner}: remove {directory}"
    )


def _owner(path: Path) -> int | None:
    try:
        return os.stat(path, follow_symlinks=False).st_uid
    except OSError:
        return None


def _make(directory: Path) -> None:
    """Open to whom the database's own directory is open."""
    mode = stat.S_IMODE(os.stat(directory.parent).st_mode)
    os.mkdir(directory, mode & 0o777)
    fd = os.open(directory, _FLAGS)
    try:
        # The bit that hands the group down is inherited, and a hardened unit (with
        # RestrictSUIDSGID) may not even name it: so no chmod that is not needed.
        if stat.S_IMODE(os.fstat(fd).st_mode) != mode:
            os.fchmod(fd, mode)
    finally:
        os.close(fd)


def _remove(directory: Path) -> None:
    """Remove a link, a file, or a directory with nothing but sockets in it. Raises OSError."""
    parent = os.open(directory.parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        if not stat.S_ISDIR(os.stat(directory.name, dir_fd=parent, follow_symlinks=False).st_mode):
            os.unlink(directory.name, dir_fd=parent)
            return
        fd = os.open(directory.name, _FLAGS, dir_fd=parent)
        try:
            for name in os.listdir(fd):
                if stat.S_ISSOCK(os.stat(name, dir_fd=fd, follow_symlinks=False).st_mode):
                    os.unlink(name, dir_fd=fd)
        finally:
            os.close(fd)
        os.rmdir(directory.name, dir_fd=parent)
    finally:
        os.close(parent)
