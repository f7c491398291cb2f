"""The socket that a daemon left behind that was killed."""

from __future__ import annotations

import os
import socket
import stat
from pathlib import Path

from asyncmqd.daemon.instance_lock import CannotStart


def remove_stale(path: Path, key: str) -> None:
    """Delete a socket at which nobody listens any more; never anything else.

    Raises CannotStart, which names the key that has the path.
    """
    try:
        found = path.lstat()
    except FileNotFoundError:
        return
    if not stat.S_ISSOCK(found.st_mode) or found.st_uid not in {0, os.geteuid()}:
        raise CannotStart(f"{key}: expected a free path, got {path}, which is taken")
    with socket.socket(socket.AF_UNIX) as probe:
        probe.setblocking(False)
        try:
            probe.connect(os.fspath(path))
        except ConnectionRefusedError:
            path.unlink()
            return
        except OSError:  # its queue is full: somebody listens
            pass
    raise CannotStart(f"{key}: expected a free path, got {path}: somebody listens there")
