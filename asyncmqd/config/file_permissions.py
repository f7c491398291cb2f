"""Whether only those who may decide what the daemon runs can write what it reads.

Whoever writes the configuration, or puts a module into `python_path`, has their code run by the
daemon. The owner is not looked at: an administrator chose that file, and a deployment often has a
user of its own. What the group and others may do comes of a umask that nobody thought of.
"""

from __future__ import annotations

import grp
import os
import pwd
import stat
from pathlib import Path

from asyncmqd.config.user_namespace import nobodies

_ROOT = 0


def file_problem(found: os.stat_result) -> str | None:
    """What is wrong with the mode of a configuration file, as "expected X, got Y"."""
    if found.st_mode & stat.S_IWOTH:
        return f"expected a file that not everybody can write, got mode {_mode(found)}"
    if found.st_mode & stat.S_IWGRP and not _stands_for_its_owner(found):
        group = _group_name(found.st_gid)
        return f"expected a file that its group cannot write, got mode {_mode(found)} of {group}"
    return None


def directory_problem(path: Path, *, sticky: bool) -> str | None:
    """What is wrong with a directory in which everybody can put files; None if nobody can.

    With `sticky` a directory like /tmp will do, where nobody replaces what is another's. A group
    that writes is no problem: that is how people share a tree, and it takes setting up. On a mount
    that is read-only nobody can, whatever the mode: a ConfigMap of Kubernetes has 0777 there.
    """
    try:
        found = path.stat()
    except OSError:
        return None  # whoever needs it will say so
    if not found.st_mode & stat.S_IWOTH or (sticky and found.st_mode & stat.S_ISVTX):
        return None
    if _is_read_only(path):
        return None
    return f"expected a directory that not everybody can write, got {path} of mode {_mode(found)}"


def configuration_problem(folder: Path, *, sticky: bool) -> str | None:
    """The same for a directory of configuration, where a group that writes replaces the files."""
    if problem := directory_problem(folder, sticky=sticky):
        return problem
    try:
        found = folder.stat()
    except OSError:
        return None
    if not found.st_mode & stat.S_IWGRP or (sticky and found.st_mode & stat.S_ISVTX):
        return None
    if _stands_for_its_owner(found) or _is_read_only(folder):
        return None
    group = _group_name(found.st_gid)
    return (
        f"expected a directory that its group cannot write, got {folder} of mode {_mode(found)}"
        f" of {group}"
    )


def _is_read_only(path: Path) -> bool:
    """Whether it is on a mount that nobody can write, whatever the modes say."""
    try:
        return bool(os.statvfs(path).f_flag & os.ST_RDONLY)
    except OSError:
        return False


def owner_problem(found: os.stat_result, main: os.stat_result) -> str | None:
    """What is wrong with the owner of drop-ins: they were found, and nobody named them."""
    if found.st_uid in {_ROOT, os.geteuid(), main.st_uid}:
        return None
    return f"expected it to belong to user {main.st_uid} or to root, got user {found.st_uid}"


def _stands_for_its_owner(found: os.stat_result) -> bool:
    """Whether the group is root's, or has nobody in it but the owner of the file.

    A user-private group has its user's name, and goes with a umask of 002. The group `asyncmqd` has
    the applications in it that enqueue, so that it is none. Nor is the one that a user namespace
    shows for all that it does not know, even where `nobody` is the name of a user, too.
    """
    if found.st_gid == _ROOT:
        return True
    if found.st_gid in nobodies("gid"):
        return False
    ours = (found.st_uid, found.st_gid) == (os.geteuid(), os.getegid())
    try:
        owner, group = pwd.getpwuid(found.st_uid).pw_name, grp.getgrgid(found.st_gid)
    except KeyError:  # in containers they often have no names
        return ours
    return (ours or group.gr_name == owner) and set(group.gr_mem) <= {owner}


def _group_name(number: int) -> str:
    try:
        return f"group {grp.getgrgid(number).gr_name}"
    except KeyError:
        return f"group {number}"


def _mode(found: os.stat_result) -> str:
    return f"{stat.S_IMODE(found.st_mode):04o}"
