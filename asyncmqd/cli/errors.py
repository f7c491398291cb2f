"""How a command of `asyncmq` ends when it cannot do what it was asked."""

from __future__ import annotations

FAILED, USAGE, BAD_CONFIG = 1, 2, 78
"""Exit codes besides 0."""


class CommandError(Exception):
    """The command failed or was refused. Its text is what people get to see, as one line."""

    code = FAILED


class Misuse(CommandError):
    """The command line itself is wrong."""

    code = USAGE


class Misconfigured(CommandError):
    """No store is configured, or not in a way that can be read."""

    code = BAD_CONFIG
