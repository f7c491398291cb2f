"""What a server says, without what it repeats of a login.

Servers and proxies repeat what they do not understand: escaped in their own ways, and cut where it
is too long. So a password is not looked for as a whole, but by any run of it.
"""

from __future__ import annotations

import json
import re
from collections.abc import Collection
from urllib.parse import quote, quote_plus

HIDDEN = "what the server says is not shown, because it repeats a part of the login"
_RUN = 6  # characters in common by which a password is known; a shorter one is looked for whole
_USUAL = "default"  # the user that every server has


def without_login(text: str, passwords: Collection[str], users: Collection[str]) -> str:
    """The text with users as ***, and `HIDDEN` in its place if it has a piece of a password.

    Hidden as a whole: a gap would tell that the word which belongs there is a part of the password.
    """
    if any(_repeats(text, form) for password in passwords for form in _forms(password)):
        return HIDDEN
    for user in set(users) - {_USUAL}:
        forms = sorted(_forms(user), key=len, reverse=True)
        text = re.sub(rf"(?<!\w)({'|'.join(map(re.escape, forms))})(?!\w)", "***", text)
    return text


def _repeats(text: str, secret: str) -> bool:
    run = min(_RUN, len(secret))
    return any(secret[at : at + run] in text for at in range(len(secret) - run + 1))


def _forms(secret: str) -> set[str]:
    """The secret as it is, and as servers, Python, JSON and URLs write it."""
    return {
        secret,
        repr(secret)[1:-1],
        ascii(secret)[1:-1],
        repr(secret.encode("utf-8", "replace"))[2:-1],
        json.dumps(secret)[1:-1],
        quote(secret, safe=""),
        quote_plus(secret),
    } - {""}
