"""How a new database file is made, and what is refused in its place.

A database is never opened here but by SQLite: when a process closes any descriptor of a file, it
loses all its POSIX locks on that file, also those by which SQLite, elsewhere in the process, tells
other processes that the log is in use. So a new file gets owner and mode under another name.
"""

from __future__ import annotations

import contextlib
import errno
import os
import stat
from pathlib import Path

from asyncmqd.backends.base import StoreError, StoreRefused
from asyncmqd.backends.sqlite.health import is_mounted_alone, mounted_alone, mounts
from asyncmqd.domain import clock

_NO_LINKS = {errno.EPERM, errno.EOPNOTSUPP, errno.EMLINK}  # what link() says on FAT and its like

_JOURNAL = bytes.fromhex("d9d505f920a163d7")  # begins a journal, and ends one that names another


def make(path: Path) -> None:
    """See that there is a file that we may read and write. Raises StoreError and StoreRefused.

    SQLite itself would let the umask decide, and others read; the files that it puts
    beside a database get that one's mode. Only where files cannot have two names it has to do it.
    """
    try:
        if not _is_usable(path):
            _make(path)
    except FileNotFoundError:
        raise StoreRefused(f"{path}: the directory {path.parent} does not exist") from None
    except NotADirectoryError:
        raise _no_file(path) from None
    except PermissionError:
        raise StoreRefused(
            f"{path}: expected to read and write it as user {os.geteuid()}, got no permission"
            f" (it is for {_users(path)})"
        ) from None
    except OSError as error:
        raise StoreError(f"{path}: it cannot be opened: {error.strerror}") from None


def _users(path: Path) -> str:
    """Who may use the file, or make it where there is none, so that a person can become one."""
    import grp  # both for this message only
    import pwd

    there = path if os.path.lexists(path) else path.parent
    try:
        found = there.stat()
    except OSError:
        return "root"
    users = ["root"]
    with contextlib.suppress(KeyError):  # an id without a name, as in containers
        if found.st_uid:
            users.append(f"user {pwd.getpwuid(found.st_uid).pw_name}")
        if found.st_gid and found.st_mode & stat.S_IWGRP:
            users.append(f"group {grp.getgrgid(found.st_gid).gr_name}")
    return ", ".join(users)


def refuse_mounted_alone(path: Path) -> None:
    """Refuse a file that a container got without its directory: its log would be elsewhere.

    One that is mounted from the same disk is only told of, by `health.concerns`: to ask the kernel
    for all mounts at each first use would take longer than an enqueue.
    """
    try:
        if path.stat().st_dev == path.parent.stat().st_dev:
            return
    except OSError:
        return  # opening it will say what is wrong
    if is_mounted_alone(path, mounts()):
        raise StoreRefused(mounted_alone(path))


def make_empty(path: Path, mode: int, model: os.stat_result) -> None:
    """Make an empty file, which belongs to whom `model` does if root makes it. Raises OSError.

    An administrator's command before the first start must not lock the daemon out, nor must an
    application that comes first with a umask of its own: the mode is what it says.
    """
    fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, mode)
    try:
        if os.geteuid() == 0:
            os.fchown(fd, model.st_uid, model.st_gid)
        os.fchmod(fd, mode)
    finally:
        os.close(fd)


def _make(path: Path) -> None:
    """Make it under another name: by its own, another thread may have SQLite open it meanwhile."""
    other = path.with_name(f".{path.name}.{clock.nonce()}")
    directory = os.stat(path.parent)
    make_empty(other, _mode_in(directory), directory)
    try:
        os.link(other, path)
    except FileExistsError:
        pass  # another process was faster
    except OSError as error:
        if error.errno not in _NO_LINKS:
            raise
    finally:
        os.unlink(other)


def _mode_in(directory: os.stat_result) -> int:
    """For the owner, and for the group where it shares the directory; never for all others."""
    shared = directory.st_mode & stat.S_IWGRP and not directory.st_mode & stat.S_ISVTX
    return 0o660 if shared else 0o600


def refuse_planted(path: Path) -> None:
    """Refuse what a member of the group can put in the place of the file.

    Applications write in this directory. A link of theirs would have root's `asyncmq` make a file,
    and give it away, wherever it leads; a pipe would keep whoever opens it waiting.
    """
    for each in (*reversed(path.parents), path):
        _refuse_link(each, "a file" if each == path else "a directory")
    try:
        found = path.stat()
    except OSError:
        return  # there is none, or opening it will say what is wrong
    if not stat.S_ISREG(found.st_mode) and not stat.S_ISDIR(found.st_mode):
        raise StoreRefused(f"{path}: expected a regular file, got another kind")


def _refuse_link(path: Path, wanted: str) -> None:
    """Refuse a link of somebody who neither is ours nor could decide all that is beside it.

    Root follows no links but its own.
    """
    try:
        found, directory = path.lstat(), path.parent.stat()
    except OSError:
        return
    trusted = {0, os.geteuid()}
    if os.geteuid() != 0:
        trusted.add(directory.st_uid)
    if stat.S_ISLNK(found.st_mode) and found.st_uid not in trusted:
        raise StoreRefused(f"{path}: expected {wanted}, got a link of user {found.st_uid}")


def refuse_planted_beside(path: Path) -> None:
    """Refuse what would lead SQLite elsewhere when it opens its files beside the database."""
    for end in ("-wal", "-shm", "-journal"):
        beside = Path(f"{path}{end}")
        try:
            found = beside.lstat()
        except OSError:
            continue
        if not stat.S_ISREG(found.st_mode) or found.st_nlink > 1:
            raise StoreRefused(
                f"{beside}: expected a file of SQLite's own, got a link or another kind: remove it"
            )
        if end == "-journal" and _names_another(beside):
            raise StoreRefused(
                f"{beside}: expected a journal of this database alone, got one that names another"
                " file, which SQLite would delete: remove it"
            )


def _names_another(journal: Path) -> bool:
    """Whether it ends with the name of a further journal, as a change of several databases has it.

    A store is never changed together with another database. When SQLite has taken such a journal
    back it deletes the file that is named there, whatever that is.
    """
    try:
        fd = os.open(journal, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError:
        return False  # gone again, or not ours to read: SQLite will say so
    try:
        size = os.fstat(fd).st_size
        return os.pread(fd, len(_JOURNAL), max(0, size - len(_JOURNAL))) == _JOURNAL
    finally:
        os.close(fd)


def _is_usable(path: Path) -> bool:
    """Whether there is a file; one that we may not write is an error."""
    try:
        found = os.stat(path)
    except FileNotFoundError:
        return False
    if not stat.S_ISREG(found.st_mode):
        raise _no_file(path)
    if not os.access(path, os.R_OK | os.W_OK, effective_ids=True):
        read_only = os.statvfs(path).f_flag & os.ST_RDONLY
        code = errno.EROFS if read_only else errno.EACCES
        raise OSError(code, os.strerror(code))
    return True


def _no_file(path: Path) -> StoreRefused:
    return StoreRefused(f"{path}: expected a file in a directory, got something else")
