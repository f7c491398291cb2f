"""Limits of a queue that hold over all daemons of a store: what they are, and what they allow."""

from __future__ import annotations

import msgspec


class SharedLimits(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """The limits of a queue over all daemons. None is no limit, 0 lets nothing start."""

    concurrency: int | None = None


NO_LIMITS = SharedLimits()


class DeclaredLimits(msgspec.Struct, frozen=True, kw_only=True):
    """What a store has of them. The declaration with the latest `since` is the one in force.

    `NO_LIMITS` is kept as well: a daemon that knows an older declaration must not restore it.
    """

    since: float  # the store's clock
    by: str  # the id of the process that declared it
    limits: SharedLimits


def declared(
    known: DeclaredLimits | None, limits: SharedLimits, by: str, now: float
) -> DeclaredLimits | None:
    """What is in force after a daemon has declared limits; None: there never were any.

    Who declares what is in force already changes nothing. A later one counts also if the store's
    clock was set back.
    """
    if known is None:
        return None if limits == NO_LIMITS else DeclaredLimits(since=now, by=by, limits=limits)
    if known.limits == limits:
        return known
    return DeclaredLimits(since=max(now, known.since + 1e-6), by=by, limits=limits)


def in_force(stored: DeclaredLimits | None, told: DeclaredLimits | None) -> DeclaredLimits | None:
    """The newer of what the store has and of what a claim tells: a store may have lost its own."""
    if stored is None or (told is not None and told.since > stored.since):
        return told
    return stored


def permits(declared: DeclaredLimits | None, running: int) -> int | None:
    """How many more jobs may start while `running` hold a permit; None is no limit."""
    if declared is None or declared.limits.concurrency is None:
        return None
    return max(0, declared.limits.concurrency - running)
