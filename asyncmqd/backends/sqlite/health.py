"""What an administrator should know about the file and where it is."""

from __future__ import annotations

from pathlib import Path

from asyncmqd.backends.sqlite.address import Address
from asyncmqd.backends.sqlite.sqlite_version import concern

_MOUNTS = Path("/proc/self/mountinfo")
# Their locks do not hold between hosts, and their shared memory is not shared.
_NETWORK = ("nfs", "cifs", "smb", "9p", "ceph", "gluster", "lustre", "afs", "fuse.sshfs", "fuse.s3")


def concerns(address: Address) -> list[str]:
    """Sentences; none if all is well."""
    found = []
    kind = file_system(address.path, _MOUNTS.read_text("utf-8", "replace"))
    if kind.startswith(_NETWORK):
        found.append(
            f"{address.path} is on a network file system ({kind}), where SQLite's locks are not"
            " reliable: use a local disk, or Redis for several hosts"
        )
    if address.synchronous != "FULL":
        found.append(
            f"{address.path} is written with synchronous={address.synchronous}:"
            " a loss of power may take back the last moments of work"
        )
    if text := concern():
        found.append(text)
    return found


def file_system(path: Path, mountinfo: str) -> str:
    """The type of the file system that holds `path`, by the text of /proc/self/mountinfo."""
    best, kind = -1, ""
    for line in mountinfo.splitlines():
        fields, _, rest = line.partition(" - ")
        point = Path(_unescaped(fields.split()[4]))
        # A later mount hides an earlier one at the same place.
        if path.is_relative_to(point) and len(point.parts) >= best:
            best, kind = len(point.parts), rest.split()[0]
    return kind


def _unescaped(field: str) -> str:
    r"""A field of mountinfo, where a space is \040."""
    return field.encode("latin-1", "backslashreplace").decode("unicode_escape")
