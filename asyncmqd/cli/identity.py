"""Whose hands `asyncmq` works with when root calls it."""

from __future__ import annotations

import os
import pwd

_ROOT = 0
_SCHEME = "sqlite://"


def work_as_owner(url: str) -> None:
    """As root, become the owner of the directory that a SQLite store is in.

    A whole group may write in that directory. What it can put in the way of root's command is then
    no more than the owner's own daemon meets.
    """
    if os.geteuid() != _ROOT or not url.startswith(_SCHEME):
        return
    from asyncmqd.backends.sqlite import address

    directory = address.parse(url).named.parent
    try:
        found = directory.stat()
    except OSError:
        return  # opening the store will say what is wrong
    if found.st_uid != _ROOT:
        _import_what_comes_later()
        _become(found)


def _import_what_comes_later() -> None:
    """Read the code that is imported at its first use: root's Python may be closed to others."""
    import concurrent.futures.thread  # noqa: F401

    import asyncmqd.backends.sqlite.migration  # noqa: F401


def _become(found: os.stat_result) -> None:
    try:
        user = pwd.getpwuid(found.st_uid)
    except KeyError:  # in a container users often have no name
        os.setgroups([])
        os.setgid(found.st_gid)
    else:
        os.initgroups(user.pw_name, found.st_gid)
        os.setgid(user.pw_gid)
    os.setuid(found.st_uid)
