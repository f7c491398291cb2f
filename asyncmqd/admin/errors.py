"""Why something that an operator asked for is not done."""

from __future__ import annotations


class AdminError(Exception):
    """It cannot be done. The text says why, for people."""


class WrongArguments(AdminError):
    """Nobody could do what was asked: it means nothing."""


class NotFound(AdminError):
    """The store has no such job, queue or schedule."""
