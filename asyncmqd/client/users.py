"""Who acts, as the store notes it."""

from __future__ import annotations

import os
import pwd

_ROOT = 0


def system_user() -> str:
    """The name of the user that this process belongs to; of root, also who became it by sudo."""
    user = os.getuid()
    try:
        name = pwd.getpwuid(user).pw_name
    except KeyError:  # in a container users often have no name
        return f"user {user}"
    person = os.environ.get("SUDO_USER", "") if user == _ROOT else ""
    return f"{name} (sudo by {person})" if person else name
