"""What stores with a layout version share: which versions a release can work with."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TypeVar

from asyncmqd.backends.base import StoreError, StoreOutdated, StoreRefused
from asyncmqd.domain.safe_text import counted

Step = TypeVar("Step")

_NAMED = 3  # processes that an error names


def check(store: str, found: int, own: int) -> None:
    """Refuse a store, named `store` to people, whose layout is not ours.

    Raises StoreOutdated and StoreRefused.
    """
    if found > own:
        raise StoreRefused(
            f"{store}: expected layout {own}, got {found}, which a newer release wrote:"
            f" use that release, or a backup of layout {own}"
        )
    if found < own:
        raise StoreOutdated(
            f"{store}: expected layout {own}, got {found}, which an older release wrote:"
            " run `asyncmq store migrate`"
        )


def way(store: str, found: int, own: int, steps: Mapping[int, Step]) -> list[Step]:
    """The steps that lead from one layout to another; `steps` has each by where it leads.

    Raises StoreRefused when there is no way.
    """
    numbers = range(found + 1, own + 1)
    missing = [number for number in numbers if number not in steps]
    if found > own or missing:
        raise StoreRefused(f"{store}: layout {found} cannot be migrated to {own} by this release")
    return [steps[number] for number in numbers]


def check_unused(store: str, found: int, living: Sequence[str]) -> None:
    """Refuse to migrate beneath processes, by id, that work with the store.

    They could write no more: what runs in them would be run again elsewhere. Raises StoreError.
    """
    if living:
        named = ", ".join(living[:_NAMED]) + (" ..." if len(living) > _NAMED else "")
        raise StoreError(
            f"{store}: layout {found} is in use by {counted(len(living), 'daemon')} of an older"
            f" release ({named}): expected all of them to be stopped before it is migrated (one"
            " that was killed counts until its last heartbeat is half a minute old)"
        )
