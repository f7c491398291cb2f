"""What an administrator should know about the file and where it is."""

from __future__ import annotations

from pathlib import Path

from asyncmqd.backends.sqlite.address import Address
from asyncmqd.backends.sqlite.sqlite_version import concern

_MOUNTS = Path("/proc/self/mountinfo")
# Their locks do not hold between hosts, and their shared memory is not shared.
_NETWORK = (
    *("nfs", "cifs", "smb", "ceph", "gluster", "lustre", "afs"),
    *("fuse.sshfs", "fuse.s3", "fuse.rclone", "fuse.gcsfuse", "fuse.gluster"),
)
# The same between a virtual machine and its host, of which the machine sees a directory.
_OF_A_HOST = (
    *("9p", "virtiofs", "vboxsf", "prl_fs", "vmhgfs", "fakeowner"),
    *("fuse.vmhgfs", "fuse.grpcfuse", "fuse.osxfs"),
)


def concerns(address: Address) -> list[str]:
    """Sentences; none if all is well."""
    found = _warnings_of_place(address.path, mounts())
    if address.synchronous != "FULL":
        found.append(
            f"{address.path} is written with synchronous={address.synchronous}:"
            " a loss of power may take back the last moments of work"
        )
    if text := concern():
        found.append(text)
    return found


def mounts() -> str:
    """What is mounted where, as this process sees it."""
    return _MOUNTS.read_text("utf-8", "replace")


def _warnings_of_place(path: Path, mountinfo: str) -> list[str]:
    found = []
    kind = file_system(path, mountinfo)
    if kind.startswith(_NETWORK):
        found.append(
            f"{path} is on a network file system ({kind}), where SQLite's locks are not"
            " reliable: use a local disk, or Redis for several hosts"
        )
    if kind.startswith(_OF_A_HOST):
        found.append(
            f"{path} is in a directory of the virtual machine's host ({kind}), where SQLite's locks"
            " and shared memory are not reliable: use a disk of the machine itself"
        )
    if is_mounted_alone(path, mountinfo):
        found.append(mounted_alone(path))
    if (names := _names(path)) > 1:
        found.append(
            f"{path} has {names} names (hard links): who uses another one damages the store,"
            " because SQLite's -wal and -shm belong to one name: remove the others"
        )
    return found


def _names(path: Path) -> int:
    try:
        return path.stat().st_nlink
    except OSError:
        return 0  # who uses it is told that it is gone


def mounted_alone(path: Path) -> str:
    """Why a file that is mounted by itself is no good place."""
    return (
        f"{path}: it is mounted by itself, without SQLite's -wal, where the last changes are: they"
        " are lost with the container, and others do not see them: mount its directory"
    )


def is_mounted_alone(path: Path, mountinfo: str) -> bool:
    """Whether the file itself is what is mounted, as containers do it, and not its directory."""
    return path in _mount_points(mountinfo)


def _mount_points(mountinfo: str) -> dict[Path, str]:
    """Where what is mounted, and of which type. A later mount hides an earlier one."""
    found = {}
    for line in mountinfo.splitlines():
        fields, _, rest = line.partition(" - ")
        found[Path(_unescaped(fields.split()[4]))] = rest.split()[0]
    return found


def file_system(path: Path, mountinfo: str) -> str:
    """The type of the file system that holds `path`, by the text of /proc/self/mountinfo."""
    points = _mount_points(mountinfo)
    above = (each for each in (path, *path.parents) if each in points)
    return next((points[each] for each in above), "")


def _unescaped(field: str) -> str:
    r"""A field of mountinfo, where a space is \040."""
    return field.encode("latin-1", "backslashreplace").decode("unicode_escape")
