"""Who acts, as the store notes it."""

from __future__ import annotations

import os
import pwd

_ROOT = 0


def name_of(user: int) -> str:
    """The name of a user, or its number if it has none: in containers users often have no name."""
    try:
        return pwd.getpwuid(user).pw_name
    except KeyError:
        return f"user {user}"


def system_user() -> str:
    """The name of the user that this process belongs to; of root, also who became it by sudo."""
    user = os.getuid()
    name = name_of(user)
    person = os.environ.get("SUDO_USER", "") if user == _ROOT else ""
    return f"{name} (sudo by {person})" if person else name
