"""How a store's URL may be shown: without its secrets."""

from __future__ import annotations

import re

# To the last @, because a password may hold any character, @ and / among them.
_USERINFO = re.compile(r"://.*@", re.DOTALL)
_SECRET_OPTION = re.compile(
    r"([?&][^=&]*(?:user|pass|secret|token|auth)[^=&]*=)[^&]*", re.IGNORECASE
)


def redacted(text: str) -> str:
    """The text with user and password of every URL in it, and secret options, as ***."""
    return _SECRET_OPTION.sub(r"\1***", _USERINFO.sub("://***@", text))
