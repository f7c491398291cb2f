"""Who is at the other end of the control socket, and what that user may ask for."""

from __future__ import annotations

import os
import socket
import struct
from typing import NamedTuple

from asyncmqd.config.user_namespace import nobodies

_SO_PEERGROUPS = 59  # Linux 4.13; the socket module does not name it
_GROUPS_SIZE = 1024  # bytes: the most that getsockopt gives
_CREDENTIALS = struct.Struct("3i")  # pid, uid, gid
_ROOT = 0


class Peer(NamedTuple):
    """Who asks, and what that user may ask for."""

    user: int
    reads: bool
    operates: bool


class Peers:
    """Tells them apart: root and this user may ask for everything, the group for what only reads,
    and with `group_operates` for everything.

    A user namespace (`PrivateUsers=`) shows all users that it lacks as one, and all groups. That
    one is nobody in particular: neither this user nor a member of the group.
    """

    def __init__(self, group: int, *, group_operates: bool) -> None:
        self._operators = {_ROOT, os.geteuid()} - nobodies("uid")
        self._readers = {group} - nobodies("gid")
        self._group_operates = group_operates
        self.warning = ""
        if not self._readers:
            self.warning = (
                "control_socket: no group is let in: this user namespace does not know the group of"
                f" the socket and shows it as {group}"
            )

    def of(self, connection: socket.socket) -> Peer:
        """The one at the other end of this connection."""
        user, group = peer_of(connection)
        if user in self._operators:
            return Peer(user, reads=True, operates=True)
        member = not self._readers.isdisjoint({group, *_groups(connection)})
        return Peer(user, reads=member, operates=member and self._group_operates)


def peer_of(connection: socket.socket) -> tuple[int, int]:
    """User and main group of the other end, as they were when it connected, or began to listen."""
    size = _CREDENTIALS.size
    found = connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, size)
    _, user, group = _CREDENTIALS.unpack(found)
    return user, group


def _groups(connection: socket.socket) -> tuple[int, ...]:
    """The further groups of the peer, as they were when it connected."""
    try:
        data = connection.getsockopt(socket.SOL_SOCKET, _SO_PEERGROUPS, _GROUPS_SIZE)
    except OSError:  # more groups than fit, or an old kernel: its main group has to do
        return ()
    return struct.unpack(f"{len(data) // 4}I", data)
