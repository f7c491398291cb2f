"""What a forked child has of its parent's, and may not free."""

from __future__ import annotations

import ctypes


def keep_for_ever(thing: object) -> None:
    """Have Python never free it, not even at its end.

    To free a connection acts on what the parent goes on using. And it may wait for a lock that a
    thread of the parent held at the fork: in the child, nobody releases that one. A program that
    uvloop starts is such a child, too, until it is the program; and the parent waits for that.
    """
    ctypes.pythonapi.Py_IncRef(ctypes.py_object(thing))
