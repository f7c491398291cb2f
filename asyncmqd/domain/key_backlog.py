"""Which keys of a queue have most jobs that wait."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple


class BusyKey(NamedTuple):
    """A key of a queue with jobs that wait."""

    key: str
    waiting: int
    running: int  # that hold a permit of the key


class KeyBacklog(NamedTuple):
    """The keys with most jobs that wait, of those that were looked at."""

    keys: list[BusyKey]  # most first
    looked: int  # at how many
    of: int  # how many there are; one whose jobs wait in several priorities may count in each


def most_first(waiting: Mapping[str, int], most: int) -> list[tuple[str, int]]:
    """Of each key how many wait: those with most."""
    return sorted(waiting.items(), key=lambda each: (-each[1], each[0]))[:most]
